"""The lesson of what correlation filters see: where is on other pictures what one picture shows?

The filters are the tracker's own. They learn in closed form, so that the loss reaches through them to what
they are given, as in CFNet (Valmadre et al., CVPR 2017); that answers away from a thing are to be no more
than none, not below, is from DiMP (Bhat et al., ICCV 2019). The network beside them stays as it is.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from sam2.modeling.sam2_base import SAM2Base
from torch import Tensor

from engine import correlation
from engine.around import LEAST_BOX, SIDE, Around
from engine.correlation import CorrelationFilter
from engine.look import Look, seen
from engine.pixels import halved, normalised
from engine.training import prompts
from engine.training.losses import Losses, mean
from engine.training.scenes import Clips
from engine.training.unroll import LEAST_AREA, Outcome, promptable

OFF = 0.06  # of its sides, that the first box is off
# Where windows are on later pictures: this share of them where the thing was, as when it is followed; a few
# anywhere, as when it is searched for; the others so many of its sides from it, mostly the first.
STAYS, ANYWHERE, BESIDE, FAR_BESIDE, MOSTLY = 0.45, 0.1, 0.5, 1.2, 0.7
REACH, AWAY = 0.85, 1.575  # half windows from the middle in which a thing can be found; from which it cannot
SOME_AREA, SOME_SHOWN = LEAST_AREA / 2, 0.2  # of a thing of which it is not asked whether it is there
WORST = 24  # of a window's answers where nothing is, that count most
EVERYWHERE, PLACED, SHARP = 10.0, 0.15, 8.0  # weight of all of those; of where it is; of answers as logits
ON = 0.25  # of its sides from a thing's middle, that is on it


@dataclass(frozen=True, slots=True, eq=False)
class _Windows:
    """n windows on later pictures, in which things are or are not.

    Attributes:
        around: where they are.
        offset: [n, 2], where the things are, in samples from their middles.
        there: float [n], 1 where a thing can be found,
        asked: and 1 where it is plain whether it can.
    """

    around: Around
    offset: Tensor
    there: Tensor
    asked: Tensor


def look(net: SAM2Base, clips: Clips, g: torch.Generator) -> Outcome:
    """Losses of what filters see, that began on the first pictures of clips, on the others.

    `tracked_iou` is the share of things whose greatest answer is on them.
    """
    part = net.look
    assert isinstance(part, Look)
    maps = maps_of(part, clips)
    with torch.autocast(maps.device.type, enabled=False):
        return _answered(maps, clips, g)


def maps_of(look: Look, clips: Clips) -> Tensor:
    """What filters are given of clips: [B, T, C, S / 4, S / 4]."""
    halves = halved(normalised(clips.images.flatten(0, 1)))
    return torch.unflatten(seen(look(halves).float(), halves), 0, clips.masks.shape[:2])


def _answered(maps: Tensor, clips: Clips, g: torch.Generator) -> Outcome:
    boxes, clear = boxes_of(clips.masks), promptable(clips)
    clip, thing = clear[:, 0].nonzero().unbind(dim=1)
    if not len(clip):
        return Outcome.of_nothing(0 * maps.sum())
    first = jittered(boxes[clip, 0, thing], g)
    covers = F.avg_pool2d(clips.masks[clip, 0, thing][:, None].float(), 4)
    filters = [begun(maps[b, :1], *at) for b, *at in zip(clip.tolist(), first, covers, strict=True)]
    losses, hits = [], []
    for t in range(1, clips.masks.shape[1]):
        asked = _windows(clips, boxes, clear, (clip, thing), t, first, g)
        answers = correlation.answers(filters, asked.around, [maps[b, t : t + 1] for b in clip.tolist()])
        losses.append(mean(_losses(answers, asked), asked.asked))
        hits.append(_hits(answers.detach(), asked))
    total = torch.stack(losses).mean()
    return Outcome(Losses(total, 0 * total, 0 * total), 0.0, sum(hits) / len(hits))


def begun(maps: Tensor, box: Tensor, cover: Tensor) -> CorrelationFilter:
    begun = correlation.begin(maps, box, cover[None])
    assert begun is not None
    return begun


def boxes_of(masks: Tensor) -> Tensor:
    """[B, T, O, 4] centre and size in 0..1 of masks bool [B, T, O, S, S]."""
    corners = prompts.corners(masks.flatten(0, 2)).view(*masks.shape[:3], 4) / masks.shape[-1]
    low, high = corners[..., :2], corners[..., 2:]
    return torch.cat(((low + high) / 2, (high - low).clamp(min=LEAST_BOX)), dim=-1)


def jittered(boxes: Tensor, g: torch.Generator) -> Tensor:
    off = OFF * (2 * torch.rand(boxes.shape, generator=g) - 1).to(boxes.device)
    size = (boxes[:, 2:] * off[:, 2:].exp()).clamp(min=LEAST_BOX)
    return torch.cat((boxes[:, :2] + off[:, :2] * boxes[:, 2:], size), dim=1)


def _windows(
    clips: Clips,
    boxes: Tensor,
    clear: Tensor,
    lanes: tuple[Tensor, Tensor],
    t: int,
    first: Tensor,
    g: torch.Generator,
) -> _Windows:
    """Where to look on pictures `t` for things that were at `first` [n, 4]."""
    clip, thing = lanes
    truth, there = boxes[clip, t, thing], clear[clip, t, thing]

    def rand(count: int) -> Tensor:
        return torch.rand(len(truth), count, generator=g).to(truth.device)

    grown = torch.lerp(first[:, 2:].log(), truth[:, 2:].log(), rand(1)).exp()  # as far as it was followed
    size = torch.where(there[:, None], grown, first[:, 2:])
    beside = (2 * rand(2) - 1) * torch.where(rand(1) < MOSTLY, BESIDE, FAR_BESIDE)
    centre = torch.where(there[:, None], truth[:, :2], first[:, :2]) - beside * size
    how = rand(1)
    centre = torch.where(how < STAYS, first[:, :2] + 0.2 * (rand(2) - 0.5) * size, centre)
    centre = torch.where(how > 1 - ANYWHERE, rand(2), centre)
    around = Around.boxes(torch.cat((centre, size), dim=1))
    offset = (truth[:, :2] - centre) / around.sides * SIDE
    off = offset.abs().amax(dim=1) / (SIDE / 2)
    some = (clips.masks[clip, t, thing].float().mean(dim=(1, 2)) > SOME_AREA) & (
        clips.shown[clip, t, thing] > SOME_SHOWN
    )
    unsure = torch.where(there, (off >= REACH) & (off < AWAY), some)
    return _Windows(around, offset, (there & (off < REACH)).float(), (~unsure).float())


def _losses(answers: Tensor, asked: _Windows) -> Tensor:
    """[n] of answers [n, SIDE, SIDE]."""
    wanted = correlation.wanted(asked.around, asked.offset) * asked.there[:, None, None]
    weight = wanted.flatten(1) / wanted.flatten(1).sum(dim=1, keepdim=True).clamp(min=1e-3)
    missed = (weight * (answers - wanted).flatten(1).square()).sum(dim=1)
    false = ((1 - wanted) * answers.relu()).flatten(1).square()
    elsewhere = false.topk(WORST).values.mean(dim=1) + EVERYWHERE * false.mean(dim=1)
    place = -(weight * F.log_softmax(SHARP * answers.flatten(1), dim=1)).sum(dim=1)
    return missed * asked.there + elsewhere + PLACED * place


def _hits(answers: Tensor, asked: _Windows) -> float:
    """The share of things that are there whose greatest answer is on them."""
    found, _ = correlation.greatest(asked.around, answers)
    truth = asked.around.centres + asked.offset / SIDE * asked.around.sides
    on = ((found - truth) / asked.around.sizes).norm(dim=1) < ON
    return float(mean(on.float(), asked.there * asked.asked))
