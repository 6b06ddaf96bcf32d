"""Small holes in masks, filled as SAM 2 does; plain torch, on the device the masks are on, without a sync."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

FILLED = 0.1  # the logit of a filled pixel, as upstream


def fill_holes(logits: Tensor, area: int) -> Tensor:
    """Fill background components of at most `area` pixels, 8-connected.

    Equals `sam2.utils.misc.fill_holes_in_mask_scores` with its CUDA extension. Each background pixel takes
    the largest label among its own and those of its background neighbours, `area` - 1 times: a component
    that small then carries one label. In a larger one pixels may share a label too, but some of them touch
    another one.

    Args:
        logits: float [B, 1, H, W]; background is <= 0. H * W below 2 ** 24.
        area: pixels, at least 1.

    Returns:
        [B, 1, H, W], `logits` with the holes at `FILLED`.
    """
    batch, _, height, width = logits.shape
    pixels = height * width
    background = logits[:, 0] <= 0
    free = background.float()
    labels = torch.arange(1, pixels + 1, dtype=torch.float32, device=logits.device).view(height, width)
    label = free * labels
    for _ in range(area - 1):
        label = _largest_around(label) * free
    # A neighbour with a larger or a smaller label; foreground neighbours (label 0) do not count.
    reverse = free * (pixels + 1) - label
    touching = (_largest_around(label) != label) | (_largest_around(reverse) != reverse)
    ids = label.view(batch, -1).long()
    count = torch.zeros(batch, pixels + 1, device=logits.device)
    weight = torch.where(
        touching, float(area + 1), 1.0
    )  # a component that touches another label is too large
    count.scatter_add_(1, ids, weight.view(batch, -1))
    small = count.gather(1, ids).view_as(background) <= area
    return torch.where((small & background)[:, None], FILLED, logits)


def _largest_around(values: Tensor) -> Tensor:
    """Largest of the 3 x 3 pixels around each of [B, H, W]; nothing lies beyond the border (0)."""
    padded = F.pad(values, (1, 1, 1, 1))
    rows = torch.maximum(torch.maximum(padded[:, :-2], padded[:, 1:-1]), padded[:, 2:])
    return torch.maximum(torch.maximum(rows[..., :-2], rows[..., 1:-1]), rows[..., 2:])
