"""Small holes in masks, filled as SAM 2 does; plain torch, on the device the masks are on."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

FILLED = 0.1  # the logit of a filled pixel, as upstream


def fill_holes(logits: Tensor, area: int) -> Tensor:
    """Fill background components of at most `area` pixels, 8-connected.

    Equals `sam2.utils.misc.fill_holes_in_mask_scores` with its CUDA extension. Each background pixel takes
    the largest index among itself and its background neighbours, `area` - 1 times: a component that small
    then carries one label. A larger one may contain equal labels too, but touches another label somewhere.

    Args:
        logits: float [B, 1, H, W]; background is <= 0. H * W below 2 ** 24.
        area: pixels, at least 1.

    Returns:
        [B, 1, H, W], `logits` with the holes at `FILLED`.
    """
    batch, _, height, width = logits.shape
    background = logits <= 0
    index = torch.arange(1, height * width + 1, dtype=torch.float32, device=logits.device)
    label = background * index.view(1, 1, height, width)
    for _ in range(area - 1):
        label = F.max_pool2d(label, 3, 1, 1) * background
    lowest = -F.max_pool2d(torch.where(background, -label, -float(height * width + 1)), 3, 1, 1)
    open_border = background & ((F.max_pool2d(label, 3, 1, 1) != label) | (lowest != label))
    ids = label.view(batch, -1).long()
    counts = torch.zeros(2, batch, height * width + 1, device=logits.device)
    counts[0].scatter_add_(1, ids, torch.ones_like(ids, dtype=torch.float32))
    counts[1].scatter_add_(1, ids, open_border.view(batch, -1).float())
    small = (counts[0] <= area) & (counts[1] == 0)
    hole = small.gather(1, ids).view_as(background) & background
    return torch.where(hole, FILLED, logits)
