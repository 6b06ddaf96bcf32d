"""A mask known on one frame, carried to the frames around it by optical flow, as far as it can be trusted.

Gives real motion with masks from a single mark: a few frames either way, until the flow there and back
disagrees, the outline that GrabCut finds again differs, or the area changes too much.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from engine.training.footage import Image
from engine.training.motion import Flow, flow
from engine.training.outline import Bool, overlap, redraw


@dataclass(frozen=True, slots=True)
class Trust:
    """How far a carried mask is believed. Lengths are pixels of a 288 x 512 picture.

    Attributes:
        reach: frames either way at most.
        astray: a pixel's flow there and back may end so far from where it began,
        steady: for at least this share of the object.
        outline: overlap (IoU) of the carried mask with the outline drawn again.
        growth: the area may change by this factor in all.
    """

    reach: int = 14
    astray: float = 1.5
    steady: float = 0.75
    outline: float = 0.8
    growth: float = 1.7


def carry(frames: Sequence[Image], at: int, mask: Bool, trust: Trust | None = None) -> list[tuple[int, Bool]]:
    """The object's masks on consecutive frames around `at`, in order; at least the one given.

    Args:
        frames: uint8 [H, W, 3], consecutive.
        mask: bool [H, W] on frame `at`.
    """
    trust = trust or Trust()
    back = list(_follow(frames, at, mask, -1, trust))
    return [*reversed(back), (at, mask), *_follow(frames, at, mask, 1, trust)]


def _follow(
    frames: Sequence[Image], at: int, mask: Bool, direction: int, trust: Trust
) -> Iterator[tuple[int, Bool]]:
    area = float(mask.sum())
    for step in range(1, trust.reach + 1):
        here, there = at + direction * (step - 1), at + direction * step
        if not 0 <= there < len(frames):
            return
        forth, back = flow(frames[here], frames[there]), flow(frames[there], frames[here])
        if _steady(mask, forth, back, trust.astray) < trust.steady:
            return
        carried = _moved(mask, back)
        mask = redraw(frames[there], carried, core_depth=0.08)
        if overlap(mask, carried) < trust.outline:
            return
        if not area / trust.growth < mask.sum() < area * trust.growth:
            return
        yield there, mask


def _moved(mask: Bool, back: Flow) -> Bool:
    """The mask on the next frame, whose flow `back` to this one is given."""
    return _sampled(mask.astype(np.float32), back) > 0.5


def _sampled(picture: Flow, motion: Flow) -> Flow:
    height, width = picture.shape[:2]
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    moved = cv2.remap(picture, x + motion[..., 0], y + motion[..., 1], cv2.INTER_LINEAR)
    return np.asarray(moved, np.float32)


def _steady(mask: Bool, forth: Flow, back: Flow, astray: float) -> float:
    """Share of the object whose flow there and back ends where it began."""
    gap = np.linalg.norm(forth + _sampled(back, forth), axis=2)
    return float((gap[mask] < astray).mean()) if mask.any() else 0.0
