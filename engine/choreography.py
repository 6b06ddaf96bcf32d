"""What happens in the built-in clip: which things there are, how they are painted, and where each is when.

Used by `engine.synthetic` alone. The clip is fixed, so this table is not to change.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine import textures
from engine.textures import Field, Surface

PERIOD: Final = 14.0  # seconds until the script begins again


@dataclass(frozen=True, slots=True)
class Pose:
    """Where a thing is at `t` seconds: centre in widths and heights, size factor, angle in turns."""

    t: float
    x: float
    y: float
    size: float = 1.0
    turns: float = 0.0


@dataclass(frozen=True, slots=True)
class Thing:
    """One object; `radius` is in picture heights, `turns_per_period` whole, so that the clip loops."""

    object_id: int
    shape: Callable[[Field, Field], NDArray[np.bool_]]
    surface: Surface
    radius: float
    behind_pillar: bool
    turns_per_period: int
    path: tuple[Pose, ...]


# Farthest first: the order in which they are drawn.
SCRIPT: Final = (
    Thing(
        3, textures.cross, Surface(textures.weave, (70, 40, 8), (250, 200, 60)), 0.112, True, 1,
        (
            Pose(0, 0.86, 0.24, 1.0, 0.0), Pose(2.5, 0.90, 0.34, 1.05, 0.10),
            Pose(4.6, 0.82, 0.27, 0.98, 0.18),
            Pose(5.4, 0.726, 0.26, 0.94, 0.22), Pose(6.4, 0.614, 0.26, 0.94, 0.25),
            Pose(7.4, 0.50, 0.27, 0.95, 0.28),
            Pose(8.4, 0.42, 0.33, 1.15, 0.40), Pose(9.8, 0.44, 0.20, 1.1, 0.62),
            Pose(11.0, 0.50, 0.24, 0.95, 0.73),
            Pose(12.0, 0.614, 0.26, 0.94, 0.77), Pose(13.0, 0.735, 0.25, 0.94, 0.83),
        ),
    ),
    Thing(
        2, textures.crescent, Surface(textures.stripes, (16, 60, 120), (120, 225, 235)), 0.155, False, 0,
        (
            Pose(0, 0.33, 0.73, 1.0, 0.0), Pose(1.6, 0.37, 0.68, 1.0, 0.06),
            Pose(3.4, 0.27, 0.50, 0.95, 0.12),
            Pose(5.0, 0.27, 0.26, 0.9, 0.05), Pose(7.0, 0.20, 0.24, 0.85, -0.08),
            Pose(9.0, 0.23, 0.29, 0.9, -0.14),
            Pose(10.6, 0.36, 0.48, 1.0, -0.08), Pose(11.8, 0.40, 0.66, 1.05, -0.02),
        ),
    ),
    Thing(
        1, textures.flower, Surface(textures.checker, (120, 12, 20), (255, 150, 110)), 0.165, False, 1,
        (
            Pose(0, 0.17, 0.27, 1.0, 0.0), Pose(1.8, 0.14, 0.33, 1.05, 0.12),
            Pose(3.4, 0.25, 0.53, 1.0, 0.27),
            Pose(5.0, 0.22, 0.76, 1.1, 0.38), Pose(7.0, 0.30, 0.72, 1.3, 0.50),
            Pose(9.0, 0.20, 0.74, 1.15, 0.62),
            Pose(11.0, 0.13, 0.60, 0.9, 0.78), Pose(12.6, 0.14, 0.38, 0.9, 0.90),
        ),
    ),
    Thing(
        4, textures.pebble, Surface(textures.cells, (84, 8, 112), (250, 222, 255)), 0.14, False, 0,
        (
            Pose(0, 0.84, 0.72, 1.0, 0.0), Pose(2.5, 0.78, 0.62, 0.9, -0.08),
            Pose(5.0, 0.84, 0.76, 1.1, -0.02),
            Pose(7.0, 0.96, 0.66, 1.1, 0.07), Pose(7.9, 1.115, 0.62, 1.05, 0.10),
            Pose(9.3, 1.115, 0.70, 1.0, 0.16),
            Pose(10.2, 0.90, 0.74, 1.0, 0.14), Pose(12.0, 0.53, 0.70, 1.2, 0.05),
            Pose(12.9, 0.66, 0.74, 1.1, 0.02),
        ),
    ),
)  # fmt: skip


def pose_at(thing: Thing, t: float) -> Pose:
    """The thing's pose at `t` seconds of the period: a periodic cubic through its script (Catmull-Rom)."""
    path = thing.path
    after = next((i for i, pose in enumerate(path) if pose.t > t), len(path))
    p0, p1, p2, p3 = (_looped(thing, after + offset) for offset in (-2, -1, 0, 1))
    span = p2.t - p1.t
    s = (t - p1.t) / span
    values = []
    for a0, a, b, b3 in zip(*((p.x, p.y, p.size, p.turns) for p in (p0, p1, p2, p3)), strict=True):
        slope_a, slope_b = (b - a0) / (p2.t - p0.t) * span, (b3 - a) / (p3.t - p1.t) * span
        values.append(
            (2 * s**3 - 3 * s**2 + 1) * a
            + (s**3 - 2 * s**2 + s) * slope_a
            + (3 * s**2 - 2 * s**3) * b
            + (s**3 - s**2) * slope_b
        )
    return Pose(t, *values)


def _looped(thing: Thing, index: int) -> Pose:
    """The pose of the endless script: one period on, a period later and some whole turns further."""
    laps, within = divmod(index, len(thing.path))
    pose = thing.path[within]
    return Pose(pose.t + laps * PERIOD, pose.x, pose.y, pose.size, pose.turns + laps * thing.turns_per_period)
