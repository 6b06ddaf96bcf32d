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
    logits = torch.where((labels == 2).any(1)[:, None, None], _boxed(_corners(points, labels), cells), -LOGIT)
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


def dense_boxes(corners: Tensor, size: int) -> Tensor:
    """The same of a box and nothing else for each object: corners float [B, 2, xy] in 0..1."""
    return _boxed(corners, (torch.arange(size, device=corners.device) + 0.5) / size)[:, None]


def _corners(points: Tensor, labels: Tensor) -> Tensor:
    """[B, 2, xy], 0 where there is no box."""
    return torch.stack([(points * (labels == k)[..., None]).sum(1) for k in (2, 3)], dim=1)


def _boxed(corners: Tensor, cells: Tensor) -> Tensor:
    """[B, size, size]: +4 inside the box of each object, -4 outside."""
    low, high = corners.amin(dim=1), corners.amax(dim=1)
    centre, half = (low + high) / 2, ((high - low) / 2).clamp(min=0.5 / cells.numel())
    inside = (cells - centre[..., None]).abs() <= half[..., None]  # [B, xy, size]
    return torch.where(inside[:, 1, :, None] & inside[:, 0, None, :], LOGIT, -LOGIT)
