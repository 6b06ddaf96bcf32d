"""The image encoder, norms folded, and with it the decoder's projections of the fine levels."""

from __future__ import annotations

import torch
from sam2.modeling.sam2_base import SAM2Base
from torch import Tensor, nn

from engine.convnorm import ConvNorm
from engine.packed.conv import PackedConv, packed
from engine.pico import ResidualBlock


class PackedStage(nn.Module):
    """`pico.Stage`."""

    def __init__(self, down: ConvNorm, blocks: list[ResidualBlock], dtype: torch.dtype) -> None:
        super().__init__()
        self.down = packed(down.conv, True, dtype)
        self.first = nn.ModuleList(packed(block.first.conv, True, dtype) for block in blocks)
        self.second = nn.ModuleList(packed(block.second.conv, dtype=dtype) for block in blocks)

    def forward(self, x: Tensor) -> Tensor:
        x = self.down(x)
        for first, second in zip(self.first, self.second, strict=True):
            assert isinstance(second, PackedConv)
            x = second.add_relu(first(x), x)
        return x


class PackedEncoder(nn.Module):
    """`SAM2Base.forward_image` of a pico: trunk, neck, and the decoder's projections of the fine levels.

    The neck sends levels 0 and 1 through two 1x1 convolutions in a row, which are one; and the norm that
    each level leaves the trunk by is folded into the convolution after it.

    Args:
        dtype: that the convolutions multiply in; what goes in and comes out is float32.
    """

    def __init__(self, net: SAM2Base, dtype: torch.dtype) -> None:
        super().__init__()
        self.dtype = dtype
        encoder, decoder = net.image_encoder, net.sam_mask_decoder
        trunk, self.neck = encoder.trunk, encoder.neck
        if set(self.neck.fpn_top_down_levels) != {2, 3} or encoder.scalp != 1:
            raise ValueError("expected a neck that sums levels 2 and 3 only and hides level 3")
        self.stem = packed(trunk.stem.conv, True, dtype)
        self.stages = nn.ModuleList(PackedStage(s.down, list(s.blocks), dtype) for s in trunk.stages)
        lateral = [_after_norm(c.conv, n) for c, n in zip(self.neck.convs[::-1], trunk.norms, strict=True)]
        lateral[0] = _chained(*lateral[0], decoder.conv_s0)
        lateral[1] = _chained(*lateral[1], decoder.conv_s1)
        like = self.neck.convs[0].conv
        self.lateral = nn.ModuleList(PackedConv(weight, bias, like, dtype=dtype) for weight, bias in lateral)

    def forward(self, image: Tensor) -> dict[str, list[Tensor]]:
        x = self.stem(image.to(self.dtype, memory_format=torch.channels_last))
        levels = []
        for stage, lateral in zip(self.stages, self.lateral, strict=True):
            x = stage(x)
            levels.append(lateral(x).float())
        coarse = nn.functional.interpolate(levels.pop(), scale_factor=2.0, mode="nearest")
        return {"backbone_fpn": [*levels[:2], levels[2] + coarse]}


def _after_norm(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Weight and bias of a 1x1 convolution that does the norm before it as well."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    shift = norm.bias - norm.running_mean * scale
    weight = conv.weight * scale[None, :, None, None]
    return weight, _bias(conv) + conv.weight[..., 0, 0] @ shift


def _chained(weight: Tensor, bias: Tensor, after: nn.Conv2d) -> tuple[Tensor, Tensor]:
    """Weight and bias of two 1x1 convolutions in a row."""
    matrix = after.weight[..., 0, 0]
    return (matrix @ weight[..., 0, 0])[..., None, None], matrix @ bias + _bias(after)


def _bias(conv: nn.Conv2d) -> Tensor:
    return conv.weight.new_zeros(conv.out_channels) if conv.bias is None else conv.bias
