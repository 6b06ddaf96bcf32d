"""The picture that tests of evaluation look at: a red disc that crosses a patterned grey ground."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FRAMES = 24
HEIGHT, WIDTH, RADIUS = 144, 256, 22


def centre(t: int) -> tuple[int, int]:
    """x and y in pixels."""
    return 50 + 6 * t, 70 + t // 2


def frame(t: int) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """RGB [H, W, 3] and the disc's mask [H, W]. The ground moves a little, too, as under a panning camera."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    ground = np.random.default_rng(5).normal(size=(HEIGHT // 8, WIDTH // 8 + 16))
    fine = np.kron(ground, np.ones((8, 8)))[:, t : t + WIDTH]
    rgb = np.repeat((110 + 25 * fine + 15 * np.sin(x / 9))[..., None], 3, axis=2)
    cx, cy = centre(t)
    disc = (x - cx) ** 2 + (y - cy) ** 2 < RADIUS**2
    shade = 1 - 0.3 * ((x - cx + y - cy) / RADIUS / 2)
    rgb[disc] = (np.array([200, 40, 30]) * shade[..., None])[disc]
    return rgb.clip(0, 255).astype(np.uint8), disc


def box(t: int) -> list[int]:
    """x0, y0, x1, y1 in pixels."""
    cx, cy = centre(t)
    return [cx - RADIUS + 1, cy - RADIUS + 1, cx + RADIUS, cy + RADIUS]
