"""The prompts of a request as the engine's, by the frame they act on. Pure.

Clicks without an object id are all of one object; each box without one is an object of its own (in fal's
example the clicks lie outside the box). A mask is of the clicks' object.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from engine.types import Box, Mask, Point, Points, Prompt
from signaling.fal.errors import FalError, Loc, invalid
from signaling.fal.schemas import BoxPrompt, PointPrompt
from signaling.fal.schemas import Prompt as PromptFields

NO_PROMPT = (
    "Nothing says what to follow: give prompts (points with x and y), box_prompts or mask_url. "
    "Words alone need a model that reads text"
)
NO_TEXT_MODEL = (
    "Words need a model that reads text, and this server's model ({model}) does not: leave {field} empty "
    "and give prompts (points), box_prompts or mask_url instead"
)


@dataclass(frozen=True, slots=True)
class Marks:
    """Every prompt of a request. `where` are the places in the input that errors name."""

    points: Sequence[tuple[Loc, PointPrompt]] = ()
    boxes: Sequence[tuple[Loc, BoxPrompt]] = ()
    mask: NDArray[np.bool_] | None = field(default=None)
    mask_frame: int = 0

    def by_frame(self, width: int, height: int) -> dict[int, tuple[Prompt, ...]]:
        """The engine's prompts for each frame that has some, for a picture of `width` x `height` pixels.

        Raises:
            FalError: 422 for a place outside the picture, a box without area, two boxes of one object.
        """
        numbered = self._numbered_boxes()
        boxes: dict[tuple[int, int], tuple[float, float, float, float]] = {}
        for loc, object_id, box in numbered:
            place = (box.frame_index or 0, object_id)
            if place in boxes:
                raise invalid((*loc, "object_id"), "Expected one box per object and frame", got=object_id)
            boxes[place] = _corners(loc, box, width, height)
        points: dict[tuple[int, int], list[Point]] = defaultdict(list)
        for loc, point in self.points:
            place = (point.frame_index or 0, self._points_id if point.object_id is None else point.object_id)
            points[place].append(_point(loc, point, width, height))
        return self._gathered(points, boxes)

    @property
    def frames(self) -> list[tuple[Loc, int]]:
        """Every frame that a prompt names, with the place where it stands."""
        prompts: list[tuple[Loc, PromptFields]] = [*self.points, *self.boxes]
        named: list[tuple[Loc, int]] = [
            ((*loc, "frame_index"), prompt.frame_index or 0) for loc, prompt in prompts
        ]
        return [*named, (("frame_index",), self.mask_frame)] if self.mask is not None else named

    @property
    def _points_id(self) -> int:
        """The object of clicks without an id: 1, or the first number that no prompt names."""
        return _free(self._named, 1)

    @property
    def _named(self) -> set[int]:
        prompts: list[tuple[Loc, PromptFields]] = [*self.points, *self.boxes]
        ids = [prompt.object_id for _, prompt in prompts]
        return {object_id for object_id in ids if object_id is not None}

    def _numbered_boxes(self) -> list[tuple[Loc, int, BoxPrompt]]:
        taken = self._named
        if self.mask is not None or any(point.object_id is None for _, point in self.points):
            taken = taken | {self._points_id}
        numbered = []
        for loc, box in self.boxes:
            object_id = _free(taken, 1) if box.object_id is None else box.object_id
            taken = taken | {object_id}
            numbered.append((loc, object_id, box))
        return numbered

    def _gathered(
        self,
        points: Mapping[tuple[int, int], Sequence[Point]],
        boxes: Mapping[tuple[int, int], tuple[float, float, float, float]],
    ) -> dict[int, tuple[Prompt, ...]]:
        frames: dict[int, list[Prompt]] = defaultdict(list)
        if self.mask is not None:
            frames[self.mask_frame].append(Mask(self._points_id, self.mask))
        for frame, object_id in sorted({*points, *boxes}):
            clicks = tuple(points.get((frame, object_id), ()))
            corners = boxes.get((frame, object_id))
            if corners is None:
                frames[frame].append(Points(object_id, clicks))
            else:
                frames[frame].append(Box(object_id, *corners, clicks))
        return {frame: tuple(prompts) for frame, prompts in sorted(frames.items())}


def placed_boxes(prompts: Sequence[BoxPrompt]) -> list[tuple[Loc, BoxPrompt]]:
    """Boxes with the places where they stand in the input."""
    return [(("box_prompts", index), prompt) for index, prompt in enumerate(prompts)]


def require_prompt(marks_given: bool, text: str, text_field: str, model: str) -> None:
    """Refuse a request that says nothing, or says it in words that the model does not read.

    Raises:
        FalError: 422 that says what to do.
    """
    if text:
        reason = NO_TEXT_MODEL.format(model=model, field=text_field)
        raise invalid((text_field,), reason, "feature_not_supported", got=text)
    if not marks_given:
        raise invalid(("prompts",), NO_PROMPT, "missing")


def beyond_the_end(loc: Loc, frame_index: int, frames: int) -> FalError:
    text = f"Frame {frame_index} does not exist: the video has {frames} frames"
    return invalid(loc, text, "less_than", got=frame_index, ctx={"lt": frames})


def _point(loc: Loc, point: PointPrompt, width: int, height: int) -> Point:
    return Point(
        _share((*loc, "x"), point.x, width), _share((*loc, "y"), point.y, height), positive=point.label == 1
    )


def _corners(loc: Loc, box: BoxPrompt, width: int, height: int) -> tuple[float, float, float, float]:
    for low, high in (("x_min", "x_max"), ("y_min", "y_max")):
        if getattr(box, high) <= getattr(box, low):
            least = getattr(box, low)
            text = f"Expected {high} greater than {low} ({least})"
            raise invalid((*loc, high), text, "greater_than", got=getattr(box, high), ctx={"gt": least})
    return (
        _share((*loc, "x_min"), box.x_min, width),
        _share((*loc, "y_min"), box.y_min, height),
        _share((*loc, "x_max"), box.x_max, width),
        _share((*loc, "y_max"), box.y_max, height),
    )


def _share(loc: Loc, pixel: int, size: int) -> float:
    if pixel > size:
        text = f"Outside the picture, which has {size} pixels on this side"
        raise invalid(loc, text, "less_than_equal", got=pixel, ctx={"le": size})
    return pixel / size


def _free(taken: set[int], first: int) -> int:
    while first in taken:
        first += 1
    return first
