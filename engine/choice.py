"""Which of several masks is the thing that was clicked: the one whose colours end where it ends.

A click may mean a man or his shirt, so the network offers several masks, and guesses how good each is. A
small network guesses badly; the picture itself says more.

Knows pictures, masks and points; knows no network and no object's past.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.colours import bins, histogram, likeness
from engine.snap import snap

LEVELS = 8  # of each channel
AROUND = 4  # pixels of the picture around a mask that it is compared with


def likeliest(
    pictures: Sequence[Tensor], masks: Tensor, ious: Tensor, points: Tensor, labels: Tensor
) -> Tensor:
    """The best of M masks for each of B objects.

    Args:
        pictures: [1, 3, H, W] for each object, channels of zero mean and unit variance.
        masks: float32 logits [B, M, size, size] of the network.
        ious: [B, M], how good the network takes them to be, in 0..1.
        points: float32 [P, 2] in 0..1, what a person said of every one of the objects, with
        labels: [P] of SAM.

    Returns:
        int64 [B] in 0..M - 1.
    """
    batch, several = masks.shape[:2]
    each = [picture for picture in pictures for _ in range(several)]
    snapped = snap(each, masks.flatten(0, 1)[:, None], points, labels)
    return (ious - alike(each, snapped).view(batch, several)).argmax(dim=1)


def alike(pictures: Sequence[Tensor], logits: Tensor) -> Tensor:
    """How much the colours of masks are those around them: Bhattacharyya's coefficient [B] in 0..1.

    1 also of a mask that holds nothing, and of one that has nothing around it.

    Args:
        pictures: [1, 3, H, W] for each mask [B, 1, size, size].
    """
    colour = bins(torch.cat(tuple(pictures)).float(), LEVELS)
    there = F.interpolate(logits, colour.shape[-2:], mode="bilinear", align_corners=False) > 0
    near = F.max_pool2d(there.float(), 2 * AROUND + 1, 1, AROUND) > 0
    inside, around = (m[:, 0].float() for m in (there, near & ~there))
    shared = likeness(histogram(colour, inside, LEVELS), histogram(colour, around, LEVELS))
    nothing = (inside.sum(dim=(1, 2)) == 0) | (around.sum(dim=(1, 2)) == 0)
    return torch.where(nothing, 1.0, shared)
