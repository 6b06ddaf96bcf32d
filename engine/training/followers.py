"""What can be scored: anything that is shown frames and boxes to start from, and says where things are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from engine.models import Model
from engine.tracker import Tracker
from engine.training.annotations import Box
from engine.training.footage import Image
from engine.types import Box as BoxPrompt
from engine.types import Frame, Point, Points, Prompt

First = Literal["box", "click"]


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """Where an object is on a frame; `box` is None when it is held to be absent."""

    box: Box | None
    mask: NDArray[np.bool_] | None = None


class Follower(Protocol):
    """Follows the objects of one clip."""

    def step(self, rgb: Image, starts: Mapping[str, Box]) -> Mapping[str, Seen]:
        """The next frame, uint8 [H, W, 3], and the objects that start on it; gives all followed so far."""
        ...


class TrackerFollower:
    """The engine's tracker, each object started by its box or by one click in the middle of it."""

    def __init__(self, model: Model, first: First) -> None:
        self._tracker = Tracker(model, max_objects=64, history=0)
        self._first = first
        self._names: dict[int, str] = {}
        self._frame = 0

    def step(self, rgb: Image, starts: Mapping[str, Box]) -> Mapping[str, Seen]:
        prompts = [self._prompt(name, box) for name, box in starts.items()]
        result = self._tracker.step(Frame(self._frame, rgb), prompts)
        for _, error in result.rejected:
            raise error
        self._frame += 1
        return {self._names[o.object_id]: Seen(_corners(o.box), o.mask) for o in result.objects}

    def _prompt(self, name: str, box: Box) -> Prompt:
        number = len(self._names) + 1
        self._names[number] = name
        if self._first == "box":
            return BoxPrompt(number, *box)
        return Points(number, (Point((box[0] + box[2]) / 2, (box[1] + box[3]) / 2),))


def _corners(box: tuple[float, float, float, float] | None) -> Box | None:
    if box is None:
        return None
    cx, cy, w, h = box
    return cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2


class CsrtFollower:
    """OpenCV's CSRT, one per object: boxes only. Lukezic et al., CVPR 2017."""

    def __init__(self) -> None:
        self._trackers: dict[str, Any] = {}

    def step(self, rgb: Image, starts: Mapping[str, Box]) -> Mapping[str, Seen]:
        import cv2

        height, width = rgb.shape[:2]
        bgr = np.ascontiguousarray(rgb[..., ::-1])
        seen = {}
        for name, tracker in self._trackers.items():
            found, (x, y, w, h) = tracker.update(bgr)
            inside = (max(0, x), max(0, y), min(width, x + w), min(height, y + h))
            here = found and inside[2] > inside[0] and inside[3] > inside[1]
            x0, y0, x1, y1 = inside
            seen[name] = Seen((x0 / width, y0 / height, x1 / width, y1 / height) if here else None)
        for name, box in starts.items():
            x0, y0, x1, y1 = (round(v * s) for v, s in zip(box, (width, height, width, height), strict=True))
            self._trackers[name] = cv2.TrackerCSRT.create()
            self._trackers[name].init(bgr, (x0, y0, x1 - x0, y1 - y0))
            seen[name] = Seen(box)
        return seen
