"""Convolutions with their weights reordered once, sums and ReLUs fused into them.

Left to itself torch reorders each weight on each call and makes a pass over memory for every ReLU. The
operators are those that torch.compile's CPU backend emits (`torch.ops.mkldnn`).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class PackedConv(nn.Module):
    """A convolution [B, C, H, W] -> [B, D, H', W'] whose weight lies as the kernel wants it.

    Args:
        weight, bias: of the convolution; they may differ from `like`'s.
        like: gives stride, padding, dilation and groups.
        relu: apply ReLU to the result.
        dtype: to multiply in, of what goes in and what comes out.
    """

    def __init__(
        self,
        weight: Tensor,
        bias: Tensor | None,
        like: nn.Conv2d,
        relu: bool = False,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__()
        self._how = (list(like.padding), list(like.stride), list(like.dilation), like.groups)
        self._weight, self._shape = weight.detach().to(dtype), torch.Size((0, 0, 0, 0))
        self._bias = None if bias is None else bias.detach().to(dtype)
        self._then = "relu" if relu else "none"

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = torch.ops.mkldnn._convolution_pointwise(
            x, self._for(x), self._bias, *self._how, self._then, [], ""
        )
        return out

    def add_relu(self, x: Tensor, other: Tensor) -> Tensor:
        """relu(conv(x) + other)."""
        out: Tensor = torch.ops.mkldnn._convolution_pointwise.binary(
            x, other, self._for(x), self._bias, *self._how, "add", 1.0, "relu", [], ""
        )
        return out

    def _for(self, x: Tensor) -> Tensor:
        """The weight; its fastest layout depends on the size of the picture, which the first call tells."""
        if self._shape[2:] != x.shape[2:]:
            self._shape = x.shape
            reorder = torch.ops.mkldnn._reorder_convolution_weight
            self._weight = reorder(self._weight, *self._how, list(x.shape))
        return self._weight


def packed(conv: nn.Conv2d, relu: bool = False, dtype: torch.dtype = torch.float32) -> PackedConv:
    """The same convolution."""
    return PackedConv(conv.weight, conv.bias, conv, relu, dtype)
