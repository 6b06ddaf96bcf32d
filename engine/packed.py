"""Pico's image encoder made ready for a CPU: weights reordered once, norms folded, sums and ReLUs fused.

The same function to rounding, in two thirds of the time. Left to itself torch reorders each weight on each
call and makes a pass over memory for every ReLU. For inference in float32 alone: what is packed cannot be
trained or saved. The operators are those that torch.compile's CPU backend emits (`torch.ops.mkldnn`).
"""

from __future__ import annotations

import torch
from sam2.modeling.sam2_base import SAM2Base
from torch import Tensor, nn

from engine.pico import ConvNorm, ResidualBlock, ResidualTrunk


def can_pack(net: SAM2Base, device: torch.device, dtype: torch.dtype) -> bool:
    """Whether `pack` knows this network and this place to run it."""
    known = isinstance(net.image_encoder.trunk, ResidualTrunk)
    return known and device.type == "cpu" and dtype == torch.float32 and torch._C._has_mkldnn


def pack(net: SAM2Base) -> None:
    """Replace the image encoder, in place; `net` must be in eval mode and fused (`pico.fuse`)."""
    net.image_encoder = PackedEncoder(net)
    net.sam_mask_decoder.conv_s0 = nn.Identity()  # these two are now part of the image encoder
    net.sam_mask_decoder.conv_s1 = nn.Identity()


class PackedConv(nn.Module):
    """A convolution [B, C, H, W] -> [B, D, H', W'] whose weight lies as the kernel wants it.

    Args:
        weight, bias: of the convolution; they may differ from `like`'s.
        like: gives stride, padding, dilation and groups.
        relu: apply ReLU to the result.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None, like: nn.Conv2d, relu: bool = False) -> None:
        super().__init__()
        self._how = (list(like.padding), list(like.stride), list(like.dilation), like.groups)
        self._weight, self._shape = weight.detach(), torch.Size((0, 0, 0, 0))
        self._bias = None if bias is None else bias.detach()
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


class PackedStage(nn.Module):
    """`pico.Stage`."""

    def __init__(self, down: ConvNorm, blocks: list[ResidualBlock]) -> None:
        super().__init__()
        self.down = _packed(down, relu=True)
        self.first = nn.ModuleList(_packed(block.first, relu=True) for block in blocks)
        self.second = nn.ModuleList(_packed(block.second, relu=False) for block in blocks)

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
    """

    def __init__(self, net: SAM2Base) -> None:
        super().__init__()
        encoder, decoder = net.image_encoder, net.sam_mask_decoder
        trunk, self.neck = encoder.trunk, encoder.neck
        if set(self.neck.fpn_top_down_levels) != {2, 3} or encoder.scalp != 1:
            raise ValueError("expected a neck that sums levels 2 and 3 only and hides level 3")
        self.stem = _packed(trunk.stem, relu=True)
        self.stages = nn.ModuleList(PackedStage(s.down, list(s.blocks)) for s in trunk.stages)
        lateral = [_after_norm(c.conv, n) for c, n in zip(self.neck.convs[::-1], trunk.norms, strict=True)]
        lateral[0] = _chained(*lateral[0], decoder.conv_s0)
        lateral[1] = _chained(*lateral[1], decoder.conv_s1)
        like = self.neck.convs[0].conv
        self.lateral = nn.ModuleList(PackedConv(weight, bias, like) for weight, bias in lateral)

    def forward(self, image: Tensor) -> dict[str, list[Tensor]]:
        x = self.stem(image.contiguous(memory_format=torch.channels_last))
        levels = []
        for stage, lateral in zip(self.stages, self.lateral, strict=True):
            x = stage(x)
            levels.append(lateral(x))
        coarse = nn.functional.interpolate(levels.pop(), scale_factor=2.0, mode="nearest")
        return {"backbone_fpn": [*levels[:2], levels[2] + coarse]}


def _packed(block: ConvNorm, relu: bool) -> PackedConv:
    return PackedConv(block.conv.weight, block.conv.bias, block.conv, relu)


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
