"""A number in a picture that survives a video codec: black and white blocks along the lower edge."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

BITS = 12
CONTRAST = 80  # between a bit and its inverse, of 219 as written


def stamp(picture: NDArray[np.uint8], number: int) -> NDArray[np.uint8]:
    """A copy of an I420 picture [H * 3 / 2, W] with `number`, below 4096, each bit beside its inverse."""
    height, width, side = _sizes(picture)
    stamped = picture.copy()
    bits = [(number >> i) & 1 for i in range(BITS)]
    row = np.repeat([level for bit in bits for level in (bit, 1 - bit)], side)
    stamped[height - side : height, : len(row)] = 16 + 219 * row
    for plane in stamped[height:].reshape(2, height // 2, width // 2):
        plane[(height - side) // 2 :, : len(row) // 2] = 128
    return stamped


def read(picture: NDArray[np.uint8]) -> int | None:
    """The number in an I420 picture; None when there is none, or it cannot be read for certain."""
    height, _, side = _sizes(picture)
    strip = picture[height - side : height, : 2 * BITS * side].reshape(side, 2 * BITS, side)
    inner = slice(side // 4, side - side // 4)
    levels = strip[inner, :, inner].mean((0, 2)).reshape(BITS, 2)
    contrast = levels[:, 0] - levels[:, 1]
    if np.abs(contrast).min() < CONTRAST:
        return None
    return sum(1 << i for i in range(BITS) if contrast[i] > 0)


def _sizes(picture: NDArray[np.uint8]) -> tuple[int, int, int]:
    """Height, width and the side of a block, in pixels."""
    height, width = picture.shape[0] * 2 // 3, picture.shape[1]
    return height, width, max(4, width // 40 // 2 * 2)
