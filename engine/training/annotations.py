"""Boxes that a person drew around objects of clips, and how well other boxes agree with them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

HELD_OUT = Path(__file__).parent / "data" / "heldout_boxes.json"

Box = tuple[float, float, float, float]  # x0, y0, x1, y1 in 0..1 of the picture


@dataclass(frozen=True, slots=True)
class Annotated:
    """One object of one clip.

    Attributes:
        clip: file name.
        boxes: by frame number, ascending; None where the object cannot be seen. The first is a box.
    """

    clip: str
    name: str
    boxes: Mapping[int, Box | None]

    @property
    def first(self) -> int:
        return next(iter(self.boxes))

    @property
    def last(self) -> int:
        return max(self.boxes)

    @property
    def start(self) -> Box:
        box = self.boxes[self.first]
        assert box is not None
        return box


def load_annotations(path: Path = HELD_OUT) -> list[Annotated]:
    """Read `{"size": [width, height], "clips": {file: {object: {frame: [x0, y0, x1, y1] or null}}}}`.

    Raises:
        ValueError: an object whose first frame has no box, or a box that is not inside the picture.
    """
    content = json.loads(path.read_text())
    width, height = content["size"]
    return [
        Annotated(clip, name, _boxes(f"{path}: {clip}: {name}", frames, width, height))
        for clip, objects in content["clips"].items()
        for name, frames in objects.items()
    ]


def _boxes(
    where: str, frames: Mapping[str, list[float] | None], width: float, height: float
) -> dict[int, Box | None]:
    boxes: dict[int, Box | None] = {}
    for frame in sorted(frames, key=int):
        corners = frames[frame]
        if corners is None:
            if not boxes:
                raise ValueError(f"{where}: expected a box on the first frame, {frame}, got null")
            boxes[int(frame)] = None
            continue
        x0, y0, x1, y1 = corners
        if not (0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height):
            raise ValueError(f"{where}: expected a box inside {width} x {height}, got {corners}")
        boxes[int(frame)] = (x0 / width, y0 / height, x1 / width, y1 / height)
    return boxes


def iou(a: Box | None, b: Box | None) -> float:
    """Intersection over union; 0 when either is missing."""
    if a is None or b is None:
        return 0.0
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    common = max(0.0, width) * max(0.0, height)
    return common / (_area(a) + _area(b) - common)


def _area(box: Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])
