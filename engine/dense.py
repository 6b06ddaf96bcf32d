"""Clicks and boxes drawn as a map of mask logits, the mask prompt of presets with `dense_prompts`.

SAM 2 reads points as sparse tokens; a small network learns faster where they are when it also sees them
drawn. Used by the training and by the tracker, so that both draw the same. Knows no model and no frame.
"""

from __future__ import annotations

import torch
from torch import Tensor

LOGIT = 4.0  # +4 in what is included, -4 in what is not
RADIUS = 12.0  # cells of the map at which a click has faded: three cells of the stride-16 grid


def dense_prompt(points: Tensor, labels: Tensor, size: int) -> Tensor:
    """Draw prompts of one object, or of a batch of objects.

    Args:
        points: float [P, 2] or [B, P, 2], x and y in 0..1.
        labels: [P] or [B, P]; 1 includes, 0 excludes, 2 and 3 are the first and last corner of a box,
            -1 is padding (SAM's own labels).
        size: side of the map (`sam_prompt_encoder.mask_input_size`).

    Returns:
        float32 [B, 1, size, size] logits in -4..4 (B is 1 for one object). A click fades linearly from its
        logit at its centre to -4 (or to no effect) at `RADIUS` cells; a box is at least one cell wide.
    """
    points, labels = points.reshape(-1, *points.shape[-2:]).float(), labels.reshape(-1, labels.shape[-1])
    cells = (torch.arange(size, device=points.device) + 0.5) / size
    logits = _box(points, labels, cells)
    offset = cells - points.transpose(1, 2)[..., None]  # [B, 2, P, size]
    distance = torch.hypot(offset[:, 0, :, None, :], offset[:, 1, :, :, None]) * size
    disc = LOGIT - 2 * LOGIT * (distance / RADIUS).clamp(max=1)  # [B, P, size, size]
    for p in range(points.shape[1]):
        label = labels[:, p, None, None]
        logits = torch.where(label == 1, torch.maximum(logits, disc[:, p]), logits)
    for p in range(points.shape[1]):  # what is excluded wins over what is included
        label = labels[:, p, None, None]
        logits = torch.where(label == 0, torch.minimum(logits, -disc[:, p]), logits)
    return logits[:, None]


def _box(points: Tensor, labels: Tensor, cells: Tensor) -> Tensor:
    """[B, size, size]: +4 inside the box of each object, -4 outside and where there is no box."""
    corner = torch.stack([(points * (labels == k)[..., None]).sum(1) for k in (2, 3)])  # [2, B, xy]
    centre, half = corner.mean(0), (corner[1] - corner[0]).abs() / 2
    inside = (cells - centre[..., None]).abs() <= half[..., None].clamp(
        min=0.5 / cells.numel()
    )  # [B, xy, size]
    has_box = (labels == 2).any(1)[:, None, None]
    filled = inside[:, 1, :, None] & inside[:, 0, None, :] & has_box
    return torch.where(filled, LOGIT, -LOGIT)
