"""Objects as cut-outs: a silhouette and a texture, float RGBA [n, 4, R, R] in 0..1.

A silhouette fills most of -1..1 in both directions. Knows no motion and no network.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from engine.training.textures import Pictures, jitter, sample_textures

SIZE = 128


class Wardrobe:
    """A stock of sprites, renewed little by little: drawing is dearer than wearing.

    The stock at a step depends on the seed and the step alone, so that a resumed run goes on as it was.
    With `cutouts` (uint8 RGBA [C, 4, R, R]), a share `real` of what `draw` gives are real ones.
    """

    GROUP = 4

    def __init__(
        self,
        pictures: Pictures,
        seed: int,
        groups: int,
        cutouts: Tensor | None = None,
        real: float = 0.5,
    ) -> None:
        self.pictures, self.seed, self.groups, self.real = pictures, seed, groups, real
        self.cutouts = cutouts if cutouts is not None and len(cutouts) else None
        shape = (self.groups, self.GROUP, 4, SIZE, SIZE)
        self._stock = torch.zeros(shape, dtype=torch.uint8, device=pictures.data.device)
        self._until = 0  # number of the first group that is not in the stock yet

    def at(self, step: int) -> None:
        """Bring the stock to what it is at `step`: groups `step` to `step + groups`."""
        known = self._until if step <= self._until <= step + self.groups else 0
        for number in range(max(step, known), step + self.groups):
            g = torch.Generator().manual_seed(self.seed * 1_000_003 + number)
            self._stock[number % self.groups] = _bytes(make_sprites(self.pictures, self.GROUP, g))
        self._until = step + self.groups

    def draw(self, n: int, g: torch.Generator) -> Tensor:
        """`n` sprites, each a little different in colour from last time; float RGBA [n, 4, R, R]."""
        stock = self._stock.flatten(0, 1)
        taken = stock[torch.randint(len(stock), (n,), generator=g).to(stock.device)]
        if self.cutouts is not None:
            other = torch.randint(len(self.cutouts), (n,), generator=g).to(taken.device)
            chosen = (torch.rand(n, generator=g) < self.real).to(taken.device)[:, None, None, None]
            taken = torch.where(chosen, self.cutouts[other], taken)
        flip = (torch.rand(n, generator=g) < 0.5).to(taken.device)[:, None, None, None]
        taken = torch.where(flip, taken.flip(-1), taken).float() / 255
        return torch.cat((jitter(taken[:, :3], g, 0.6), taken[:, 3:]), dim=1)


def _bytes(sprites: Tensor) -> Tensor:
    return (sprites * 255).round().to(torch.uint8)


def make_sprites(pictures: Pictures, n: int, g: torch.Generator) -> Tensor:
    """`n` new sprites, float RGBA [n, 4, R, R] in 0..1."""
    alpha = silhouettes(n, g).to(pictures.data.device)
    return torch.cat((_dress(pictures, n, g), alpha[:, None]), dim=1)


def _dress(pictures: Pictures, n: int, g: torch.Generator) -> Tensor:
    """Textures for `n` sprites: one cloth, or two or three along random wavy seams, lit from one side."""
    device = pictures.data.device
    cloth = sample_textures(pictures, 2 * n, SIZE, g)
    plain = cloth.mean((2, 3), keepdim=True)
    flatness = torch.rand(2 * n, 1, 1, 1, generator=g).to(device) ** 2  # many real things are nearly plain
    cloth = cloth + (plain - cloth) * flatness
    y, x = _axes()
    angle, shift, wave, phase = (
        torch.rand(4, n, 1, 1, generator=g) * torch.tensor([6.28, 1.2, 9.0, 6.28])[:, None, None, None]
    ).unbind()
    across = x * angle.cos() + y * angle.sin()
    along = y * angle.cos() - x * angle.sin()
    seam = across - shift + 0.6 + 0.15 * (along * wave + phase).sin()
    banded = torch.rand(n, 1, 1, generator=g) < 0.25
    side = torch.where(banded, (seam * 7).sin(), seam)
    use = (torch.rand(n, 1, 1, generator=g) < 0.5) & (side > 0)
    colour = torch.where(use[:, None].to(device), cloth[n:], cloth[:n])
    light = 1 + (torch.rand(n, 1, 1, generator=g) * 0.5) * (x * phase.cos() + y * phase.sin())
    return (colour * light[:, None].to(device)).clamp(0, 1)


def silhouettes(n: int, g: torch.Generator) -> Tensor:
    """`n` soft silhouettes [n, R, R]: blobs, polygons, limbs and rings in equal parts."""
    makers = (_blobs, _polygons, _limbs, _rings)
    families = torch.randint(len(makers), (n,), generator=g)
    out = torch.zeros(n, SIZE, SIZE)
    for k, maker in enumerate(makers):
        members = families == k
        if members.any():
            out[members] = maker(int(members.sum()), g)
    return out


def _axes() -> tuple[Tensor, Tensor]:
    axis = (torch.arange(SIZE) + 0.5) / SIZE * 2 - 1
    return axis[:, None].expand(SIZE, SIZE), axis[None, :].expand(SIZE, SIZE)


def _soften(distance: Tensor) -> Tensor:
    """Signed distance (positive inside, in half-widths) to coverage, one pixel wide."""
    return (distance * SIZE / 2 + 0.5).clamp(0, 1)


def _polar() -> tuple[Tensor, Tensor]:
    y, x = _axes()
    return torch.hypot(x, y), torch.atan2(y, x)


def _blobs(n: int, g: torch.Generator) -> Tensor:
    radius, theta = _polar()
    bound = torch.full((n, 1, 1), 0.62)
    for k in range(2, 8):
        size = torch.randn(n, 1, 1, generator=g) * 0.24 / k
        bound = bound + size * (k * theta + torch.rand(n, 1, 1, generator=g) * 2 * math.pi).cos()
    return _soften(bound.clamp(0.12, 0.95) - radius)


def _polygons(n: int, g: torch.Generator) -> Tensor:
    """Star-shaped polygons of 3 to 12 corners with radii from nearly equal to spiky, by radius over angle."""
    radius, theta = _polar()
    corners = torch.randint(3, 13, (n, 1, 1), generator=g)
    spike = torch.rand(n, 1, generator=g) * 0.6
    radii = 0.9 - spike * torch.rand(n, 12, generator=g)
    at = (theta + math.pi) / (2 * math.pi) * corners
    low = at.floor().long() % corners
    high = (low + 1) % corners
    weight = at - at.floor()
    pick = radii.gather(1, low.flatten(1)), radii.gather(1, high.flatten(1))
    a, b = (p.reshape(n, SIZE, SIZE) for p in pick)
    step = 2 * math.pi / corners  # the straight edge between two corners, in polar form
    first = weight * step
    edge = a * b * step.sin() / (a * first.sin() + b * (step - first).sin()).clamp(min=1e-3)
    return _soften(edge.clamp(0.05, 0.97) - radius)


def _limbs(n: int, g: torch.Generator) -> Tensor:
    """A chain of capsules: animals, people, tools."""
    y, x = _axes()
    count = 5
    nodes = (torch.rand(n, count + 1, 2, generator=g) * 2 - 1) * 0.78
    parents = torch.stack([torch.randint(k + 1, (n,), generator=g) for k in range(count)], dim=1)
    width = 0.07 + 0.25 * torch.rand(n, count, generator=g) ** 2
    width[:, 0] += 0.12
    best = torch.full((n, SIZE, SIZE), -9.0)
    for k in range(count):
        start = nodes.gather(1, parents[:, k, None, None].expand(n, 1, 2))[:, 0]
        best = torch.maximum(best, width[:, k, None, None] - _segment(x, y, start, nodes[:, k + 1]))
    return _soften(best)


def _segment(x: Tensor, y: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """Distance of every pixel to the segment from a to b, both [n, 2]."""
    ax, ay, bx, by = (v[:, None, None] for v in (a[:, 0], a[:, 1], b[:, 0], b[:, 1]))
    dx, dy = bx - ax, by - ay
    t = (((x - ax) * dx + (y - ay) * dy) / (dx * dx + dy * dy).clamp(min=1e-4)).clamp(0, 1)
    return torch.hypot(x - ax - t * dx, y - ay - t * dy)


def _rings(n: int, g: torch.Generator) -> Tensor:
    """Rounded boxes, some with a hole or a bite."""
    y, x = _axes()
    half = 0.35 + 0.55 * torch.rand(n, 2, 1, 1, generator=g)
    power = 2 + 8 * torch.rand(n, 1, 1, generator=g) ** 2
    level = ((x.abs() / half[:, 0]) ** power + (y.abs() / half[:, 1]) ** power) ** (1 / power)
    body = (1 - level) * half.amin(1)
    centre = (torch.rand(n, 2, 1, 1, generator=g) * 2 - 1) * 0.7
    hole = torch.hypot(x - centre[:, 0], y - centre[:, 1]) - 0.3
    return _soften(torch.where(torch.rand(n, 1, 1, generator=g) < 0.35, torch.minimum(body, hole), body))
