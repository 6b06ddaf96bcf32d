"""Products of tokens with a matrix in a precision of their own."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Product(nn.Module):
    """`nn.Linear` that multiplies in `dtype`; takes and gives float32."""

    def __init__(self, weight: Tensor, bias: Tensor | None, dtype: torch.dtype) -> None:
        super().__init__()
        self.dtype, self.weight = dtype, weight.detach().to(dtype)
        self.bias = None if bias is None else bias.detach().to(dtype)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x.to(self.dtype), self.weight, self.bias).float()


def product(linear: nn.Linear, dtype: torch.dtype) -> Product:
    """The same product."""
    return Product(linear.weight, linear.bias, dtype)
