"""The correlation filters of lanes: moved before the network looks, taught after it has answered.

Between the two they say what is not their object.

Does nothing for presets without. Knows lanes and the verbs of a step; knows no network.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from engine import correlation, search
from engine.boxes import by_edges, overlap
from engine.correlation import CorrelationFilter
from engine.features import Decoded
from engine.regressor import Ends
from engine.windows import cut

if TYPE_CHECKING:
    from engine.lanes import Lane
    from engine.stages import Stages

NEAR = 0.4  # overlap of their boxes with those that are regressed, from which on these are believed
FOLLOW = 0.12  # of the way to them that a filter's box goes in a frame
# How likely something is the object: below the first it is not, from the second on it is, whatever network
# and colours say. What is found elsewhere needs the third, and so many times the odds of what is here.
NOT, SURELY, FOUND, GAIN = 0.25, 0.95, 0.8, 10.0
UNAIDED = 0.5  # the same of what only the network has found
# An answer that is less clear leaves doubts; on each so many frames of those in a row, the whole picture is
# searched as well. So many places of it are looked at.
DOUBTFUL, PATIENCE, PLACES = 0.4, 3, 4
# Likelihood below which an object looks other than on its first picture, and is compared with a newer one as
# well, taken on each so many frames: who compares with what he drew himself adds up what is wrong with it.
ALIKE, NEWER = 0.98, 8


def locate(stages: Stages, lanes: Sequence[Lane]) -> None:
    """Let the filters that there are say where their objects went: fills `filter`, `clear` and `asked`."""
    for lane in lanes:
        lane.filter = lane.memory.filter
    with_filter = [lane for lane in lanes if lane.filter is not None]
    if not with_filter:
        return
    moved, answers = correlation.locate(*_pictured(with_filter))
    for lane, there, clear in zip(with_filter, moved, answers, strict=True):
        lane.filter, lane.clear = there, clear
        lane.asked = there.box if clear else None
    _fit(stages, [lane for lane in with_filter if lane.clear])
    for lane, clear in zip(with_filter, answers, strict=True):
        _seek(stages, lane, doubtful=clear < DOUBTFUL or not lane.clear)


def _fit(stages: Stages, lanes: Sequence[Lane]) -> None:
    """Ask for the boxes that are regressed where filters are, and let those follow a little; fills `ends`.

    A filter that follows all the way, frame after frame, adds up what is wrong with each.
    """
    if not lanes:
        return
    found, _ = _pictured(lanes)
    boxes = torch.stack([f.box for f in found])
    ends = _ends(stages, lanes, found)
    near = (overlap(boxes, ends.boxes) > NEAR).float()[:, None]
    followed = by_edges(boxes, ends.boxes, FOLLOW * near)
    asked = by_edges(boxes, ends.boxes, near)
    believed = near[:, 0].tolist()
    for k, (lane, one) in enumerate(zip(lanes, found, strict=True)):
        lane.likely = float(ends.there[k])
        if lane.likely < NOT:
            lane.clear, lane.asked = 0.0, None
            continue
        if lane.likely >= SURELY:
            lane.clear = max(lane.clear, correlation.SURE)
        lane.filter, lane.asked = replace(one, box=followed[k]), asked[k]
        lane.ends = ends[k : k + 1] if believed[k] else None


def _ends(stages: Stages, lanes: Sequence[Lane], found: Sequence[CorrelationFilter]) -> Ends:
    """By the first pictures of objects; where they look other than there, by the newest as well."""
    features = [lane.features for lane in lanes]
    ends = stages.bounds.regress(features, found, newest=False)
    unlike = [k for k, likely in enumerate(ends.there.tolist()) if likely < ALIKE]
    if not unlike:
        return ends
    again = stages.bounds.regress([features[k] for k in unlike], [found[k] for k in unlike])
    chosen = torch.arange(len(lanes))
    chosen[unlike] = torch.arange(len(lanes), len(lanes) + len(unlike))
    return Ends.batch([ends, again])[chosen.to(ends.boxes.device)]


def _seek(stages: Stages, lane: Lane, doubtful: bool) -> None:
    """Look for an object in the whole picture that is lost, or on every third frame that it is doubtful.

    That it looks like it is no reason not to: who has left an object learns what he went to.
    """
    one, look = lane.filter, lane.features.look
    assert one is not None
    assert look is not None
    doubted = one.doubted + 1 if doubtful else 0
    lane.filter = one = replace(one, doubted=doubted)
    if one.lost < correlation.LOST and (not doubted or doubted % PATIENCE):
        return
    boxes, peaks = search.everywhere(one, look, lane.frame, PLACES)
    places = [replace(one, box=box) for box in boxes]
    ends = stages.bounds.regress([lane.features] * len(places), places)
    best = int(ends.there.argmax())
    likely = float(ends.there[best])
    if likely >= FOUND and _odds(likely) >= GAIN * _odds(lane.likely):
        lane.filter, lane.likely = replace(places[best], doubted=0), likely
        lane.asked, lane.ends = ends.boxes[best], ends[best : best + 1]
        lane.clear = max(float(peaks[best]), correlation.SURE if likely >= SURELY else correlation.FAINT)


def _odds(chance: float) -> float:
    return chance / max(1 - chance, 1e-6)


def disown(stages: Stages, lanes: Sequence[Lane]) -> None:
    """Empty the masks that are not of their objects: of other colours, or of what does not look like them.

    Neither filter nor network tells what comes before an object from it: the one clings to the edges around
    it, the other has been asked where the object was, and finds something. Nor does the network when it looks
    for the object by itself, where no filter has found it.
    """
    unclear = [lane for lane in lanes if lane.filter is not None and lane.clear < correlation.DOUBTLESS]
    unclear = [lane for lane in unclear if lane.likely < SURELY]
    doubted = [lane for lane in unclear if float(lane.answer.score) > 0]  # the others are empty already
    if not doubted:
        return
    masks = torch.cat([_mask(lane.answer.filled) for lane in doubted])
    same = correlation.alike(*_pictured(doubted), masks).tolist()
    unaided = [lane for lane in doubted if not lane.clear]
    likely = dict(zip(map(id, unaided), _likely(stages, unaided), strict=True))
    for lane, coefficient in zip(doubted, same, strict=True):
        if coefficient < correlation.OTHER or likely.get(id(lane), 1.0) < UNAIDED:
            lane.decoded, lane.clear = lane.answer.absent(), 0.0


def _likely(stages: Stages, lanes: Sequence[Lane]) -> list[float]:
    """How likely what the network has found by itself is the object."""
    if not lanes:
        return []
    found, _ = _pictured(lanes)
    boxes = Decoded.batch([lane.answer for lane in lanes]).outlines()
    there = [replace(one, box=box) for one, box in zip(found, boxes, strict=True)]
    likely: list[float] = stages.bounds.regress([lane.features for lane in lanes], there).there.tolist()
    return likely


def learn(
    stages: Stages, lanes: Sequence[Lane], visible: Collection[int]
) -> dict[int, CorrelationFilter | None]:
    """What is to be known after this frame, by `id` of the lane.

    A new filter begins where a person has spoken, and where an object is seen that has none: with the box
    that was drawn, if one was, else with the mask's.

    Args:
        lanes: whose frames have a look.
        visible: `id` of lanes whose object is seen.
    """
    here = [lane for lane in lanes if id(lane) in visible]
    begun = [lane for lane in here if lane.prompted or lane.filter is None]
    known = {id(lane): lane.filter.missed() if lane.filter else None for lane in lanes}
    taught = []
    for lane in here:
        if lane.filter and lane.clear and not lane.prompted:
            lost = lane.filter.lost >= correlation.LOST
            surely = lane.likely >= SURELY or lane.clear >= correlation.SURE
            one = lane.filter.found() if surely or not lost else lane.filter
            if one.lost < correlation.LOST:
                taught.append(lane)
            else:  # it may be another thing: it is looked for elsewhere as well until it is sure
                known[id(lane)] = one
    for lane in begun:
        picture, answer = lane.features.look, lane.answer
        assert picture is not None
        box = answer.outlines()[0] if lane.drawn is None else answer.filled.new_tensor(lane.drawn)
        mask = _mask(answer.filled)
        new = correlation.begin(picture, box, mask)
        known[id(lane)] = new and replace(new, template=stages.bounds.describe(lane.features, new, mask))
    if taught:
        found, pictures = _pictured(taught)
        masks = [_mask(lane.answer.filled) for lane in taught]
        outlines = _outlines([lane for lane in taught if lane.ends is None])
        # Where a box was regressed it is followed already, and a mask knows its ends no better.
        boxes = [outlines.get(id(lane), f.box) for lane, f in zip(taught, found, strict=True)]
        learnt = correlation.learn(found, pictures, torch.stack(boxes), masks)
        known |= {id(lane): f for lane, f in zip(taught, learnt, strict=True)}
        known |= _renewed([lane for lane in taught if lane.ends and lane.frame % NEWER == 0], known)
    return known


def _renewed(
    lanes: Sequence[Lane], known: Mapping[int, CorrelationFilter | None]
) -> dict[int, CorrelationFilter]:
    """Filters of lanes, by their `id`, that know how their objects look now."""
    renewed: dict[int, CorrelationFilter] = {}
    if not lanes:
        return renewed
    ends = Ends.batch([lane.ends for lane in lanes if lane.ends])
    masks = cut([_mask(lane.answer.filled) for lane in lanes], *ends.sketch.lattice())
    for k, lane in enumerate(lanes):
        one = known[id(lane)]
        if one is not None and one.template is not None:
            template = one.template.renewed(ends.keys[k : k + 1], masks[k : k + 1])
            renewed[id(lane)] = replace(one, template=template)
    return renewed


def _pictured(lanes: Sequence[Lane]) -> tuple[list[CorrelationFilter], list[Tensor]]:
    """Filters of lanes that have one, and their pictures."""
    pairs = [(lane.filter, lane.features.look) for lane in lanes]
    both = [(f, picture) for f, picture in pairs if f is not None and picture is not None]
    assert len(both) == len(lanes), "a filter without a picture"
    return [f for f, _ in both], [picture for _, picture in both]


def _outlines(lanes: Sequence[Lane]) -> dict[int, Tensor]:
    """Boxes [4] of their masks, by `id` of the lane."""
    if not lanes:
        return {}
    boxes = Decoded.batch([lane.answer for lane in lanes]).outlines()
    return {id(lane): box for lane, box in zip(lanes, boxes, strict=True)}


def _mask(logits: Tensor) -> Tensor:
    return (logits > 0).float()
