"""A prompt message: its map to a checked value, and that value to the engine's prompts. Pure.

docs/protocol.md section 5. Coordinates stay pixels here until the size of the picture they were made on is
known; the engine gets 0..1.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from engine.types import (
    Box,
    Keep,
    Mask,
    Pin,
    Point,
    Points,
    Prompt,
    Redo,
    Release,
    Remove,
    Reset,
    Restart,
    Restore,
    Text,
    Undo,
)
from stream import mask_url
from stream.view import OBJECT_ID_MAX, ViewChange, read_object_ids, read_view_change
from stream.wire import MASK_MESSAGE_BYTES, Fields, Message, RequestId, WireError, request_id_of

POINTS = 128
BOXES = 64
REMOVALS = 64
TEXT_CHARACTERS = 256
SIDE = 16384
FRAME_MAX = 2**53
LABELS = {0: False, 1: True, "0": False, "1": True}
RESERVED = ("unpin",)
VERBS = ("undo", "redo", "restore", "restart", "pin")  # what may be done to `object_id`, one in a message
ACTING = (
    "prompts",
    "box_prompts",
    "mask_url",
    "prompt",
    "apply_mask",
    "output",
    "remove",
    "reset",
    "keep",
    *VERBS,
)


@dataclass(frozen=True, slots=True)
class Click:
    """A point in pixels; `where` is its path in the message."""

    x: float
    y: float
    positive: bool
    object_id: int
    frame_index: int | None
    where: str


@dataclass(frozen=True, slots=True)
class Rectangle:
    """A box in pixels, x0 < x1 and y0 < y1."""

    x0: float
    y0: float
    x1: float
    y1: float
    object_id: int
    frame_index: int | None
    where: str


@dataclass(frozen=True, slots=True, eq=False)
class PromptMessage:
    """One checked prompt message.

    Attributes:
        verb: one of VERBS, done to `object_id`.
        size: the (width, height) the coordinates count, where it was named.
        preview: what it would show is to be told at once.
        keep: the frame seen is not to be let go, or nothing is any more.
    """

    request_id: RequestId = None
    clicks: tuple[Click, ...] = ()
    boxes: tuple[Rectangle, ...] = ()
    mask: NDArray[np.bool_] | None = None
    text: str | None = None
    remove: tuple[int, ...] = ()
    reset: bool = False
    verb: str | None = None
    view: ViewChange = field(default_factory=ViewChange)
    object_id: int = 1
    replace: bool = False
    size: tuple[int, int] | None = None
    rtp_timestamp: int | None = None
    frame_index: int | None = None
    reanchor: bool = False
    preview: bool = False
    keep: bool | None = None

    @property
    def object_ids(self) -> tuple[int, ...]:
        """The objects that this message adds, brings back or corrects, ascending."""
        named = {click.object_id for click in self.clicks} | {box.object_id for box in self.boxes}
        own = self.mask is not None or self.verb is not None
        return tuple(sorted(named | ({self.object_id} if own else set())))

    @property
    def sees(self) -> bool:
        """Whether something in it speaks of a picture."""
        return (
            bool(self.placed) or self.mask is not None or self.verb in ("restart", "pin") or self.keep is True
        )

    @property
    def frame_indexes(self) -> frozenset[int]:
        """Every frame number that the message names itself."""
        named = [self.frame_index, *(prompt.frame_index for prompt in self.placed)]
        return frozenset(index for index in named if index is not None)

    @property
    def placed(self) -> list[Click | Rectangle]:
        return [*self.boxes, *self.clicks]

    def engine_prompts(self, width: int, height: int, seen: int | None) -> tuple[Prompt, ...]:
        """What the engine is to do, in order: reset, remove, undo and its like, text, masks, then boxes and
        points by object, then what is to be remembered, and last which frame is to be kept.

        Args:
            width, height: pixels of the source frame; used when the message names no size.
            seen: number of the frame that the message's person saw, where it is known.

        Raises:
            WireError: OUT_OF_RANGE for a coordinate outside the picture.
        """
        width, height = self.size or (width, height)
        prompts: list[Prompt] = [Reset()] if self.reset else []
        prompts += [Remove(object_id) for object_id in self.remove]
        prompts += self._deeds(seen)
        if self.text is not None:
            prompts.append(Text(self.text, None, seen))
        if self.mask is not None:
            prompts.append(Mask(self.object_id, self.mask, seen, self._may_reanchor(seen)))
        prompts += self._placed(width, height, seen)
        if self.verb == "pin":
            prompts.append(Pin(self.object_id, seen, self._may_reanchor(seen)))
        if self.keep is not None:
            prompts.append(Keep(seen) if self.keep else Release())
        return tuple(prompts)

    def _deeds(self, seen: int | None) -> Iterator[Prompt]:
        match self.verb:
            case "undo":
                yield Undo(self.object_id)
            case "redo":
                yield Redo(self.object_id)
            case "restore":
                yield Restore(self.object_id)
            case "restart":
                yield Restart(self.object_id, seen, self._may_reanchor(seen))

    def _placed(self, width: int, height: int, seen: int | None) -> Iterator[Prompt]:
        boxes = {box.object_id: box for box in self.boxes}
        for object_id in sorted({*boxes, *(click.object_id for click in self.clicks)}):
            clicks = [click for click in self.clicks if click.object_id == object_id]
            points = tuple(self._point(click, width, height) for click in clicks)
            box = boxes.get(object_id)
            named = box.frame_index if box else clicks[0].frame_index
            frame = seen if named is None else named
            if box is None:
                yield Points(object_id, points, self.replace, frame, self._may_reanchor(frame))
            else:
                yield Box(
                    object_id, *self._corners(box, width, height), points, frame, self._may_reanchor(frame)
                )

    def _may_reanchor(self, frame: int | None) -> bool:
        """Whether the newest frame will do where this one is not kept any more.

        A `frame_index` of 0 is what fal documents as its default, so clients send it without meaning the
        first moment of a stream that has gone on.
        """
        return self.reanchor or (frame == 0 and self.rtp_timestamp is None)

    def _point(self, click: Click, width: int, height: int) -> Point:
        return Point(
            self._share(click.x, width, f"{click.where}x"),
            self._share(click.y, height, f"{click.where}y"),
            click.positive,
        )

    def _corners(self, box: Rectangle, width: int, height: int) -> tuple[float, float, float, float]:
        return (
            self._share(box.x0, width, f"{box.where}x_min"),
            self._share(box.y0, height, f"{box.where}y_min"),
            self._share(box.x1, width, f"{box.where}x_max"),
            self._share(box.y1, height, f"{box.where}y_max"),
        )

    def _share(self, value: float, size: int, where: str) -> float:
        if value > size:
            raise WireError("OUT_OF_RANGE", f"{where}: expected 0..{size}, got {value:g}", self.request_id)
        return value / size


def read_prompt_message(message: Message) -> PromptMessage:
    """Check a whole message and give its value.

    Raises:
        WireError: by docs/protocol.md section 9, with the message's `request_id`.
    """
    fields = Fields(message, request_id=request_id_of(message))
    _check_request_id(fields)
    _refuse_reserved(fields)
    if not any(fields.has(name) for name in ACTING):
        fields.refuse("INVALID_INPUT", "", "at least one of " + ", ".join(ACTING), None)
    object_id = fields.integer("object_id", 0, OBJECT_ID_MAX) if fields.has("object_id") else 1
    size = _read_size(fields)
    checked = PromptMessage(
        request_id=fields.request_id,
        clicks=tuple(_read_click(item, object_id, size) for item in fields.items("prompts", POINTS)),
        boxes=tuple(_read_box(item, object_id, size) for item in fields.items("box_prompts", BOXES)),
        mask=_read_mask(fields) if fields.has("mask_url") else None,
        text=fields.text("prompt", TEXT_CHARACTERS) if fields.has("prompt") else None,
        remove=_read_remove(fields),
        reset=fields.boolean("reset", False),
        verb=_read_verb(fields),
        view=read_view_change(fields),
        object_id=object_id,
        replace=fields.boolean("replace", False),
        size=size,
        rtp_timestamp=_read_optional(fields, "rtp_timestamp", 2**32 - 1),
        frame_index=_read_optional(fields, "frame_index", FRAME_MAX),
        reanchor=fields.boolean("reanchor", False),
        preview=fields.boolean("preview", False),
        keep=fields.boolean("keep", False) if fields.has("keep") else None,
    )
    _check_agreement(fields, checked)
    return checked


def _check_request_id(fields: Fields) -> None:
    if fields.has("request_id") and fields.request_id is None:
        expected = "a string of 1..128 characters or an integer of 64 bits"
        fields.refuse("INVALID_INPUT", "request_id", expected, fields.get("request_id"))


def _refuse_reserved(fields: Fields) -> None:
    for name in RESERVED:
        if fields.get(name) not in (None, False):
            fields.refuse(
                "UNSUPPORTED", name, "it to be absent: this version does not do it", fields.get(name)
            )


def _read_size(fields: Fields) -> tuple[int, int] | None:
    if not fields.has("width") and not fields.has("height"):
        return None
    return fields.integer("width", 1, SIDE), fields.integer("height", 1, SIDE)


def _read_click(item: Fields, object_id: int, size: tuple[int, int] | None) -> Click:
    width, height = size or (SIDE, SIDE)
    return Click(
        x=item.number("x", 0, width),
        y=item.number("y", 0, height),
        positive=item.one_of("label", LABELS) if item.has("label") else True,
        object_id=item.integer("object_id", 0, OBJECT_ID_MAX) if item.has("object_id") else object_id,
        frame_index=_read_optional(item, "frame_index", FRAME_MAX),
        where=item.path,
    )


def _read_box(item: Fields, object_id: int, size: tuple[int, int] | None) -> Rectangle:
    width, height = size or (SIDE, SIDE)
    x0, x1 = item.number("x_min", 0, width), item.number("x_max", 0, width)
    y0, y1 = item.number("y_min", 0, height), item.number("y_max", 0, height)
    if not x0 < x1:
        item.refuse("INVALID_INPUT", "x_max", f"more than x_min {x0:g}", x1)
    if not y0 < y1:
        item.refuse("INVALID_INPUT", "y_max", f"more than y_min {y0:g}", y1)
    return Rectangle(
        x0=x0,
        y0=y0,
        x1=x1,
        y1=y1,
        object_id=item.integer("object_id", 0, OBJECT_ID_MAX) if item.has("object_id") else object_id,
        frame_index=_read_optional(item, "frame_index", FRAME_MAX),
        where=item.path,
    )


def _read_mask(fields: Fields) -> NDArray[np.bool_]:
    url = fields.text("mask_url", MASK_MESSAGE_BYTES)
    try:
        return mask_url.decode(url)
    except mask_url.MaskTooLarge as error:
        raise WireError("TOO_LARGE", f"mask_url: {error}", fields.request_id) from error
    except mask_url.MaskError as error:
        raise WireError("BAD_MASK", f"mask_url: {error}", fields.request_id) from error


def _read_remove(fields: Fields) -> tuple[int, ...]:
    if isinstance(fields.get("remove"), list):
        return read_object_ids(fields, "remove", REMOVALS)
    return (fields.integer("remove", 0, OBJECT_ID_MAX),) if fields.has("remove") else ()


def _read_verb(fields: Fields) -> str | None:
    verbs = [verb for verb in VERBS if fields.boolean(verb, False)]
    if len(verbs) > 1:
        fields.refuse("INVALID_INPUT", verbs[1], f"at most one of {', '.join(VERBS)}", verbs)
    return verbs[0] if verbs else None


def _read_optional(fields: Fields, name: str, high: int) -> int | None:
    return fields.integer(name, 0, high) if fields.has(name) else None


def _check_agreement(fields: Fields, message: PromptMessage) -> None:
    """What single fields cannot show: one box per object, one frame per object, something to do."""
    boxed = [box.object_id for box in message.boxes]
    if len(set(boxed)) != len(boxed):
        fields.refuse("INVALID_INPUT", "box_prompts", "at most one box per object", boxed)
    frames: dict[int, int | None] = {}
    for prompt in message.placed:
        if frames.setdefault(prompt.object_id, prompt.frame_index) != prompt.frame_index:
            expected = f"all prompts of object {prompt.object_id} on one frame"
            fields.refuse("INVALID_INPUT", f"{prompt.where}frame_index", expected, prompt.frame_index)
    acts = message.clicks or message.boxes or message.mask is not None or message.text
    if not (
        acts or message.keep is not None or message.remove or message.reset or message.verb or message.view
    ):
        fields.refuse("INVALID_INPUT", "", "something to do", "a message whose acting fields are empty")
