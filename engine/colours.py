"""Histograms of the colours of pictures whose channels have zero mean and unit variance."""

from __future__ import annotations

import torch
from torch import Tensor

LOW, HIGH = -2.2, 2.7  # of ImageNet's normalisation: black and white are about there
GREY, MOST_GAIN = -LOW, 2.0  # what pictures are brought to, counted from black, and how far at most


def bins(colours: Tensor, levels: int) -> Tensor:
    """Which of `levels` ** 3 colours each pixel has: int64 [B, H, W] for pictures [B, 3, H, W]."""
    level = ((colours - LOW) / (HIGH - LOW) * levels).long().clamp(0, levels - 1)
    return (level[:, 0] * levels + level[:, 1]) * levels + level[:, 2]


def histogram(colour: Tensor, weight: Tensor, levels: int) -> Tensor:
    """float32 [B, levels ** 3], how much of the weight [B, H, W] has which of `bins`; sums to 1, or to 0."""
    counts = torch.zeros(len(colour), levels**3, device=colour.device)
    counts.scatter_add_(1, colour.flatten(1), weight.flatten(1))
    return counts / counts.sum(dim=1, keepdim=True).clamp(min=1e-6)


def evenly_lit(pictures: Tensor) -> Tensor:
    """Pictures [B, 3, H, W] with one mean brightness, as if neither light nor exposure had changed."""
    light = pictures - LOW
    gain = GREY / light.mean(dim=(1, 2, 3), keepdim=True).clamp(min=1e-3)
    return LOW + light * gain.clamp(1 / MOST_GAIN, MOST_GAIN)


def blend(pictures: Tensor, levels: int) -> Tensor:
    """How much of each pixel of [B, 3, H, W] has which colour: float32 [B, levels ** 3, H * W], sums of 1.

    A pixel between two levels is a part of both, so that a little more light is a little another colour;
    of `bins` it may be quite another.
    """
    place = ((pictures.flatten(2) - LOW) / (HIGH - LOW) * levels - 0.5).clamp(0, levels - 1)
    level = torch.arange(levels, device=place.device)[:, None]
    near = (1 - (place[:, :, None] - level).abs()).clamp(min=0)
    red, green, blue = near.unbind(1)  # [B, levels, H * W]
    both = (red[:, :, None] * green[:, None]).flatten(1, 2)
    return (both[:, :, None] * blue[:, None]).flatten(1, 2)


def likeness(a: Tensor, b: Tensor) -> Tensor:
    """Bhattacharyya's coefficient of histograms [..., n]: 0 to 1, for the same."""
    return (a * b).sqrt().sum(dim=-1)
