"""Pico's parts made ready for a CPU: weights reordered once, norms folded, small operations joined.

The same function to rounding, in less time. For inference alone: what is packed cannot be trained or saved.

In bfloat16 the image encoder's convolutions and the larger products multiply in it, and nothing else does:
what is left is so small that casting to and fro, as autocast does, takes longer than it gains.
"""

from __future__ import annotations

import torch
from sam2.modeling.sam2_base import SAM2Base
from torch import nn

from engine import machine
from engine.packed.conv import packed
from engine.packed.decoder import PackedDecoder
from engine.packed.image import PackedEncoder
from engine.packed.memory import PackedDownSampler, PackedFuser
from engine.packed.product import product
from engine.pico import ResidualTrunk


def can_pack(net: SAM2Base, device: torch.device, dtype: torch.dtype) -> bool:
    """Whether `pack` knows this network and this place to run it."""
    known = isinstance(net.image_encoder.trunk, ResidualTrunk)
    multiplies = dtype == torch.float32 or (dtype == torch.bfloat16 and machine.cpu_has_bf16())
    return known and device.type == "cpu" and multiplies and torch._C._has_mkldnn


def pack(net: SAM2Base, dtype: torch.dtype = torch.float32) -> None:
    """Replace image encoder, mask decoder, memory encoder and feed-forward of memory attention, in place.

    `net` must be in eval mode and fused (`convnorm.fuse`).
    """
    memory = net.memory_encoder
    net.image_encoder = PackedEncoder(net, dtype)
    net.sam_mask_decoder = PackedDecoder(net.sam_mask_decoder, dtype)
    for layer in net.memory_attention.layers:
        layer.linear1, layer.linear2 = product(layer.linear1, dtype), product(layer.linear2, dtype)
    memory.mask_downsampler = PackedDownSampler(memory.mask_downsampler)
    memory.fuser = PackedFuser(memory.fuser, dtype)
    memory.pix_feat_proj = packed(memory.pix_feat_proj)
    if isinstance(memory.out_proj, nn.Conv2d):
        memory.out_proj = packed(memory.out_proj)


def is_packed(net: SAM2Base) -> bool:
    """Whether it chooses its precision itself, operation by operation, and takes and gives float32."""
    return isinstance(net.image_encoder, PackedEncoder)
