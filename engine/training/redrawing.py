"""The redrawer's lesson: what the network offers for a click, redrawn towards the thing that was meant.

The network stays as it is. Of the masks that it offers the best, and others that are near enough, are to
become the thing; and of each it is to be said how good it has become.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from sam2.modeling.sam2_base import SAM2Base
from torch import Tensor

from engine import redrawer, windows
from engine.pixels import halved, normalised
from engine.redrawer import Redrawn
from engine.training.losses import Losses, mask_iou, mean
from engine.training.scenes import Clips
from engine.training.unroll import Outcome, clicked, promptable

NEAR = 0.5  # IoU with the thing from which on a mask is to become it, though another is better
TINT = 0.2  # spread of the gain and offset by which the colours of a picture are changed
JUDGED = 0.3  # weight of the quality in the loss


def redraw(net: SAM2Base, clips: Clips, g: torch.Generator) -> Outcome:
    """Losses of the redrawer on the first pictures of clips, with a click on each object.

    `first_iou` is that of the masks that would be chosen, as far as their windows show.
    """
    with torch.no_grad():
        masks, points = clicked(net, clips, g)
    truth = clips.masks[:, 0].flatten(0, 1)  # [N, S, S]
    several, size = masks.shape[1], masks.shape[-1]
    area = truth.float().mean(dim=(1, 2))
    offered = (masks > 0).flatten(2).any(dim=2) & promptable(clips)[:, 0].flatten()[:, None]  # [N, M]
    before = mask_iou(masks > 0, F.avg_pool2d(truth[:, None].float(), truth.shape[-1] // size) > 0.5)
    best = F.one_hot(before.argmax(dim=1), several).bool()
    meant = offered & (best | (before > NEAR))
    redrawn = _redrawn(net, clips, masks, points, g)
    truths, areas = truth.repeat_interleave(several, dim=0), area.repeat_interleave(several)
    wanted = windows.cut(truths[:, None].float(), redrawn.x, redrawn.y)[:, 0]
    after = iou_of(redrawn, wanted, areas)
    judged = F.binary_cross_entropy_with_logits(redrawn.quality, after, reduction="none")
    losses = Losses(
        mean(drawing(redrawn, wanted), meant.flatten().float()),
        JUDGED * mean(judged, offered.flatten().float()),
        after.new_zeros(()),
    )
    taken = redrawn.quality.view(-1, several).masked_fill(~offered, -torch.inf).argmax(dim=1, keepdim=True)
    ious = after.view(-1, several).gather(1, taken)[:, 0]
    return Outcome(losses, float(mean(ious, offered.any(dim=1).float())), 0.0)


def _redrawn(net: SAM2Base, clips: Clips, masks: Tensor, points: Tensor, g: torch.Generator) -> Redrawn:
    """The masks [N, M, size, size] redrawn as a batch of N * M, on pictures of other colours each time."""
    batch, objects = clips.masks.shape[:3:2]
    pictures = tinted(halved(normalised(clips.images[:, 0])), g)
    several = masks.shape[1]
    each = [pictures[b : b + 1] for b in range(batch) for _ in range(objects * several)]
    told = points.repeat_interleave(several, dim=0)
    logits = masks.flatten(0, 1)[:, None].float()
    return redrawer.clicked(net.redrawer, each, logits, told, torch.ones_like(told[..., 0]))


def tinted(pictures: Tensor, g: torch.Generator) -> Tensor:
    """Pictures [n, 3, H, W], each with other colours."""
    gain, offset = (TINT * torch.randn(2, len(pictures), 3, 1, 1, generator=g)).to(pictures.device)
    out: Tensor = pictures * (1 + gain) + offset
    return out


def drawing(redrawn: Redrawn, wanted: Tensor) -> Tensor:
    """[B] cross-entropy and dice of windows, where they are in the picture; `wanted` is coverage, 0..1."""
    seen, p = redrawn.inside.float(), redrawn.logits.sigmoid()
    entropy = F.binary_cross_entropy_with_logits(redrawn.logits, wanted, reduction="none") * seen
    both, either = ((x * seen).flatten(1).sum(dim=1) for x in (p * wanted, p + wanted))
    dice = 1 - (2 * both + 1) / (either + 1)
    return 2 * entropy.flatten(1).sum(dim=1) / seen.flatten(1).sum(dim=1) + dice


@torch.no_grad()
def iou_of(redrawn: Redrawn, wanted: Tensor, area: Tensor) -> Tensor:
    """[B] IoU of what is drawn in windows with things of `area` [B] in pictures, in and out of the window."""
    cell = (redrawn.x[:, 1] - redrawn.x[:, 0]) * (redrawn.y[:, 1] - redrawn.y[:, 0])
    drawn, there = (redrawn.logits > 0) & redrawn.inside, wanted > 0.5
    shared, own = ((m.flatten(1).sum(dim=1) * cell) for m in (drawn & there, drawn))
    return (shared / (own + area - shared).clamp(min=1e-6)).clamp(0, 1)
