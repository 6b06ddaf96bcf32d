"""Boxes of masks, as centre and size in 0..1 of the picture: where a mask is, and how much two share."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

FINE = 4  # parts of a cell that ends are told to


def outline(logits: Tensor) -> Tensor:
    """The boxes [B, 4], centre and size in 0..1, of masks given as logits [B, 1, n, n]; 0 where empty."""
    columns_and_rows = torch.cat((logits.amax(dim=2), logits.amax(dim=3)), dim=1)
    return _extent(columns_and_rows).flatten(1)


def holding(logits: Tensor) -> Tensor:
    """bool [B], masks given as logits [B, 1, n, n] in which there is something."""
    return (logits > 0).flatten(1).any(dim=1)


def _extent(profiles: Tensor) -> Tensor:
    """Middles and then lengths [B, 2, k] in 0..1 of where profiles [B, k, n] are above 0."""
    fine = F.interpolate(profiles, scale_factor=FINE, mode="linear", align_corners=False) > 0
    whole = (profiles > 0).repeat_interleave(FINE, dim=2)  # for those of less than a part of a cell
    fine = torch.where(fine.any(dim=2, keepdim=True), fine, whole)
    count = fine.shape[2]
    ends = torch.arange(1, count + 1, device=fine.device)
    high = torch.where(fine, ends, 0).amax(dim=2)
    low = torch.where(fine, ends, count + 1).amin(dim=2) - 1
    there = (high > 0) / count
    return torch.stack(((low + high) * (there / 2), (high - low) * there), dim=1)


def ends(boxes: Tensor) -> tuple[Tensor, Tensor]:
    """Lower and upper corners [..., 2] of boxes [..., 4]."""
    centres, halves = boxes[..., :2], boxes[..., 2:] / 2
    return centres - halves, centres + halves


def between(low: Tensor, high: Tensor) -> Tensor:
    """Boxes [..., 4] of their `ends`."""
    return torch.cat(((low + high) / 2, high - low), dim=-1)


def seen_in(parts: Tensor, boxes: Tensor) -> Tensor:
    """Boxes [n, 4] of pictures, in 0..1 of parts [n or 1, 4] of them."""
    corners, _ = ends(parts)
    return torch.cat((boxes[:, :2] - corners, boxes[:, 2:]), dim=1) / parts[:, 2:].repeat(1, 2)


def by_edges(a: Tensor, b: Tensor, share: Tensor) -> Tensor:
    """Boxes [B, 4] whose edges lie so far [B, 1] on the way from those of one to those of the other."""
    low, high = (torch.lerp(one, other, share) for one, other in zip(ends(a), ends(b), strict=True))
    return between(low, high)


def overlap(a: Tensor, b: Tensor) -> Tensor:
    """Intersection over union [B] of boxes [B, 4]."""
    both = torch.stack((a, b))
    low, high = ends(both)
    shared = (high.amin(dim=0) - low.amax(dim=0)).clamp(min=0).prod(dim=1)
    return shared / (both[..., 2:].prod(dim=2).sum(dim=0) - shared).clamp(min=1e-12)


def pairwise(a: Tensor, b: Tensor) -> Tensor:
    """`overlap` [A, B] of all boxes [A, 4] with all [B, 4]."""
    return overlap(a.repeat_interleave(len(b), dim=0), b.repeat(len(a), 1)).view(len(a), len(b))
