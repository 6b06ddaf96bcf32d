"""The memory encoder's two expensive parts, pixel by pixel (channels last) from end to end."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from sam2.modeling.memory_encoder import CXBlock, Fuser, MaskDownSampler
from sam2.modeling.sam2_utils import LayerNorm2d
from torch import Tensor, nn

from engine.packed.conv import PackedConv, packed
from engine.packed.product import Product, product

FEW = 16  # channels, up to which torch's layer norm takes longer for its rows than for what is in them


class PackedDownSampler(nn.Module):
    """`MaskDownSampler`: [B, 1, S, S] to [B, C, S / 16, S / 16]."""

    def __init__(self, sampler: MaskDownSampler) -> None:
        super().__init__()
        *reductions, last = sampler.encoder
        self.steps = nn.ModuleList(
            _Reduction(conv, norm) for conv, norm in zip(reductions[::3], reductions[1::3], strict=True)
        )
        self.last = packed(last)

    def forward(self, mask: Tensor) -> Tensor:
        x = mask.contiguous(memory_format=torch.channels_last)
        for step in self.steps:
            x = step(x)
        out: Tensor = self.last(x)
        return out


class _Reduction(nn.Module):
    """Convolution, norm over channels, GELU.

    The mean over its channels is taken off the convolution's weights instead of its results. Where there are
    few channels the norm is a product, or its rows would take longer than what is in them.
    """

    def __init__(self, conv: nn.Conv2d, norm: LayerNorm2d) -> None:
        super().__init__()
        assert conv.bias is not None
        self.conv = PackedConv(conv.weight - conv.weight.mean(0), conv.bias - conv.bias.mean(), conv)
        self.channels, self.eps = conv.out_channels, norm.eps
        self.scale, self.shift = norm.weight.detach(), norm.bias.detach()
        self.mean = torch.full((self.channels, self.channels), 1 / self.channels)

    def forward(self, x: Tensor) -> Tensor:
        rows = self.conv(x).permute(0, 2, 3, 1)
        if self.channels > FEW:
            normed = F.layer_norm(rows, (self.channels,), self.scale, self.shift, self.eps)
        else:
            deviation = F.linear(rows.square(), self.mean).add_(self.eps).rsqrt_()
            normed = torch.addcmul(self.shift, rows.mul_(deviation), self.scale)
        return F.gelu(normed).permute(0, 3, 1, 2)


class PackedFuser(nn.Module):
    """`Fuser` of ConvNeXt blocks: [B, C, H, W] to the same.

    Args:
        dtype: that the products of their pixels multiply in.
    """

    def __init__(self, fuser: Fuser, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.proj = fuser.proj
        self.blocks = nn.ModuleList(_Block(block, dtype) for block in fuser.layers)

    def forward(self, x: Tensor) -> Tensor:
        x = self.proj(x).contiguous(memory_format=torch.channels_last)
        for block in self.blocks:
            x = block(x)
        return x


class _Block(nn.Module):
    """`CXBlock`, its last scale folded into the weights before it."""

    def __init__(self, block: CXBlock, dtype: torch.dtype) -> None:
        super().__init__()
        self.depthwise, self.widen, self.act = packed(block.dwconv), product(block.pwconv1, dtype), block.act
        self.scale, self.shift, self.eps = block.norm.weight, block.norm.bias, block.norm.eps
        narrow = block.pwconv2
        gamma = torch.ones_like(narrow.bias) if block.gamma is None else block.gamma
        self.narrow = Product(narrow.weight * gamma[:, None], narrow.bias * gamma, dtype)

    def forward(self, x: Tensor) -> Tensor:
        rows = self.depthwise(x).permute(0, 2, 3, 1)
        rows = F.layer_norm(rows, rows.shape[-1:], self.scale, self.shift, self.eps)
        out: Tensor = x + self.narrow(self.act(self.widen(rows))).permute(0, 3, 1, 2)
        return out
