"""Prompts drawn from true masks, as a person would give them.

Masks are bool [N, S, S]; points come out as pixels [N, P, 2] (x, y) with SAM's labels [N, P]
(1 includes, 0 excludes, 2 and 3 the corners of a box).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

GRID = 64  # clicks are chosen on this grid, then jittered inside their cell


def clicks(masks: Tensor, g: torch.Generator) -> tuple[Tensor, Tensor]:
    """One including click in each mask, mostly well inside it."""
    points = _inside(masks, g)
    return points[:, None], torch.ones(len(masks), 1, dtype=torch.int32, device=masks.device)


def boxes(masks: Tensor, g: torch.Generator, noise: float = 0.06) -> tuple[Tensor, Tensor]:
    """Boxes around the masks, each side off by up to a few percent as hand-drawn ones are."""
    return jittered(corners(masks), masks.shape[-1], g, noise)


def corners(masks: Tensor) -> Tensor:
    """float32 [N, 4], left, top, right and bottom in pixels; the whole picture where a mask is empty."""
    size = masks.shape[-1]
    columns, rows = masks.any(1).float(), masks.any(2).float()
    x0, y0 = columns.argmax(1), rows.argmax(1)
    x1, y1 = size - columns.flip(1).argmax(1), size - rows.flip(1).argmax(1)
    return torch.stack((x0, y0, x1, y1), 1).float()


def jittered(boxes: Tensor, size: int, g: torch.Generator, noise: float) -> tuple[Tensor, Tensor]:
    """Boxes [N, 4] as prompts, each side off by about `noise` of its length."""
    sides = (boxes[:, 2:] - boxes[:, :2]).repeat(1, 2)
    off = (torch.randn(len(boxes), 4, generator=g) * noise).clamp(-2 * noise, 2 * noise).to(boxes.device)
    moved = (boxes + off * sides).clamp(0, size - 1)
    labels = torch.tensor([2, 3], dtype=torch.int32, device=boxes.device).expand(len(boxes), 2)
    return moved.view(-1, 2, 2), labels


def corrections(masks: Tensor, predicted: Tensor, g: torch.Generator) -> tuple[Tensor, Tensor]:
    """One click in the larger of the two error regions: include what is missing or exclude what is too much.

    Where there is no error it is an including click inside the mask.
    """
    missing, excess = masks & ~predicted, predicted & ~masks
    more_missing = missing.flatten(1).sum(1) >= excess.flatten(1).sum(1)
    region = torch.where(more_missing[:, None, None], missing, excess)
    right = ~region.flatten(1).any(1)
    region = torch.where(right[:, None, None], masks, region)
    labels = (more_missing | right).to(torch.int32)
    return _inside(region, g)[:, None], labels[:, None]


def _inside(masks: Tensor, g: torch.Generator) -> Tensor:
    """A random pixel [N, 2] of each mask, the likelier the deeper inside; the centre where it is empty."""
    n, size = len(masks), masks.shape[-1]
    cell = size // GRID
    cover = F.avg_pool2d(masks[:, None].float(), cell)
    depth = F.avg_pool2d(cover, 7, 1, 3) * F.avg_pool2d(cover, 3, 1, 1) ** 3
    power = (1 + 3 * torch.rand(n, 1, generator=g)).to(masks.device)
    weight = (cover * depth).flatten(1) ** power
    weight = torch.where(weight.sum(1, keepdim=True) > 0, weight, cover.flatten(1))
    weight = weight + 1e-12 * (weight.sum(1, keepdim=True) == 0)
    noise = -torch.rand(weight.shape, generator=g).clamp(min=1e-9).log().to(masks.device)
    chosen = (weight / noise).argmax(1)  # exponential race: a draw in proportion to the weights
    xy = torch.stack((chosen % GRID, chosen // GRID), 1).float() + torch.rand(n, 2, generator=g).to(
        masks.device
    )
    return (xy * cell - 0.5).clamp(0, size - 1)
