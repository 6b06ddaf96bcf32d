"""Blur of what lies behind the objects, cheap enough for a live stream. NumPy only.

The plane is shrunk by averaging, smoothed while it is small and stretched smoothly. Covered pixels do not
count in the averages, so that an object does not glow into its surroundings.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Small = NDArray[np.float32]


def blur_around(pixels: NDArray[np.uint8], covered: NDArray[np.bool_], out: NDArray[np.uint8]) -> None:
    """Blur a plane by about a twentieth of its height.

    Args:
        pixels: uint8 [h, w] or [h, w, 3].
        covered: bool [h, w], pixels that must not show in the blur of the others.
        out: of the shape of `pixels`; takes the blur, of no meaning where `covered`.
    """
    height, width = covered.shape
    factor = 1 << max(1, round(np.log2(height / 60)))
    hole = covered if pixels.ndim == 2 else covered[..., None]
    total = _smooth(_shrink(np.where(hole, np.uint8(0), pixels), factor).astype(np.float32))
    share = _smooth(_shrink(np.where(hole, np.uint8(0), np.uint8(255)), factor).astype(np.float32))
    small = np.clip(np.rint(total * 255 / np.maximum(share, 1)), 0, 255).astype(np.uint16)
    wide = np.ascontiguousarray(np.swapaxes(_stretch(np.swapaxes(small, 0, 1), factor, width), 0, 1))
    out[...] = _stretch(wide, factor, height)


def _shrink(pixels: NDArray[np.uint8], factor: int) -> NDArray[np.uint8]:
    """Mean of each factor x factor block, rounded; blocks that the edge cuts are filled by repeating it."""
    height, width = pixels.shape[:2]
    if height % factor or width % factor:
        missing = ((0, -height % factor), (0, -width % factor), (0, 0))[: pixels.ndim]
        pixels = np.pad(pixels, missing, mode="edge")
    total = pixels[0::2].astype(np.uint16)
    total += pixels[1::2]
    total = total[:, 0::2] + total[:, 1::2]
    total += 2
    total >>= 2
    half = total.astype(np.uint8)
    return half if factor == 2 else _shrink(half, factor // 2)


def _smooth(small: Small) -> Small:
    """Binomial 1 4 6 4 1 along both axes, twice; edges repeated."""
    for axis in (0, 1, 0, 1):
        index = np.arange(-2, small.shape[axis] + 2).clip(0, small.shape[axis] - 1)
        padded = np.moveaxis(np.take(small, index, axis), axis, 0)
        total: Small = padded[:-4] + padded[4:] + 4 * (padded[1:-3] + padded[3:-1]) + 6 * padded[2:-2]
        small = np.moveaxis(total / np.float32(16), 0, axis)
    return small


def _stretch(small: NDArray[np.uint16], factor: int, rows: int) -> NDArray[np.uint16]:
    """Linear enlargement of the first axis, values of 0..255 standing at the centres of their blocks."""
    position = (np.arange(rows) * 2 + 1) * 128 // factor - 128  # in 256ths of a block
    position = position.clip(0, (len(small) - 1) * 256)
    above = position >> 8
    below = np.minimum(above + 1, len(small) - 1)
    weight = (position & 255).astype(np.uint16).reshape(-1, *([1] * (small.ndim - 1)))
    stretched: NDArray[np.uint16] = (small[above] * (256 - weight) + small[below] * weight) >> 8
    return stretched
