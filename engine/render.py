"""A frame and its masks become the picture that is shown. NumPy only; it knows no model and no stream.

Pictures keep their layout: RGB stays RGB; planar I420 is worked on plane by plane and never leaves YUV.
Drawing an object costs what its bounding box costs.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.blur import blur_around
from engine.palette import Colour, colour_of, yuv
from engine.types import Frame, MaskSet

Pixels = NDArray[np.uint8]
Bools = NDArray[np.bool_]

TINT: Final = 128  # of 256: how much of the object's colour lies over it
SHADOW: Final = 200  # of 256: how dark the line around it is
LIGHT: Final = 170  # of 256: how far its bright line is from its colour towards white
BLACK: Final[Colour] = (0, 0, 0)
WHITE: Final[Colour] = (255, 255, 255)


class RenderMode(StrEnum):
    """OVERLAY: tint and contour. CUTOUT: objects on one colour. BLUR: all but the objects blurred.
    MASK: the objects' colours on black. PLAIN: the picture as it came."""

    OVERLAY = "overlay"
    CUTOUT = "cutout"
    BLUR = "blur"
    MASK = "mask"
    PLAIN = "plain"


@dataclass(frozen=True, slots=True)
class Box:
    """Pixels x0 <= x < x1, y0 <= y < y1 of the whole picture; the corner x0, y0 is even."""

    x0: int
    y0: int
    x1: int
    y1: int

    def at(self, step: int) -> tuple[slice, slice]:
        """Where it lies in a plane whose pixels are `step` apart."""
        end_y, end_x = -(-self.y1 // step), -(-self.x1 // step)
        return slice(self.y0 // step, end_y), slice(self.x0 // step, end_x)


@dataclass(frozen=True, slots=True, eq=False)
class Shown:
    """One object that is to be drawn: its mask [h, w] within its box, which has room for the contour."""

    colour: Colour
    box: Box
    mask: Bools


def render(
    frame: Frame,
    masks: MaskSet,
    mode: RenderMode,
    *,
    hidden: Collection[int] = (),
    background: Colour = BLACK,
) -> Pixels:
    """Draw the masks into the picture.

    Args:
        frame: RGB [H, W, 3] or planar I420 [H * 3 / 2, W]; it is not changed.
        masks: of the very frame, each bool [H, W].
        mode: how.
        hidden: ids of objects not to be drawn, as if they were not there.
        background: RGB behind the objects of `cutout`.

    Returns:
        uint8 of the frame's layout and size. `plain` returns the frame's own array.

    Raises:
        ValueError: a mask is not of the frame's size.
    """
    if mode is RenderMode.PLAIN:
        return frame.image
    line = max(1, round(frame.height / 480))
    shown = _shown(frame, masks, hidden, line + 1)
    out = np.empty(frame.image.shape, np.uint8)
    for plane, source in zip(_planes(frame, out), _planes(frame, frame.image), strict=True):
        match mode:
            case RenderMode.OVERLAY:
                _overlay(plane, source, shown, line)
            case RenderMode.CUTOUT:
                _cutout(plane, source, shown, background)
            case RenderMode.BLUR:
                _blur(plane, source, shown)
            case RenderMode.MASK:
                _mask(plane, shown)
    return out


@dataclass(frozen=True, slots=True, eq=False)
class Plane:
    """One plane of a picture: `pixels` [h, w] or [h, w, 3], `step` source pixels apart.

    `channel` says what it holds: 0, 1, 2 for Y, U, V, None for all of RGB.
    """

    pixels: Pixels
    step: int
    channel: int | None

    def tone(self, colour: Colour) -> NDArray[np.uint8]:
        """What an RGB colour is in this plane: [3] or a scalar."""
        return np.array(colour if self.channel is None else yuv(colour)[self.channel], np.uint8)

    def window(self, box: Box) -> Pixels:
        return self.pixels[box.at(self.step)]

    def chosen(self, mask: Bools) -> Bools:
        """A mask within a box, at this plane's resolution and broadcastable over its pixels."""
        sampled = mask[:: self.step, :: self.step]
        return sampled if self.pixels.ndim == 2 else sampled[..., None]

    def put(self, box: Box, mask: Bools, values: NDArray[np.uint8]) -> None:
        np.copyto(self.window(box), values, where=self.chosen(mask))

    def mix(self, box: Box, mask: Bools, colour: Colour, weight: int) -> None:
        """Lay `weight` 256ths of a colour over the masked pixels of the box."""
        blend = self.window(box) * np.uint16(256 - weight)
        blend += self.tone(colour) * np.uint16(weight)
        blend >>= 8
        self.put(box, mask, blend.astype(np.uint8))


def _planes(frame: Frame, image: Pixels) -> tuple[Plane, ...]:
    """The planes of a picture laid out as the frame's, as views of `image`."""
    if not frame.planar:
        return (Plane(image, 1, None),)
    height, width = frame.height, frame.width
    flat = image.reshape(-1)
    luma, half = height * width, (height // 2, width // 2)
    chroma = half[0] * half[1]
    return (
        Plane(flat[:luma].reshape(height, width), 1, 0),
        Plane(flat[luma : luma + chroma].reshape(half), 2, 1),
        Plane(flat[luma + chroma :].reshape(half), 2, 2),
    )


def _shown(frame: Frame, masks: MaskSet, hidden: Collection[int], room: int) -> list[Shown]:
    """The objects that have something to draw, in the order of their ids: later ones lie on top."""
    shown = []
    for thing in masks.objects:
        if thing.mask.shape != (frame.height, frame.width):
            raise ValueError(
                f"expected masks of [{frame.height}, {frame.width}], got {list(thing.mask.shape)} "
                f"for object {thing.object_id}"
            )
        box = None if thing.object_id in hidden else _bounds(thing.mask, room)
        if box is not None:
            shown.append(Shown(colour_of(thing.object_id), box, thing.mask[box.at(1)]))
    return shown


def _bounds(mask: Bools, room: int) -> Box | None:
    """The pixels of a mask and `room` around them, within the picture; None if it is empty."""
    rows = np.flatnonzero(mask.any(axis=1))
    if not len(rows):
        return None
    top, bottom = int(rows[0]), int(rows[-1]) + 1
    columns = np.flatnonzero(mask[top:bottom].any(axis=0))
    height, width = mask.shape
    x0, y0 = max(0, int(columns[0]) - room) & ~1, max(0, top - room) & ~1
    return Box(x0, y0, min(width, int(columns[-1]) + 1 + room), min(height, bottom + room))


def _overlay(plane: Plane, source: Plane, shown: Sequence[Shown], line: int) -> None:
    """Tint; and where resolution is full a dark line just outside, with a bright one twice as wide inside."""
    plane.pixels[...] = source.pixels
    for thing in shown:
        plane.mix(thing.box, thing.mask, thing.colour, TINT)
        if plane.step == 1:
            outside = grow(thing.mask, line) & ~thing.mask
            inside = thing.mask & grow(~thing.mask, 2 * line)
            plane.mix(thing.box, outside, BLACK, SHADOW)
            plane.put(thing.box, inside, plane.tone(_towards_white(thing.colour)))


def _cutout(plane: Plane, source: Plane, shown: Sequence[Shown], background: Colour) -> None:
    plane.pixels[...] = plane.tone(background)
    for thing in shown:
        plane.put(thing.box, thing.mask, source.window(thing.box))


def _mask(plane: Plane, shown: Sequence[Shown]) -> None:
    plane.pixels[...] = plane.tone(BLACK)
    for thing in shown:
        plane.put(thing.box, thing.mask, plane.tone(thing.colour))


def _blur(plane: Plane, source: Plane, shown: Sequence[Shown]) -> None:
    covered = np.zeros(plane.pixels.shape[:2], np.bool_)
    for thing in shown:
        covered[thing.box.at(plane.step)] |= thing.mask[:: plane.step, :: plane.step]
    blur_around(source.pixels, covered, plane.pixels)
    for thing in shown:
        plane.put(thing.box, thing.mask, source.window(thing.box))


def grow(mask: Bools, by: int) -> Bools:
    """Dilate a mask by its four neighbours, `by` times. Beyond the edge there is nothing to grow from."""
    for _ in range(by):
        grown = mask.copy()
        grown[1:] |= mask[:-1]
        grown[:-1] |= mask[1:]
        grown[:, 1:] |= mask[:, :-1]
        grown[:, :-1] |= mask[:, 1:]
        mask = grown
    return mask


def _towards_white(colour: Colour) -> Colour:
    r, g, b = ((c * (256 - LIGHT) + w * LIGHT) >> 8 for c, w in zip(colour, WHITE, strict=True))
    return r, g, b
