"""The outline of a thing in a picture, drawn by GrabCut from what is known of it, and tidied."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.training.footage import Image

Bool = NDArray[np.bool_]


def redraw(picture: Image, region: Bool, core_depth: float) -> Bool:
    """The region's outline drawn again, its core and its surroundings given.

    GrabCut: Rother, Kolmogorov, Blake, SIGGRAPH 2004.

    Args:
        picture: uint8 RGB [H, W, 3].
        core_depth: how deep inside the region, in square roots of its area, it is surely the object.
    """
    rows, columns = _window(region)
    inside, crop = region[rows, columns], picture[rows, columns]
    root = np.sqrt(inside.sum())
    inner, outer = (_disc(depth * root) for depth in (core_depth, 0.06))
    core, reach = (
        cv2.erode(inside.astype(np.uint8), inner) > 0,
        cv2.dilate(inside.astype(np.uint8), outer) > 0,
    )
    drawn = np.zeros_like(region)
    if not core.any():
        return drawn
    trimap = np.where(inside, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    trimap[~reach], trimap[core] = cv2.GC_BGD, cv2.GC_FGD
    cv2.setRNGSeed(0)
    bgr, models = cv2.cvtColor(crop, cv2.COLOR_RGB2BGR), (np.zeros((1, 65)), np.zeros((1, 65)))
    cv2.grabCut(bgr, trimap, (0, 0, 1, 1), *models, 4, cv2.GC_INIT_WITH_MASK)
    drawn[rows, columns] = tidy(np.isin(trimap, (cv2.GC_FGD, cv2.GC_PR_FGD)), keep=0.5)
    return drawn


def _window(region: Bool, margin: float = 0.6) -> tuple[slice, slice]:
    """Rows and columns of the region with its surroundings: GrabCut's time grows with the area."""
    found = []
    for axis in (1, 0):
        line = np.flatnonzero(region.any(axis))
        first, last = (int(line[0]), int(line[-1]) + 1) if len(line) else (0, region.shape[1 - axis])
        more = int(margin * (last - first)) + 12
        found.append(slice(max(0, first - more), last + more))
    return found[0], found[1]


def _disc(radius: float) -> NDArray[np.uint8]:
    side = max(3, 2 * round(radius) + 1)
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)), np.uint8)


def tidy(mask: Bool, keep: float = 0.04) -> Bool:
    """Without crumbs, pinholes and ragged pixels; separate parts stay when at least `keep` of the largest."""
    smooth = cv2.medianBlur(mask.astype(np.uint8), 5).astype(np.bool_)
    kept = _without_small(smooth, keep)
    return ~_without_small(~kept, 0.002)


def _without_small(mask: Bool, keep: float) -> Bool:
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=4)
    if count <= 1:
        return mask
    area = stats[:, cv2.CC_STAT_AREA].copy()
    area[0] = 0
    return np.isin(labels, np.flatnonzero(area >= keep * area.max())) & mask


def overlap(a: Bool, b: Bool) -> float:
    """IoU of two masks; 0 when both are empty."""
    return float((a & b).sum() / max(1, (a | b).sum()))
