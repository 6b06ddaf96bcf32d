"""The correlation filters of lanes: moved before the network looks, taught after it has answered.

Does nothing for presets without. Knows lanes and the verbs of a step; knows no network.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from engine import correlation, search
from engine.boxes import by_edges, overlap, pairwise
from engine.claims import GAIN, SAME, SURELY, binary, odds, pictured, taken
from engine.correlation import CorrelationFilter
from engine.features import Decoded
from engine.regressor import Ends
from engine.windows import cut

if TYPE_CHECKING:
    from engine.lanes import Lane
    from engine.stages import Stages

NEAR = 0.4  # overlap of their boxes with those that are regressed, from which on these are believed
FOLLOW = 0.12  # of the way to them that a filter's box goes in a frame
# How likely something is the object: below the first it is not; what is found elsewhere needs the second.
NOT, FOUND = 0.25, 0.8
SCRAP = 0.1  # overlap with where a filter found something, below which that is but a piece of what is beside
# An answer that is less clear leaves doubts; on each so many frames of those in a row, the whole picture is
# searched as well. So many places of it are looked at.
DOUBTFUL, PATIENCE, PLACES = 0.4, 3, 4
# Likelihood below which an object looks other than on its first picture, and is compared with a newer one as
# well, taken on each so many frames: who compares with what he drew himself adds up what is wrong with it.
# As often it is asked whether it looks as on the first again.
ALIKE, NEWER = 0.98, 8


def locate(stages: Stages, lanes: Sequence[Lane]) -> None:
    """Let the filters that there are say where their objects went: fills `filter`, `clear` and `asked`."""
    for lane in lanes:
        lane.filter = lane.memory.filter
    with_filter = [lane for lane in lanes if lane.filter is not None]
    if not with_filter:
        return
    moved, answers = correlation.locate(*pictured(with_filter))
    for lane, there, clear in zip(with_filter, moved, answers, strict=True):
        lane.filter, lane.answered, lane.clear = there, clear, clear
        lane.asked = there.box if clear else None
    _fit(stages, [lane for lane in with_filter if lane.clear])
    for lane in with_filter:
        _seek(stages, lane, with_filter)


def _fit(stages: Stages, lanes: Sequence[Lane]) -> None:
    """Ask for the boxes that are regressed where filters are, and let those follow a little; fills `ends`.

    A filter that follows all the way, frame after frame, adds up what is wrong with each.
    """
    if not lanes:
        return
    found, _ = pictured(lanes)
    boxes = torch.stack([f.box for f in found])
    ends, turned = _ends(stages, lanes, found)
    near = (overlap(boxes, ends.boxes) > NEAR).float()[:, None]
    followed = by_edges(boxes, ends.boxes, FOLLOW * near)
    asked = by_edges(boxes, ends.boxes, near)
    believed = near[:, 0].tolist()
    for k, (lane, one) in enumerate(zip(lanes, found, strict=True)):
        lane.likely = float(ends.there[k])
        if lane.likely < NOT:
            lane.clear, lane.asked, lane.filter = 0.0, None, replace(one, turned=turned[k])
            continue
        if lane.likely >= SURELY:
            lane.clear = max(lane.clear, correlation.SURE)
        lane.filter, lane.asked = replace(one, box=followed[k], turned=turned[k]), asked[k]
        lane.ends = ends[k : k + 1] if believed[k] else None


def _ends(
    stages: Stages, lanes: Sequence[Lane], found: Sequence[CorrelationFilter]
) -> tuple[Ends, list[bool]]:
    """Where objects end, and which of them are to be compared with their newest pictures as well.

    By the first ones of those that have looked as there, and now and then of the others, to see whether they
    do again.
    """
    turned = [one.turned for one in found]
    first = [k for k, lane in enumerate(lanes) if not turned[k] or lane.frame % NEWER == 0]
    answers = _regressed(stages, lanes, found, first, newest=False)
    for k in first:
        turned[k] = float(answers[k].there) < ALIKE
    answers |= _regressed(stages, lanes, found, [k for k, unlike in enumerate(turned) if unlike])
    return Ends.batch([answers[k] for k in range(len(lanes))]), turned


def _regressed(
    stages: Stages,
    lanes: Sequence[Lane],
    found: Sequence[CorrelationFilter],
    some: Sequence[int],
    newest: bool = True,
) -> dict[int, Ends]:
    """Of some of the lanes, by their numbers."""
    if not some:
        return {}
    ends = stages.bounds.regress([lanes[k].features for k in some], [found[k] for k in some], newest)
    return {k: ends[n : n + 1] for n, k in enumerate(some)}


def _seek(stages: Stages, lane: Lane, lanes: Sequence[Lane]) -> None:
    """Look for an object in the whole picture that is lost, or on every third frame that it is doubtful.

    That it looks like it is no reason not to: who has left an object learns what he went to.

    Args:
        lanes: it and others; where those are it is not looked for.
    """
    one, look = lane.filter, lane.features.look
    assert one is not None
    assert look is not None
    doubted = one.doubted + 1 if lane.answered < DOUBTFUL or not lane.clear else 0
    lane.filter = one = replace(one, doubted=doubted)
    if one.lost < correlation.LOST and (not doubted or doubted % PATIENCE):
        return
    boxes, peaks = search.everywhere(one, look, lane.frame, PLACES)
    places = [replace(one, box=box) for box in boxes]
    ends = stages.bounds.regress([lane.features] * len(places), places)
    free = (pairwise(ends.boxes, taken(lane, lanes)) <= SAME).all(dim=1)
    free &= overlap(ends.boxes, boxes) > SCRAP
    best = int((ends.there * free).argmax())
    likely = float(ends.there[best] * free[best])
    if likely >= FOUND and odds(likely) >= GAIN * odds(lane.likely):
        lane.filter, lane.likely = replace(places[best], doubted=0), likely
        lane.asked, lane.ends = ends.boxes[best], ends[best : best + 1]
        lane.answered = float(peaks[best])
        lane.clear = max(lane.answered, correlation.SURE if likely >= SURELY else correlation.FAINT)


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
        mask = binary(answer.filled)
        new = correlation.begin(picture, box, mask)
        known[id(lane)] = new and replace(new, template=stages.bounds.describe(lane.features, new, mask))
    if taught:
        found, pictures = pictured(taught)
        masks = [binary(lane.answer.filled) for lane in taught]
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
    masks = cut([binary(lane.answer.filled) for lane in lanes], *ends.sketch.lattice())
    for k, lane in enumerate(lanes):
        one = known[id(lane)]
        if one is not None and one.template is not None:
            template = one.template.renewed(ends.keys[k : k + 1], masks[k : k + 1])
            renewed[id(lane)] = replace(one, template=template)
    return renewed


def _outlines(lanes: Sequence[Lane]) -> dict[int, Tensor]:
    """Boxes [4] of their masks, by `id` of the lane."""
    if not lanes:
        return {}
    boxes = Decoded.batch([lane.answer for lane in lanes]).outlines()
    return {id(lane): box for lane, box in zip(lanes, boxes, strict=True)}
