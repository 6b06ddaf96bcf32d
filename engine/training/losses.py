"""Losses on the decoder's raw outputs: dice and focal on masks, predicted IoU, object score.

From scratch SAM 2's 20:1 focal to dice collapses to empty masks; the mix here does not (docs/pico.md).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Decoded:
    """What the mask decoder said of N objects on one frame, before any choice between masks.

    `masks` [N, 4, h, w] logits (first the single-mask token), `ious` [N, 4] in 0..1, `scores` [N, 1] logits.
    """

    masks: Tensor
    ious: Tensor
    scores: Tensor


@dataclass(frozen=True, slots=True)
class Losses:
    mask: Tensor
    iou: Tensor
    score: Tensor

    @property
    def total(self) -> Tensor:
        return self.mask + self.iou + self.score

    def mixed(self, prompted: Losses, share: float) -> Losses:
        """With a share of those of prompts, which always point at something and so teach no presence."""
        mask, iou = ((a + share * (b - a)) for a, b in ((self.mask, prompted.mask), (self.iou, prompted.iou)))
        return Losses(mask, iou, self.score)


def frame_losses(decoded: Decoded, truth: Tensor, weight: Tensor, balance: float) -> Losses:
    """Losses of one frame.

    Args:
        truth: bool [N, S, S].
        weight: float [N], 0 for objects that were never prompted.
        balance: 1 weighs the two classes alike in the cross-entropy, 0 by area; annealed while training.
    """
    logits = decoded.masks.float()
    soft = F.avg_pool2d(truth[:, None].float(), truth.shape[-1] // logits.shape[-1])  # coverage of each cell
    present = (truth.flatten(1).sum(1) > 12).float()
    each = _mask_loss(logits, soft, balance)
    several = each[:, 1:]
    mask = each[:, 0] + several.amin(1) + 0.05 * several.mean(1)
    actual = mask_iou(logits > 0, soft > 0.5)
    iou = F.mse_loss(decoded.ious.float(), actual, reduction="none").mean(1)
    score = F.binary_cross_entropy_with_logits(decoded.scores.float()[:, 0], present, reduction="none")
    seen = weight * present
    return Losses(mean(mask, seen), mean(iou, seen) * 2, mean(score, weight) * 0.5)


def _mask_loss(logits: Tensor, soft: Tensor, balance: float) -> Tensor:
    """[N, M] loss of every candidate mask."""
    p = logits.sigmoid()
    target = soft.expand_as(logits)
    overlap = (p * target).flatten(2).sum(2)
    dice = 1 - (2 * overlap + 1) / (p.flatten(2).sum(2) + target.flatten(2).sum(2) + 1)
    area = soft.mean((1, 2, 3)).clamp(1e-3, 1 - 1e-3)[:, None, None, None]
    weights = (target / area + (1 - target) / (1 - area)) / 2
    entropy = F.binary_cross_entropy_with_logits(logits, target, reduction="none") * weights**balance
    hard = (p - target).detach() ** 2
    focal = (entropy * (0.2 + 0.5 * hard)).flatten(2).mean(2)
    return 2 * dice + 6 * focal


def mask_iou(masks: Tensor, truth: Tensor) -> Tensor:
    """[N, M] IoU of M masks, bool [N, M, h, w], each with the truth [N, 1, h, w]."""
    either = (masks | truth).flatten(2).sum(2)
    return (masks & truth).flatten(2).sum(2) / either.clamp(min=1)


def mean(values: Tensor, weight: Tensor) -> Tensor:
    """Weighted mean of [N]; 0 without any weight."""
    return (values * weight).sum() / weight.sum().clamp(min=1)


def mean_iou(predicted: Tensor, truth: Tensor, weight: Tensor) -> float:
    """Mean IoU of bool masks [N, S, S] over objects with weight and something to see."""
    union = (predicted | truth).flatten(1).sum(1)
    iou = (predicted & truth).flatten(1).sum(1) / union.clamp(min=1)
    use = weight * (truth.flatten(1).sum(1) > 12)
    return float((iou * use).sum() / use.sum().clamp(min=1))
