"""Boxes of masks, as centre and size in 0..1 of the picture: where a mask is, and how much two share."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def outline(logits: Tensor) -> Tensor:
    """The boxes [B, 4], centre and size in 0..1, of masks given as logits [B, 1, h, w]; 0 where empty."""
    x, width = _extent(logits.amax(dim=2)[:, 0])
    y, height = _extent(logits.amax(dim=3)[:, 0])
    return torch.stack((x, y, width, height), dim=1)


def _extent(profile: Tensor) -> tuple[Tensor, Tensor]:
    """Middle and length in 0..1 of where profiles [B, n] are above 0, to a quarter of a sample."""
    fine = F.interpolate(profile[:, None], scale_factor=4, mode="linear", align_corners=False)[:, 0] > 0
    faint = ~fine.any(dim=1, keepdim=True)  # less than a quarter of a sample: a whole one then
    fine = torch.where(faint, (profile > 0).repeat_interleave(4, dim=1), fine)
    size = fine.shape[1]
    low = fine.float().argmax(dim=1)
    high = size - fine.flip(1).float().argmax(dim=1)
    there = fine.any(dim=1)
    return (low + high) / (2 * size) * there, (high - low) / size * there


def overlap(a: Tensor, b: Tensor) -> Tensor:
    """Intersection over union [B] of boxes [B, 4]."""
    low = torch.maximum(a[:, :2] - a[:, 2:] / 2, b[:, :2] - b[:, 2:] / 2)
    high = torch.minimum(a[:, :2] + a[:, 2:] / 2, b[:, :2] + b[:, 2:] / 2)
    shared = (high - low).clamp(min=0).prod(dim=1)
    return shared / (a[:, 2:].prod(dim=1) + b[:, 2:].prod(dim=1) - shared).clamp(min=1e-12)
