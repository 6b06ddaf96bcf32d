"""Rotary positions in real numbers, the halves of each pair apart: OpenVINO has no complex ones."""

from __future__ import annotations

import torch
from sam2.modeling.sam.transformer import RoPEAttention
from torch import Tensor, nn

from engine.attention import turns_of


class Rotary(nn.Module):
    """Turns projections [..., HW, width] of `halves_apart` to their places in the picture."""

    def __init__(self, attention: RoPEAttention, cells: int) -> None:
        super().__init__()
        turns = turns_of(attention, cells, torch.device("cpu"))
        self.cosine, self.sine = turns.real.clone(), turns.imag.clone()

    def forward(self, x: Tensor) -> Tensor:
        even, odd = x.chunk(2, dim=-1)
        return torch.cat((even * self.cosine - odd * self.sine, even * self.sine + odd * self.cosine), dim=-1)


def halves_apart(linear: nn.Linear) -> nn.Linear:
    """A projection of one head, even channels first: the same attention if both its sides are so."""
    order = torch.arange(linear.out_features).view(-1, 2).T.flatten()
    apart = nn.Linear(linear.in_features, linear.out_features)
    apart.weight = nn.Parameter(linear.weight.detach()[order], requires_grad=False)
    apart.bias = nn.Parameter(linear.bias.detach()[order], requires_grad=False)
    return apart
