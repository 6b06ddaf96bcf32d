"""The plain values that travel between rooms: frames, prompts, masks.

Frozen dataclasses over numpy. This file knows no torch, no network, no session.
Coordinates are normalised: x / width and y / height of the source picture, 0..1, origin top left.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray


class EngineError(Exception):
    """A request that the engine refuses; `code` is stable, the message is for people."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture of one stream.

    Attributes:
        index: number of this frame among the *processed* frames of its stream, from 0.
        image: uint8, either [H, W, 3] RGB or planar I420 [H * 3 / 2, W] (H and W even, BT.601 limited
            range, as `av.VideoFrame.to_ndarray(format="yuv420p")` gives it).
        captured_at: `time.monotonic()` seconds when the frame was received.
        pts: presentation time in seconds of the source clock, where the source has one.
        rtp_timestamp: 90 kHz RTP timestamp under which the *masked* frame will be sent, where there is one.
        capture_time: Unix seconds of the capture by the wall clock of whoever sent it, where that is known.
    """

    index: int
    image: NDArray[np.uint8]
    captured_at: float = 0.0
    pts: float | None = None
    rtp_timestamp: int | None = None
    capture_time: float | None = None

    @property
    def planar(self) -> bool:
        return self.image.ndim == 2

    @property
    def width(self) -> int:
        return int(self.image.shape[1])

    @property
    def height(self) -> int:
        return int(self.image.shape[0]) * 2 // 3 if self.planar else int(self.image.shape[0])


@dataclass(frozen=True, slots=True)
class Point:
    """A click at (x, y) in 0..1; positive includes, negative excludes."""

    x: float
    y: float
    positive: bool = True


@dataclass(frozen=True, slots=True)
class Points:
    """Clicks on one object. They accumulate on the clicked frame unless `replace`.

    Here and below `frame_index` is the frame that the person saw, None for the newest. One that the tracker
    no longer keeps is refused as FRAME_EXPIRED, or taken to mean the newest where `reanchor` allows it.
    """

    object_id: int
    points: tuple[Point, ...]
    replace: bool = False
    frame_index: int | None = None
    reanchor: bool = False


@dataclass(frozen=True, slots=True)
class Box:
    """A box around one object, corners in 0..1; replaces earlier clicks on the frame.

    `points` are clicks given together with the box: SAM 2 reads the box as two more points before them.
    """

    object_id: int
    x0: float
    y0: float
    x1: float
    y1: float
    points: tuple[Point, ...] = ()
    frame_index: int | None = None
    reanchor: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Mask:
    """A whole mask of one object: bool [h, w] of any size, resized to the model's."""

    object_id: int
    mask: NDArray[np.bool_]
    frame_index: int | None = None
    reanchor: bool = False


@dataclass(frozen=True, slots=True)
class Pin:
    """Remember what the object looks like on a frame, as if it had been prompted there."""

    object_id: int
    frame_index: int | None = None
    reanchor: bool = False


@dataclass(frozen=True, slots=True)
class Restart:
    """Forget what the object looked like before a frame, and go on from its mask there."""

    object_id: int
    frame_index: int | None = None
    reanchor: bool = False


@dataclass(frozen=True, slots=True)
class Text:
    """Words that name objects; needs a text model, which a preset may not have."""

    text: str
    object_id: int | None = None
    frame_index: int | None = None


@dataclass(frozen=True, slots=True)
class Remove:
    """Take one object away; its id may be used again afterwards."""

    object_id: int


@dataclass(frozen=True, slots=True)
class Restore:
    """Bring a removed object back, as if it had not been removed."""

    object_id: int


@dataclass(frozen=True, slots=True)
class Undo:
    """Take back what was last done to an object; what made it takes the object away."""

    object_id: int


@dataclass(frozen=True, slots=True)
class Redo:
    """Do again what was last undone."""

    object_id: int


@dataclass(frozen=True, slots=True)
class Keep:
    """Do not let go of a frame, None for the newest, while a person looks at it; of the one before, do."""

    frame_index: int | None = None


@dataclass(frozen=True, slots=True)
class Release:
    """No frame is looked at any more."""


@dataclass(frozen=True, slots=True)
class Reset:
    """Forget every object of the stream for good."""


Placed = Points | Box | Mask | Pin | Restart
Prompt = Placed | Text | Remove | Restore | Undo | Redo | Keep | Release | Reset


class ObjectState(StrEnum):
    """What the tracker believes of an object on a frame.

    OCCLUDED: absent on this frame, seen recently. LOST: absent for longer than the tracker's patience.
    """

    TRACKING = "tracking"
    OCCLUDED = "occluded"
    LOST = "lost"


@dataclass(frozen=True, slots=True, eq=False)
class ObjectMask:
    """One object on one frame.

    Attributes:
        mask: bool [H, W] at the size of the source picture; all False when the object is not seen.
        score: probability in 0..1 that the object is visible (sigmoid of SAM 2's object score logit).
        box: normalised (cx, cy, w, h) of the mask, None when it is empty.
    """

    object_id: int
    mask: NDArray[np.bool_]
    score: float
    box: tuple[float, float, float, float] | None
    state: ObjectState


@dataclass(frozen=True, slots=True, eq=False)
class MaskSet:
    """Every object of a stream on one frame, ascending by object id. Complete in itself.

    `timings` are seconds by stage ("encode", "track", "prompt", "total", ...); "remember" is of the step
    before, for the masks are given out before they are remembered.
    `rejected` are prompts that could not be carried out, with the reason.
    `pending` are prompts, of this step or earlier ones, whose effect does not show yet: they were made on an
    earlier frame, and their object is being followed from there to here. A prompt that was neither rejected
    nor is pending any more shows in `objects`.
    `reanchored` are prompts of this step that were carried out here because their frame is kept no more.
    `memory_bytes` is what the stream's objects and past frames take, as last counted: once a second or so.
    """

    frame_index: int
    objects: tuple[ObjectMask, ...]
    timings: Mapping[str, float] = field(default_factory=dict)
    rejected: tuple[tuple[Prompt, EngineError], ...] = ()
    pending: tuple[Prompt, ...] = ()
    reanchored: tuple[Prompt, ...] = ()
    memory_bytes: int = 0
