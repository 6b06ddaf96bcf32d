"""Shapes and surfaces of the built-in clip: what its things look like, not where they are.

Used by `engine.synthetic` alone and by no training recipe: the clip stays unseen by the bundled model.
All that is transcendental is float64, rounded to integers once, so the pixels are alike on every machine.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.float64]
Colour = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Surface:
    """How a thing is painted: `pattern(x, y, rng)` in 0..1 mixes the two colours; x and y are in -1..1."""

    pattern: Callable[[Field, Field, np.random.RandomState], Field]
    dark: Colour
    light: Colour


@dataclass(frozen=True, slots=True, eq=False)
class Sprite:
    """A painted thing: uint8 `colour` [S, S, 3] and uint8 coverage `alpha` [S, S] over -1..1 squared."""

    colour: NDArray[np.uint8]
    alpha: NDArray[np.uint8]


def value_noise(
    shape: tuple[int, int], cells: tuple[float, float], rng: np.random.RandomState, octaves: int = 4
) -> Field:
    """Smooth noise in 0..1, [H, W]: octaves of a random lattice under smoothstep interpolation."""
    total, weight = np.zeros(shape), 0.0
    for octave in range(octaves):
        rows, columns = (max(1.0, c * 2**octave) for c in cells)
        lattice = rng.random_sample((int(rows) + 3, int(columns) + 3))
        y, x = np.linspace(0, rows, shape[0]), np.linspace(0, columns, shape[1])
        iy, ix = y.astype(int), x.astype(int)
        fy, fx = (_smooth(y - iy)[:, None], _smooth(x - ix)[None, :])
        top = lattice[np.ix_(iy, ix)] * (1 - fx) + lattice[np.ix_(iy, ix + 1)] * fx
        bottom = lattice[np.ix_(iy + 1, ix)] * (1 - fx) + lattice[np.ix_(iy + 1, ix + 1)] * fx
        total += (top * (1 - fy) + bottom * fy) * 0.55**octave
        weight += 0.55**octave
    return total / weight


def _smooth(t: Field) -> Field:
    return t * t * (3 - 2 * t)


def checker(x: Field, y: Field, rng: np.random.RandomState) -> Field:
    """A quilt: squares with soft seams, each a little different."""
    warp = value_noise(x.shape, (3, 3), rng) - 0.5
    u, v = 3.2 * (x + 0.14 * warp), 3.2 * (y - 0.14 * warp)
    parity = (np.floor(u) + np.floor(v)) % 2
    patch = rng.random_sample((64,))[((np.floor(u) + 8) * 7 + np.floor(v) + 8).astype(int) % 64]
    seam = np.minimum(np.abs(u - np.round(u)), np.abs(v - np.round(v)))
    cloth = 0.62 * parity + 0.22 * patch + 0.16 * value_noise(x.shape, (22, 22), rng, 2)
    return np.where(seam < 0.055, 0.15, cloth)


def stripes(x: Field, y: Field, rng: np.random.RandomState) -> Field:
    """Bent bands of unequal width with a grain along them."""
    bend = value_noise(x.shape, (2, 2), rng, 2)
    phase = 9.5 * (x + 0.35 * y) + 3.5 * bend
    bands = 1 / (1 + np.exp(-7 * (np.sin(phase) + 0.35 * np.sin(0.5 * phase + 1))))
    return 0.8 * bands + 0.2 * value_noise(x.shape, (40, 6), rng, 2)


def weave(x: Field, y: Field, rng: np.random.RandomState) -> Field:
    """Basketwork: strands over and under each other."""
    u, v = 4.6 * (x + y) / np.sqrt(2), 4.6 * (x - y) / np.sqrt(2)
    over = (np.floor(u) + np.floor(v)) % 2 == 0
    across = np.where(over, u - np.floor(u), v - np.floor(v)) - 0.5
    along = np.where(over, v - np.floor(v), u - np.floor(u)) - 0.5
    round_strand = np.sqrt(np.maximum(0, 1 - (2.15 * across) ** 2)) * (1 - 0.9 * along**2)
    tone = np.where(over, 1.0, 0.7)
    woven: Field = 0.78 * tone * round_strand + 0.22 * value_noise(x.shape, (18, 18), rng, 3)
    return woven


def cells(x: Field, y: Field, rng: np.random.RandomState) -> Field:
    """Giraffe-like patches: cells of random seeds with light gaps between them."""
    seeds = rng.random_sample((26, 2)) * 2.4 - 1.2
    tones = rng.random_sample((26,))
    nearest, second = np.full(x.shape, 9.0), np.full(x.shape, 9.0)
    tone = np.zeros(x.shape)
    for (sx, sy), t in zip(seeds, tones, strict=True):
        distance = np.sqrt((x - sx) ** 2 + (y - sy) ** 2)
        tone = np.where(distance < nearest, t, tone)
        second = np.minimum(second, np.maximum(distance, nearest))
        nearest = np.minimum(nearest, distance)
    gap = np.clip((second - nearest) / 0.09, 0, 1)
    patches: Field = 1 - gap * (0.62 + 0.3 * tone) * (0.85 + 0.15 * value_noise(x.shape, (16, 16), rng, 2))
    return patches


def flower(x: Field, y: Field) -> NDArray[np.bool_]:
    """Five lobes; not convex."""
    inside: NDArray[np.bool_] = np.hypot(x, y) < 0.74 + 0.2 * np.cos(5 * np.arctan2(y, x))
    return inside


def crescent(x: Field, y: Field) -> NDArray[np.bool_]:
    """A disc with a bite; not convex."""
    return (x**2 + y**2 < 0.92**2) & ((x - 0.82) ** 2 + (y + 0.12) ** 2 > 0.5**2)


def cross(x: Field, y: Field) -> NDArray[np.bool_]:
    """A plus sign with one long arm and round ends; not convex."""
    upright = np.hypot(x, np.maximum(0, np.abs(y) - 0.56)) < 0.36
    level = np.hypot(np.maximum(0, np.abs(x) - 0.46), y + 0.12) < 0.34
    return upright | level


def pebble(x: Field, y: Field) -> NDArray[np.bool_]:
    """A rounded, lopsided oval; convex."""
    inside: NDArray[np.bool_] = np.abs(x) ** 2.6 / 0.93**2.6 + np.abs(y + 0.1 * x) ** 2.6 / 0.7**2.6 < 1
    return inside


def paint(
    shape: Callable[[Field, Field], NDArray[np.bool_]],
    surface: Surface,
    size: int,
    rng: np.random.RandomState,
) -> Sprite:
    """A sprite of `size` pixels: edge antialiased by 4 x 4 samples, rim darker as a round thing's is."""
    fine = (np.arange(size * 4) + 0.5) / (size * 2) - 1
    inside = shape(fine[None, :] + 0 * fine[:, None], fine[:, None] + 0 * fine[None, :])
    coverage = inside.reshape(size, 4, size, 4).mean((1, 3))
    grid = (np.arange(size) + 0.5) / (size / 2) - 1
    x, y = np.meshgrid(grid, grid)
    mix = np.clip(surface.pattern(x, y, rng), 0, 1)[..., None]
    volume = (1.06 - 0.34 * np.clip(x**2 + y**2, 0, 1) ** 1.5)[..., None]
    colour = (np.array(surface.dark) * (1 - mix) + np.array(surface.light) * mix) * volume
    return Sprite(np.clip(np.rint(colour), 0, 255).astype(np.uint8), np.rint(coverage * 255).astype(np.uint8))


def backdrop(height: int, width: int, unit: float, rng: np.random.RandomState) -> NDArray[np.uint8]:
    """The scene behind everything, a mossy wall: uint8 [height, width, 3]; `unit` pixels are one height."""
    rows, columns = height / unit, width / unit
    broad = value_noise((height, width), (3 * rows, 3 * columns), rng)[..., None]
    fine = value_noise((height, width), (26 * rows, 26 * columns), rng, 3)[..., None]
    moss = np.clip(value_noise((height, width), (5 * rows, 5 * columns), rng) * 4 - 1.9, 0, 1)[..., None]
    wall = np.array((150, 156, 160)) * (0.72 + 0.5 * broad) * (0.86 + 0.28 * fine)
    green = np.array((104, 122, 88)) * (0.75 + 0.5 * fine)
    return np.clip(np.rint(wall * (1 - 0.8 * moss) + green * 0.8 * moss), 0, 255).astype(np.uint8)


def pillar(height: int, width: int, unit: float, rng: np.random.RandomState) -> NDArray[np.uint8]:
    """A weathered wooden post, grain upright and round across: uint8 [height, width, 3]."""
    grain = value_noise((height, width), (4 * height / unit, 40 * width / unit), rng, 3)[..., None]
    across = np.linspace(-1, 1, width)[None, :, None]
    wood = np.array((146, 118, 94)) * (0.55 + 0.75 * grain) * (1 - 0.45 * across**2)
    return np.clip(np.rint(wood), 0, 255).astype(np.uint8)
