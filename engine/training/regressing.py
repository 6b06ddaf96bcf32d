"""The lesson of where objects end: the box of what one picture shows, on others, from a box that is off.

Boxes are off as those of a correlation filter are: somewhere between the first size and today's, and not
quite in the middle. The network and what filters see stay as they are.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from sam2.modeling.sam2_base import SAM2Base
from torch import Tensor

from engine import correlation
from engine.boxes import ends, overlap
from engine.correlation import Around
from engine.pixels import normalised
from engine.regressor import BoxRegressor, crop, placed, tell
from engine.training.looking import begun, boxes_of, jittered, maps_of
from engine.training.losses import Losses
from engine.training.scenes import Clips
from engine.training.unroll import Outcome, promptable

SIZE_OFF = 0.12  # standard deviation of the logarithms of its sides
OFF, FAR_OFF, MOSTLY = 0.15, 0.35, 0.75  # of its sides, at most; the first in most lessons
BLURRED = 0.5  # share of first masks that are not quite the truth
MASK, EDGE, MOST = 2.0, 2.0, 2.0  # weights of cross-entropy and edges; how far an edge can be off, in sides


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """n objects on a later picture of their clips, and what the regressor says of them.

    Attributes:
        clip, thing, frame: int64 [n], who and where they are.
        truth: [n, 4], their boxes,
        off: and those that were off, in the middle of
        around: the windows.
        edges, logits: as `BoxRegressor.forward` has them.
    """

    clip: Tensor
    thing: Tensor
    frame: Tensor
    truth: Tensor
    off: Tensor
    around: Around
    edges: Tensor
    logits: Tensor


def regress(net: SAM2Base, clips: Clips, g: torch.Generator) -> Outcome:
    """Losses of the boxes of objects that were seen on the first pictures of clips, on the others.

    `first_iou` is of the boxes that were off, `tracked_iou` of what came of them.
    """
    losses, before, after = [], [], []
    for asked in asked_later(net, clips, g):
        masks = F.avg_pool2d(clips.masks[asked.clip, asked.frame, asked.thing][:, None].float(), 2)
        losses.append(_losses(asked, asked.around.cut(masks)[:, 0]))
        before.append(overlap(asked.off, asked.truth))
        after.append(overlap(placed(asked.edges.detach(), asked.around), asked.truth))
    if not losses:
        return Outcome.of_nothing(0 * net.regressor.contrast)
    total = torch.cat(losses).mean()
    reached = (float(torch.cat(each).mean()) for each in (before, after))
    return Outcome(Losses(total, 0 * total, 0 * total), *reached)


def asked_later(net: SAM2Base, clips: Clips, g: torch.Generator) -> Iterator[Asked]:
    """Objects that were seen on the first pictures of clips, on each of the others that shows any."""
    part = net.regressor
    assert isinstance(part, BoxRegressor)
    with torch.no_grad():
        maps = maps_of(net.look, clips)
    boxes, clear = boxes_of(clips.masks), promptable(clips)
    clip, thing = clear[:, 0].nonzero().unbind(dim=1)
    if not len(clip):
        return
    first = jittered(boxes[clip, 0, thing], g)
    cover = _blurred(F.avg_pool2d(clips.masks[clip, 0, thing][:, None].float(), 4), g)
    with torch.no_grad(), torch.autocast(maps.device.type, enabled=False):
        filters = [begun(maps[b, :1], *at) for b, *at in zip(clip.tolist(), first, cover, strict=True)]
    there = Around.boxes(first)
    template = part.template(normalised(crop(clips.images[clip, 0], there)), there.cut(cover))
    for t in range(1, clips.masks.shape[1]):
        lanes = clear[clip, t, thing].nonzero()[:, 0]
        if not len(lanes):
            continue
        where, what = clip[lanes], thing[lanes]
        truth = boxes[where, t, what]
        off = _off(truth, first[lanes], g)
        around = Around.boxes(off)
        with torch.no_grad(), torch.autocast(maps.device.type, enabled=False):
            maps_now = [maps[b, t : t + 1] for b in where.tolist()]
            answers = correlation.answers([filters[k] for k in lanes.tolist()], around, maps_now)
        now = template[lanes]
        crops = normalised(crop(clips.images[where, t], around))
        edges, logits = part(now.keys, now.cover, crops, tell(answers, around))
        yield Asked(where, what, torch.full_like(where, t), truth, off, around, edges, logits)


def _blurred(cover: Tensor, g: torch.Generator) -> Tensor:
    """Some masks [n, 1, h, w] a little larger or smaller, as those that a network draws."""
    chance, level = (torch.rand(len(cover), 1, 1, 1, generator=g).to(cover.device) for _ in range(2))
    other = (4 * (F.avg_pool2d(cover, 3, 1, 1) - 0.2 - 0.6 * level) + 0.5).clamp(0, 1)
    return torch.where(chance < BLURRED, other, cover)


def _off(truth: Tensor, first: Tensor, g: torch.Generator) -> Tensor:
    """Boxes [n, 4] as a filter would have them for those that are true now."""

    def rand(count: int) -> Tensor:
        return torch.rand(len(truth), count, generator=g).to(truth.device)

    grown = torch.lerp(first[:, 2:].log(), truth[:, 2:].log(), rand(1).sqrt())
    noise = torch.randn(len(truth), 2, generator=g).to(truth.device)
    size = (grown + SIZE_OFF * noise).exp().clamp(min=correlation.LEAST_BOX)
    beside = (2 * rand(2) - 1) * torch.where(rand(1) < MOSTLY, OFF, FAR_OFF)
    return torch.cat((truth[:, :2] - beside * size, size), dim=1)


def _losses(asked: Asked, masks: Tensor) -> Tensor:
    """[n]: cross-entropy and dice of masks [n, SIDE, SIDE], edges in sides of the box, and overlap."""
    around, truth, logits = asked.around, asked.truth, asked.logits
    entropy = F.binary_cross_entropy_with_logits(logits, masks, reduction="none").mean(dim=(1, 2))
    drawn = logits.sigmoid()
    shared, both = (drawn * masks).sum(dim=(1, 2)), (drawn + masks).sum(dim=(1, 2))
    dice = 1 - (2 * shared + 1) / (both + 1)
    corner = around.centres - around.sides / 2
    wanted = (torch.cat(ends(truth), dim=1) - corner.repeat(1, 2)) / around.sides.repeat(1, 2)
    sides = (truth[:, 2:] / around.sides).repeat(1, 2)
    off = ((asked.edges - wanted).abs() / sides).clamp(max=MOST).mean(dim=1)
    return MASK * entropy + dice + EDGE * off + 1 - overlap(placed(asked.edges, around), truth)
