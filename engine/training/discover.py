"""Objects found without a person: what moves against the camera's motion, and what stands out in colour.

    python -m engine.training.discover FOLDER --exclude 02_cups --out runs/found

A thing is kept when the frames before and after agree on it and GrabCut, given its core and its
surroundings, finds the same outline. Parts of objects come through as objects; so do shadows. What was
marked by eye (`cutouts.py`) is cleaner. Writes the same two files.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.training.cutouts import Found, reel, sprite
from engine.training.footage import Image, play
from engine.training.motion import Flow, flow, own_motion
from engine.training.outline import Bool, overlap, redraw, tidy
from engine.training.textures import PICTURE, VIDEOS


@dataclass(frozen=True, slots=True)
class Rules:
    """When a found region is an object. Lengths are pixels of a 288 x 512 picture, areas shares of it.

    Attributes:
        step: frames between anchors; `reach` frames before and after must agree with an anchor.
        moving: residual motion over `reach` frames that counts, after the camera's is taken off.
        agree: overlap (IoU) of an object with itself in the frames before and after, carried by the flow.
        solidity: share of its convex hull that a region found by colour fills; holes in foliage fill little.
        border: share of the outline that may lie on the picture's border.
    """

    step: int = 12
    reach: int = 3
    moving: float = 1.5
    agree: float = 0.7
    solidity: float = 0.82
    smallest: float = 0.004
    largest: float = 0.3
    border: float = 0.15


@dataclass(frozen=True, slots=True)
class Trust:
    """How far a found region is believed, when GrabCut draws its outline again.

    Attributes:
        core: how deep inside it, in square roots of its area, it is surely the object.
        outline: overlap (IoU) that the new outline must have with it.
        contrast: difference in colour (Lab) that the new outline must have nearly everywhere.
    """

    core: float
    outline: float
    contrast: float


MOTION = Trust(core=0.14, outline=0.45, contrast=8.0)  # flow bleeds over edges into what is around
COLOUR = Trust(core=0.06, outline=0.7, contrast=22.0)


def discover(frames: Sequence[Image], rules: Rules) -> Iterator[tuple[int, Bool]]:
    """Frame indices with the mask of one object each, from consecutive frames [288, 512, 3] of a video."""
    reach = rules.reach
    known: list[Bool] = []
    for at in range(2 * reach, len(frames) - 2 * reach, rules.step):
        before, now, after = (frames[i] for i in (at - reach, at, at + reach))
        forth, back = flow(now, after), flow(now, before)
        found = [(region, MOTION) for region in moving(now, forth, back, rules)]
        found += [(region, COLOUR) for region in coloured(before, now, after, (back, forth), rules)]
        for region, trust in found:
            mask = redraw(now, region, trust.core)
            if overlap(mask, region) < trust.outline or _contrast(now, mask) < trust.contrast:
                continue
            if _plausible(mask, rules) and all(overlap(mask, other) < 0.5 for other in known):
                known.append(mask)  # a still thing is taken once in a clip
                yield at, mask


def moving(picture: Image, forth: Flow, back: Flow, rules: Rules) -> list[Bool]:
    """Regions that move on their own, filled from their rims."""
    mask = own_motion(picture, forth, back, rules.moving).astype(np.uint8)
    closed = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, np.ones((9, 9), np.uint8))
    contours, _ = cv2.findContours(closed, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    filled = cv2.drawContours(closed, contours, -1, 1, cv2.FILLED)
    opened = cv2.morphologyEx(filled, cv2.MORPH_OPEN, np.ones((5, 5), np.uint8))
    return [region for region in _components(opened > 0) if _plausible(region, rules)]


def coloured(
    before: Image, now: Image, after: Image, flows: tuple[Flow, Flow], rules: Rules
) -> Iterator[Bool]:
    """Regions of one colour with a clear edge that the frames before and after have too."""
    others = [segments(before), segments(after)]
    here = segments(now)
    for label in range(int(here.max()) + 1):
        region = here == label
        if (
            _plausible(region, rules)
            and _solidity(region) >= rules.solidity
            and all(
                _again(region, motion, there) >= rules.agree
                for motion, there in zip(flows, others, strict=True)
            )
        ):
            yield tidy(region)


def segments(picture: Image) -> NDArray[np.int32]:
    """Labels of regions of like colour; Felzenszwalb and Huttenlocher, IJCV 2004."""
    smooth = cv2.bilateralFilter(cv2.cvtColor(picture, cv2.COLOR_RGB2LAB), 7, 30, 5)
    graph = cv2.ximgproc.segmentation.createGraphSegmentation(0.8, 400, 300)
    return np.asarray(graph.processImage(smooth), np.int32)


def _again(region: Bool, motion: Flow, there: NDArray[np.int32]) -> float:
    """IoU of the region, carried by the flow, with the segment that it mostly lands on."""
    height, width = region.shape
    ys, xs = np.nonzero(region)
    moved = np.rint(np.stack((xs, ys), -1) + motion[ys, xs]).astype(int)
    seen = ((moved >= 0) & (moved < (width, height))).all(1)
    if not seen.any():
        return 0.0
    carried = np.zeros_like(region)
    carried[moved[seen, 1], moved[seen, 0]] = True
    label = np.bincount(there[carried]).argmax()
    return overlap(carried, there == label)


def _contrast(picture: Image, mask: Bool) -> float:
    """The step in colour (Lab) across the outline that all but a seventh of it exceeds."""
    lab = cv2.cvtColor(picture, cv2.COLOR_RGB2LAB).astype(np.float32)
    ring, wide = mask.astype(np.uint8), np.ones((9, 9), np.uint8)
    inner, outer = ring - cv2.erode(ring, wide), cv2.dilate(ring, wide) - ring
    colours = []
    for side in (inner.astype(np.float32), outer.astype(np.float32)):
        weight = np.maximum(cv2.blur(side, (11, 11)), 1e-3)[..., None]
        colours.append(cv2.blur(lab * side[..., None], (11, 11)) / weight)
    edge = (ring - cv2.erode(ring, np.ones((3, 3), np.uint8))) > 0
    edge[[0, -1]] = edge[:, [0, -1]] = False
    steps = np.linalg.norm(colours[0] - colours[1], axis=2)[edge]
    return float(np.percentile(steps, 15)) if len(steps) else 0.0


def _plausible(mask: Bool, rules: Rules) -> bool:
    """Of a likely size, mostly inside the picture, and not a scatter or a thread."""
    share = float(mask.mean())
    if not rules.smallest <= share <= rules.largest:
        return False
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    longest = max(contours, key=len)
    height, width = mask.shape
    points = longest[:, 0]
    rim = (points == 0).any(1) | (points == (width - 1, height - 1)).any(1)
    compact = 4 * np.pi * mask.sum() / max(1.0, cv2.arcLength(longest, True)) ** 2
    return bool(rim.mean() <= rules.border and compact >= 0.12)


def _solidity(mask: Bool) -> float:
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    hull = cv2.convexHull(np.concatenate(contours))
    return float(mask.sum() / max(1.0, cv2.contourArea(hull)))


def _components(mask: Bool) -> Iterator[Bool]:
    count, labels = cv2.connectedComponents(mask.astype(np.uint8))
    for label in range(1, count):
        yield labels == label


def search(folder: Path, exclude: Iterable[str], rules: Rules) -> Found:
    """Everything found in the videos below `folder`, but for those whose stems are in `exclude`.

    Raises:
        FileNotFoundError: nothing was found.
    """
    banned = set(exclude)
    paths = [p for p in sorted(folder.rglob("*")) if p.suffix.lower() in VIDEOS and p.stem not in banned]
    sprites, reels = [], []
    for path in paths:
        frames = list(play(path, PICTURE))
        for at, mask in discover(frames, rules):
            sprites.append(sprite(frames[at], mask))
            reels.append(reel(frames, at, mask))
    if not reels:
        raise FileNotFoundError(f"no object found in the {len(paths)} videos below {folder}")
    return Found(sprites, reels)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Find objects in a folder of videos without annotations.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--exclude", default="", help="file stems held out, comma separated")
    parser.add_argument("--every", type=int, default=12, help="look at every so many frames")
    parser.add_argument("--out", type=Path, default=Path("runs/found"))
    options = parser.parse_args(arguments)
    found = search(options.folder, options.exclude.split(","), Rules(step=options.every))
    found.save(options.out)
    print(f"{options.out}: {found.summary}")


if __name__ == "__main__":
    main()
