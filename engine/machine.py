"""What the machine has for networks to run on."""

from __future__ import annotations

import torch


def accelerator() -> str | None:
    """The name of the GPU that would be used; None without one."""
    return torch.cuda.get_device_name() if torch.cuda.is_available() else None


def cpu_has_bf16() -> bool:
    """Whether this CPU multiplies bfloat16 in hardware (AVX512-BF16 or AMX), not by emulation."""
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
