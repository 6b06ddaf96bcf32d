"""Histograms of the colours of pictures whose channels have zero mean and unit variance."""

from __future__ import annotations

import torch
from torch import Tensor

LOW, HIGH = -2.2, 2.7  # of ImageNet's normalisation: black and white are about there


def bins(colours: Tensor, levels: int) -> Tensor:
    """Which of `levels` ** 3 colours each pixel has: int64 [B, H, W] for pictures [B, 3, H, W]."""
    level = ((colours - LOW) / (HIGH - LOW) * levels).long().clamp(0, levels - 1)
    return (level[:, 0] * levels + level[:, 1]) * levels + level[:, 2]


def histogram(colour: Tensor, weight: Tensor, levels: int) -> Tensor:
    """float32 [B, levels ** 3], how much of the weight [B, H, W] has which of `bins`; sums to 1, or to 0."""
    counts = torch.zeros(len(colour), levels**3, device=colour.device)
    counts.scatter_add_(1, colour.flatten(1), weight.flatten(1))
    return counts / counts.sum(dim=1, keepdim=True).clamp(min=1e-6)


def likeness(a: Tensor, b: Tensor) -> Tensor:
    """Bhattacharyya's coefficient of histograms [..., n]: 0 to 1, for the same."""
    return (a * b).sqrt().sum(dim=-1)
