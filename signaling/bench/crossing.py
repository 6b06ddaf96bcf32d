"""The clip of the click bench: something crosses the picture and back, fast, past things that lie still."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine import textures
from engine.choreography import SCRIPT
from engine.textures import Sprite

STILL = 3  # things that lie beside its way
NOISE = 3.0  # standard deviation of the sensor's


@dataclass(frozen=True, slots=True)
class Place:
    """Centre of a thing on the first frame, pixels."""

    x: float
    y: float


class Crossing:
    """From edge to edge at `speed` pixels a second, again and again.

    Args:
        seconds: of `len` frames.
        seed: of shapes, surfaces, places and the direction.
    """

    def __init__(
        self,
        seed: int,
        *,
        width: int = 640,
        height: int = 480,
        speed: float = 600.0,
        fps: float = 30.0,
        seconds: float = 2.0,
    ) -> None:
        self.width, self.height, self.fps, self.seconds = width, height, fps, seconds
        rng = np.random.RandomState(seed)
        self._radius = height // 7
        self._wall = textures.backdrop(height, width, height, rng)
        kinds = rng.permutation(4)
        self._sprites = [self._paint(SCRIPT[kind].object_id, rng) for kind in kinds]
        self._right = bool(rng.randint(2))
        self._step = speed / fps
        y = float(rng.uniform(0.46, 0.54)) * height
        self._height = y
        self._still = [
            Place(width * (0.2 + 0.3 * i), y + (-1) ** i * 2.25 * self._radius) for i in range(STILL)
        ]
        self._grain = np.rint(rng.standard_normal((height + 61, width + 67, 1)) * NOISE).astype(np.int16)

    def __len__(self) -> int:
        return round(self.fps * self.seconds)

    def centre(self, index: int) -> tuple[float, float]:
        """Pixels of what crosses."""
        way = self.width - 2 * self._radius
        gone = self._step * index % (2 * way)
        x = self._radius + min(gone, 2 * way - gone)
        return (x if self._right else self.width - x), self._height

    def frame(self, index: int) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """RGB uint8 [H, W, 3], and the mask of what crosses."""
        picture = self._wall.astype(np.int16)
        for place, sprite in zip(self._still, self._sprites[1:], strict=True):
            self._draw(picture, sprite, place.x, place.y)
        mask = self._draw(picture, self._sprites[0], *self.centre(index))
        top, left = index * 37 % 61, index * 53 % 67
        picture += self._grain[top : top + self.height, left : left + self.width]
        return np.clip(picture, 0, 255).astype(np.uint8), mask

    def mask(self, index: int) -> NDArray[np.bool_]:
        """What crosses, as of `frame`."""
        return self._draw(
            np.zeros((self.height, self.width, 3), np.int16), self._sprites[0], *self.centre(index)
        )

    def _paint(self, object_id: int, rng: np.random.RandomState) -> Sprite:
        thing = next(thing for thing in SCRIPT if thing.object_id == object_id)
        return textures.paint(thing.shape, thing.surface, 2 * self._radius, rng)

    def _draw(self, picture: NDArray[np.int16], sprite: Sprite, x: float, y: float) -> NDArray[np.bool_]:
        mask = np.zeros((self.height, self.width), np.bool_)
        left, top = round(x) - self._radius, round(y) - self._radius
        columns = slice(max(0, left), min(self.width, left + 2 * self._radius))
        rows = slice(max(0, top), min(self.height, top + 2 * self._radius))
        within = slice(rows.start - top, rows.stop - top), slice(columns.start - left, columns.stop - left)
        alpha = sprite.alpha[within][..., None].astype(np.int32)
        under = picture[rows, columns]
        picture[rows, columns] = under + (sprite.colour[within] - under.astype(np.int32)) * alpha // 255
        mask[rows, columns] = alpha[..., 0] >= 128
        return mask
