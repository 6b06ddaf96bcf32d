"""The built-in clip: a camera's view of four moving things, with the exact mask of each on every frame.

It knows numpy alone. The clip is fixed: the bundled model is judged on it and has never been trained on it,
so neither its script (`engine.choreography`) nor its surfaces (`engine.textures`) are to change.

What happens in its 14 seconds, after which it begins again without a seam: all four things are in view at
the start; 1 crosses in front of 2 (second 3.5); 3 passes behind a post, wholly hidden for 15 frames (second
6, and again on its way back at 12); 4 leaves the picture on the right and returns (seconds 7.9 to 9.3), later
passes before 2; all of them turn and change size, the wall drifts, the light changes, the sensor is noisy.
"""

from __future__ import annotations

import math
from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

from engine import textures
from engine.choreography import PERIOD, SCRIPT, Pose, Thing, pose_at
from engine.textures import Sprite

PILLAR_CENTRE, PILLAR_WIDTH = 0.62, 0.205  # in picture widths, when the wall is at rest
DRIFT_X, DRIFT_Y = 0.012, 0.02  # how far the wall drifts either way, in widths and heights


class SyntheticClip:
    """The built-in clip at any size.

    Args:
        width, height: pixels, at least 64 each.
        fps: frames a second; the script is in seconds, so this changes only how finely it is sampled.
        seconds: length reported by `len`; frames after it exist (the script repeats every 14 s).
        seed: of the surfaces and the sensor noise.
    """

    def __init__(
        self,
        width: int = 640,
        height: int = 480,
        fps: float = 30.0,
        seconds: float = PERIOD,
        seed: int = 7321,
    ) -> None:
        if width < 64 or height < 64 or fps <= 0 or seconds <= 0:
            raise ValueError(
                f"expected at least 64x64, fps > 0, seconds > 0; got {width}x{height}, {fps}, {seconds}"
            )
        self.width, self.height, self.fps, self.seconds, self.seed = width, height, fps, seconds, seed
        self._unit = min(height, 0.75 * width)
        rng = np.random.RandomState(
            seed
        )  # the legacy generator: its streams are frozen across NumPy versions
        self._sprites = {thing.object_id: self._paint(thing, rng) for thing in SCRIPT}
        self._margin_x, self._margin_y = math.ceil(DRIFT_X * width) + 2, math.ceil(DRIFT_Y * height) + 2
        self._canvas, self._open = self._paint_wall(rng)
        self._light = self._paint_light()
        self._noise = self._paint_noise(rng)

    def __len__(self) -> int:
        return round(self.fps * self.seconds)

    @property
    def object_ids(self) -> tuple[int, ...]:
        return tuple(sorted(thing.object_id for thing in SCRIPT))

    def frame(
        self, index: int, without: Collection[int] = ()
    ) -> tuple[NDArray[np.uint8], dict[int, NDArray[np.bool_]]]:
        """Frame `index` and what is visible of each object on it.

        Args:
            index: 0 or more.
            without: ids of objects to leave out of the scene; all else stays the same to the bit.

        Returns:
            RGB uint8 [H, W, 3], and for every object in the scene its bool mask [H, W]: the pixels it
            covers by at least half while nothing nearer does. All False while it is hidden or out of view.
        """
        t = index / self.fps % PERIOD
        x, y = self._drift(t)
        picture = self._wall(x, y)
        masks: dict[int, NDArray[np.bool_]] = {}
        for thing in SCRIPT:
            if thing.object_id not in without:
                self._draw(thing, t, x, picture, masks)
        return self._expose(picture, t, index), dict(sorted(masks.items()))

    def clicks(self) -> dict[int, tuple[int, float, float]]:
        """One good click per object: `(frame_index, x, y)`, x and y in 0..1, at its innermost pixel."""
        _, masks = self.frame(0)
        return {object_id: (0, *_innermost(mask)) for object_id, mask in masks.items()}

    def _paint(self, thing: Thing, rng: np.random.RandomState) -> Sprite:
        """Twice as fine as the largest it is shown, so that picking the nearest texel does not alias."""
        size = math.ceil(4 * thing.radius * self._unit)
        return textures.paint(thing.shape, thing.surface, size, rng)

    def _paint_wall(self, rng: np.random.RandomState) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
        """The wall with the post in it, and by column how much shows *past* the post, 0..256."""
        height, width = self.height + 2 * self._margin_y, self.width + 2 * self._margin_x
        canvas = textures.backdrop(height, width, self._unit, rng)
        post = textures.pillar(height, round(PILLAR_WIDTH * self.width), self._unit, rng)
        left = self._margin_x + round((PILLAR_CENTRE - PILLAR_WIDTH / 2) * self.width)
        canvas[:, left : left + post.shape[1]] = post
        past = np.full(width, 256, np.int32)
        past[left : left + post.shape[1]] = 0
        return canvas, past

    def _paint_light(self) -> NDArray[np.uint16]:
        """Lamp at the upper left and the lens's fall-off: gain [H, W, 1] in 256ths."""
        y, x = np.linspace(-1, 1, self.height)[:, None], np.linspace(-1, 1, self.width)[None, :]
        gain = 1 - 0.07 * (x**2 + y**2) - 0.06 * x - 0.05 * y
        light: NDArray[np.uint16] = np.rint(236 * gain / gain.max()).astype(np.uint16)[..., None]
        return light

    def _paint_noise(self, rng: np.random.RandomState) -> NDArray[np.int16]:
        """Sensor noise on a tile larger than the picture: grey and coloured, standard deviation about 3."""
        shape = (self.height + 61, self.width + 67)
        grey = rng.standard_normal((*shape, 1)) * 2.4
        return np.rint(grey + rng.standard_normal((*shape, 3)) * 1.7).astype(np.int16)

    def _drift(self, t: float) -> tuple[float, float]:
        """Left and upper edge of the view on the wall's canvas, pixels, to a sixteenth."""
        phase = 2 * math.pi * t / PERIOD
        x = self._margin_x + DRIFT_X * self.width * math.sin(phase)
        y = self._margin_y + DRIFT_Y * self.height * math.sin(2 * phase + 0.6)
        return round(x * 16) / 16, round(y * 16) / 16

    def _wall(self, x: float, y: float) -> NDArray[np.uint16]:
        """The canvas seen from (x, y), bilinear in sixteenths: uint16 [H, W, 3] of 0..255."""
        left, top, fx, fy = int(x), int(y), int(x * 16) % 16, int(y * 16) % 16
        rows = self._canvas[top : top + self.height + 1, left : left + self.width + 1].astype(np.uint16)
        across = rows[:, :-1] * np.uint16(16 - fx)
        across += rows[:, 1:] * np.uint16(fx)
        seen = across[:-1] * np.uint16(16 - fy)
        seen += across[1:] * np.uint16(fy)
        seen >>= 8
        return seen

    def _draw(
        self,
        thing: Thing,
        t: float,
        x: float,
        picture: NDArray[np.uint16],
        masks: dict[int, NDArray[np.bool_]],
    ) -> None:
        """Lay one thing over `picture` and take what it hides from the masks drawn so far."""
        mask = np.zeros((self.height, self.width), np.bool_)
        masks[thing.object_id] = mask
        placed = self._place(thing, pose_at(thing, t))
        if placed is None:
            return
        rows, columns, texels = placed
        sprite = self._sprites[thing.object_id]
        alpha = sprite.alpha.reshape(-1)[texels].astype(np.int32)
        if thing.behind_pillar:
            alpha = (alpha * self._past_pillar(x)[columns]) >> 8
        covers = alpha >= 128
        for nearer_than in masks.values():
            nearer_than[rows, columns] &= ~covers
        mask[rows, columns] = covers
        under = picture[rows, columns].astype(np.int32)
        colour = sprite.colour.reshape(-1, 3)[texels]
        picture[rows, columns] = under + (((colour - under) * alpha[..., None] + 127) // 255)

    def _past_pillar(self, x: float) -> NDArray[np.int32]:
        """By picture column, how much of a thing behind the post shows, 0..256."""
        left, fx = int(x), int(x * 16) % 16
        past = self._open[left : left + self.width + 1]
        return (past[:-1] * (16 - fx) + past[1:] * fx) >> 4

    def _place(self, thing: Thing, pose: Pose) -> tuple[slice, slice, NDArray[np.int32]] | None:
        """The part of the picture that a thing may touch and the texel under each pixel; None if outside."""
        size = self._sprites[thing.object_id].alpha.shape[0]
        radius = thing.radius * self._unit * pose.size
        cx, cy = pose.x * self.width, pose.y * self.height
        reach = radius * 1.2
        x0, x1 = max(0, math.floor(cx - reach)), min(self.width, math.ceil(cx + reach))
        y0, y1 = max(0, math.floor(cy - reach)), min(self.height, math.ceil(cy + reach))
        if x0 >= x1 or y0 >= y1:
            return None
        step = (
            size / 2 / radius * 4096
        )  # texels a pixel, 20.12 fixed point: integers are alike on every machine
        cos, sin = step * math.cos(2 * math.pi * pose.turns), step * math.sin(2 * math.pi * pose.turns)
        dx, dy = np.arange(x0, x1) + 0.5 - cx, np.arange(y0, y1) + 0.5 - cy
        u = _fixed(cos * dx + size * 2048)[None, :] + _fixed(sin * dy)[:, None]
        v = _fixed(-sin * dx + size * 2048)[None, :] + _fixed(cos * dy)[:, None]
        texels = np.clip(v >> 12, 0, size - 1) * np.int32(size) + np.clip(u >> 12, 0, size - 1)
        return slice(y0, y1), slice(x0, x1), texels

    def _expose(self, picture: NDArray[np.uint16], t: float, index: int) -> NDArray[np.uint8]:
        """Light, slow change of brightness and sensor noise: what the camera makes of the scene."""
        flicker = (
            16 + 0.8 * math.sin(2 * math.pi * t / PERIOD * 3) + 0.4 * math.sin(2 * math.pi * t / PERIOD * 7)
        )
        picture *= (self._light * np.uint16(round(flicker * 16))) >> 8
        picture >>= 8
        top, left = index * 37 % 61, index * 53 % 67
        lit = picture.view(np.int16)
        lit += self._noise[top : top + self.height, left : left + self.width]
        return np.clip(lit, 0, 255, out=lit).astype(np.uint8)


def _fixed(values: NDArray[np.float64]) -> NDArray[np.int32]:
    return np.rint(values).astype(np.int32)


def _innermost(mask: NDArray[np.bool_]) -> tuple[float, float]:
    """The centre, in 0..1, of the pixel that survives the most erosions by its four neighbours."""
    left = np.pad(mask, 1)
    while True:
        inner = left.copy()
        inner[1:-1, 1:-1] &= left[:-2, 1:-1] & left[2:, 1:-1] & left[1:-1, :-2] & left[1:-1, 2:]
        if not inner.any():
            break
        left = inner
    rows, columns = np.nonzero(left[1:-1, 1:-1])
    middle = len(rows) // 2
    return (float(columns[middle]) + 0.5) / mask.shape[1], (float(rows[middle]) + 0.5) / mask.shape[0]
