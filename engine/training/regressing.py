"""The lesson of where objects end: the box of what earlier pictures show, from a box that is off.

Boxes are off as those of a correlation filter are: somewhere between the first size and today's, and not
quite in the middle. The newest picture that is known was answered by the regressor itself, in half of the
lessons. Some windows show the object no more, or lie elsewhere. The network and what filters see stay as
they are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from sam2.modeling.sam2_base import SAM2Base
from torch import Tensor

from engine import correlation, search
from engine.around import LEAST_BOX, Around
from engine.boxes import ends, overlap
from engine.correlation import CorrelationFilter
from engine.pixels import normalised
from engine.regressor import BoxRegressor, Found, Template, crop, placed, tell
from engine.training.looking import begun, boxes_of, jittered, maps_of
from engine.training.losses import Losses, mean
from engine.training.scenes import Clips
from engine.training.unroll import LEAST_AREA, Outcome, promptable

SIZE_OFF = 0.12  # standard deviation of the logarithms of its sides
OFF, FAR_OFF, MOSTLY = 0.15, 0.35, 0.75  # of its sides, at most; the first in most lessons
BLURRED = 0.5  # share of masks that are not quite the truth
OWN = 0.5  # share of newest masks that the regressor drew itself
ELSEWHERE, HIDDEN_ELSEWHERE = 0.35, 0.8  # share of things that are looked for in another place as well
SEARCHED, PLACES = 0.7, 4  # share of these places that the filter finds; the first so many
HIDDEN_OFF = 0.3  # of its sides, that a window lies beside where a hidden thing was
# Of a thing in a window, from which on it is there; up to which it is not; of its first area, hidden.
THERE, GONE, HIDDEN = 0.5, 0.03, 0.03
MASK, EDGE, MOST = 2.0, 2.0, 2.0  # weights of cross-entropy and edges; how far an edge can be off, in sides
JUDGED = 0.5  # weight of whether things are there


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """n objects on a later picture of their clips, and what the regressor says of them.

    Attributes:
        clip, thing, frame: int64 [n], who and where they are.
        plain: bool [n], those that are plain to see, near the middle of their windows.
        truth: [n, 4], the boxes of these,
        off: and those that were off, in the middle of
        around: the windows.
        covered: float32 [n, SIDE, SIDE], what is to be seen of them there.
        there: float32 [n], 1 where they are, 0 where they are not,
        judged: and 1 where that can be said.
        found: as `BoxRegressor.forward` has it.
    """

    clip: Tensor
    thing: Tensor
    frame: Tensor
    plain: Tensor
    truth: Tensor
    off: Tensor
    around: Around
    covered: Tensor
    there: Tensor
    judged: Tensor
    found: Found


def regress(net: SAM2Base, clips: Clips, g: torch.Generator) -> Outcome:
    """Losses of the boxes of objects that were seen on the first pictures of clips, on the others.

    `first_iou` is of the boxes that were off, `tracked_iou` of what came of them.
    """
    losses, before, after, wrong = [], [], [], []
    for asked in asked_later(net, clips, g):
        losses.append(_losses(asked))
        plain, reached = asked.plain.float(), placed(asked.found.edges.detach(), asked.around)
        before.append(mean(overlap(asked.off, asked.truth), plain))
        after.append(mean(overlap(reached, asked.truth), plain))
        judging = F.binary_cross_entropy_with_logits(asked.found.there, asked.there, reduction="none")
        wrong.append(mean(judging, asked.judged))
    if not losses:
        return Outcome.of_nothing(0 * net.regressor.contrast)
    total, judged = torch.cat(losses).mean(), JUDGED * torch.stack(wrong).mean()
    ious = (float(torch.stack(each).mean()) for each in (before, after))
    return Outcome(Losses(total, 0 * total, judged), *ious)


@dataclass(frozen=True, slots=True, eq=False)
class _Pupils:
    """k objects that were seen on the first pictures of clips.

    Attributes:
        clip, thing: int64 [k].
        first: [k, 4], their first boxes.
        filters: that began there.
        area: [k], what they covered of the picture there.
    """

    clip: Tensor
    thing: Tensor
    first: Tensor
    filters: Sequence[CorrelationFilter]
    area: Tensor


def asked_later(net: SAM2Base, clips: Clips, g: torch.Generator) -> Iterator[Asked]:
    """Objects that were seen on the first pictures of clips, on each of the others."""
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
    area = clips.masks[clip, 0, thing].float().mean(dim=(1, 2))
    pupils = _Pupils(clip, thing, first, filters, area)
    there = Around.boxes(first)
    known = part.template(normalised(crop(clips.images[clip, 0], there)), there.cut(cover))
    last = first
    for t in range(1, clips.masks.shape[1]):
        lanes, off, plain = _windows(clips, pupils, maps, boxes, clear, t, last, g)
        if not len(lanes):
            continue
        asked = _asked(part, clips, pupils, maps, known[lanes], (lanes, off, plain), t, boxes)
        yield asked
        seen = lanes[plain]
        known = _renewed(known, asked, seen, g)
        last = last.clone()
        last[seen] = boxes[clip[seen], t, thing[seen]]


def _windows(
    clips: Clips,
    pupils: _Pupils,
    maps: Tensor,
    boxes: Tensor,
    clear: Tensor,
    t: int,
    last: Tensor,
    g: torch.Generator,
) -> tuple[Tensor, Tensor, Tensor]:
    """Who is looked for on pictures `t`, in the middle of which boxes [n, 4], and who of them is plain there.

    Args:
        last: [k, 4], where they were seen last.
    """
    clip, thing, device = pupils.clip, pupils.thing, last.device

    def rand(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=g).to(device)

    plain = clear[clip, t, thing].nonzero()[:, 0]
    off = _off(boxes[clip[plain], t, thing[plain]], pupils.first[plain], g)
    seen = clips.masks[clip, t, thing].float().mean(dim=(1, 2))
    is_hidden = seen < HIDDEN * pupils.area
    hidden = is_hidden.nonzero()[:, 0]
    was = last[hidden]
    beside = HIDDEN_OFF * (2 * rand(len(hidden), 2) - 1) * was[:, 2:]
    gone = torch.cat((was[:, :2] + beside, was[:, 2:]), dim=1)
    chance = torch.where(is_hidden, HIDDEN_ELSEWHERE, ELSEWHERE)
    other = (rand(len(clip)) < chance).nonzero()[:, 0]
    place = boxes[clip[other], t, 1 - thing[other]][:, :2]
    size = last[other, 2:] * (0.3 * (rand(len(other), 1) - 0.5)).exp()
    elsewhere = torch.cat((place, size), dim=1)
    for k in (rand(len(other)) < SEARCHED).nonzero()[:, 0].tolist():
        one, picture = pupils.filters[int(other[k])], maps[int(clip[other[k]]), t : t + 1]
        with torch.no_grad(), torch.autocast(device.type, enabled=False):
            found, _ = search.everywhere(replace(one, box=last[other[k]]), picture, t, PLACES)
        elsewhere[k] = found[int(len(found) * rand(1))]
    lanes = torch.cat((plain, hidden, other))
    middle = torch.zeros(len(lanes), dtype=torch.bool, device=device)
    middle[: len(plain)] = True
    return lanes, torch.cat((off, gone, elsewhere)), middle


def _asked(
    part: BoxRegressor,
    clips: Clips,
    pupils: _Pupils,
    maps: Tensor,
    known: Template,
    windows: tuple[Tensor, Tensor, Tensor],
    t: int,
    boxes: Tensor,
) -> Asked:
    lanes, off, plain = windows
    clip, thing = pupils.clip[lanes], pupils.thing[lanes]
    around = Around.boxes(off)
    masks = F.avg_pool2d(clips.masks[clip, t, thing][:, None].float(), 2)
    covered = (around.cut(masks) * around.inside())[:, 0]
    with torch.no_grad(), torch.autocast(maps.device.type, enabled=False):
        maps_now = [maps[b, t : t + 1] for b in clip.tolist()]
        answers = correlation.answers([pupils.filters[k] for k in lanes.tolist()], around, maps_now)
    crops = normalised(crop(clips.images[clip, t], around))
    found = Found(*part(known.keys, known.cover, crops, tell(answers, around)))
    seen, area = masks.mean(dim=(1, 2, 3)), pupils.area[lanes]
    share = covered.mean(dim=(1, 2)) * around.sides.prod(dim=1) / seen.clamp(min=1e-6)
    big = seen > (area / 2).clamp(max=LEAST_AREA)
    there = big & (share > THERE)
    judged = there | ~big & (seen < HIDDEN * area) | (share < GONE)
    return Asked(
        clip,
        thing,
        torch.full_like(clip, t),
        plain,
        boxes[clip, t, thing],
        off,
        around,
        covered,
        there.float(),
        judged.float(),
        found,
    )


def _renewed(known: Template, asked: Asked, seen: Tensor, g: torch.Generator) -> Template:
    """What is known, with the newest pictures of those that were `seen`."""
    drawn, truth = (x[asked.plain][:, None] for x in (asked.found.logits.detach().sigmoid(), asked.covered))
    own = (torch.rand(len(seen), 1, 1, 1, generator=g) < OWN).to(truth.device)
    newest = known[seen].renewed(asked.found.keys[asked.plain], torch.where(own, drawn, _blurred(truth, g)))
    keys, cover = known.keys.clone(), known.cover.clone()
    keys[seen], cover[seen] = newest.keys, newest.cover
    return Template(keys, cover, known.off)


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
    size = (grown + SIZE_OFF * noise).exp().clamp(min=LEAST_BOX)
    beside = (2 * rand(2) - 1) * torch.where(rand(1) < MOSTLY, OFF, FAR_OFF)
    return torch.cat((truth[:, :2] - beside * size, size), dim=1)


def _losses(asked: Asked) -> Tensor:
    """[n]: cross-entropy of masks and, of what is plain, dice, edges in sides of the box, and overlap."""
    around, truth, masks, found = asked.around, asked.truth, asked.covered, asked.found
    entropy = F.binary_cross_entropy_with_logits(found.logits, masks, reduction="none").mean(dim=(1, 2))
    drawn = found.logits.sigmoid()
    shared, both = (drawn * masks).sum(dim=(1, 2)), (drawn + masks).sum(dim=(1, 2))
    dice = 1 - (2 * shared + 1) / (both + 1)
    corner = around.centres - around.sides / 2
    wanted = (torch.cat(ends(truth), dim=1) - corner.repeat(1, 2)) / around.sides.repeat(1, 2)
    sides = (truth[:, 2:] / around.sides).repeat(1, 2)
    off = ((found.edges - wanted).abs() / sides).clamp(max=MOST).mean(dim=1)
    ends_off = dice + EDGE * off + 1 - overlap(placed(found.edges, around), truth)
    return MASK * entropy + torch.where(asked.plain, ends_off, 0)
