"""What the machine has for networks to run on."""

from __future__ import annotations

import torch


def accelerator() -> str | None:
    """The name of the GPU that would be used; None without one."""
    return torch.cuda.get_device_name() if torch.cuda.is_available() else None
