"""The correlation filters of lanes: moved before the network looks, taught after it has answered.

Between the two they say what is not their object.

Does nothing for presets without. Knows lanes and the verbs of a step; knows no network.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from engine import correlation
from engine.boxes import by_edges, overlap
from engine.correlation import CorrelationFilter
from engine.features import Decoded

if TYPE_CHECKING:
    from engine.lanes import Lane
    from engine.stages import Stages

BELIEVED = 0.35  # answers of filters, from which on boxes are regressed where they are
NEAR = 0.4  # overlap with those, from which on they are believed
FOLLOW = 0.12  # of the way to them that a filter's box goes in a frame


def locate(stages: Stages, lanes: Sequence[Lane]) -> None:
    """Let the filters that there are say where their objects went: fills `filter`, `clear` and `asked`."""
    for lane in lanes:
        lane.filter = lane.memory.filter
    with_filter = [lane for lane in lanes if lane.filter is not None]
    if not with_filter:
        return
    moved, answers = correlation.locate(*_pictured(with_filter), [lane.frame for lane in with_filter])
    for lane, there, clear in zip(with_filter, moved, answers, strict=True):
        lane.filter, lane.clear = there, clear
        lane.asked = there.box if clear else None
    _fit(stages, [lane for lane in with_filter if lane.clear >= BELIEVED])


def _fit(stages: Stages, lanes: Sequence[Lane]) -> None:
    """Ask for the boxes that are regressed where filters are, and let those follow a little; fills `sketch`.

    A filter that follows all the way, frame after frame, adds up what is wrong with each.
    """
    if not lanes:
        return
    found, _ = _pictured(lanes)
    boxes = torch.stack([f.box for f in found])
    regressed, sketch = stages.bounds.regress([lane.features for lane in lanes], found)
    near = (overlap(boxes, regressed) > NEAR).float()[:, None]
    followed = by_edges(boxes, regressed, FOLLOW * near)
    asked = by_edges(boxes, regressed, near)
    believed = near[:, 0].tolist()
    for k, (lane, one) in enumerate(zip(lanes, found, strict=True)):
        lane.filter, lane.asked = replace(one, box=followed[k]), asked[k]
        lane.sketch = sketch[k : k + 1] if believed[k] else None


def disown(lanes: Sequence[Lane]) -> None:
    """Empty the masks that have other colours than their object, as of what has come before it.

    Neither filter nor network tells that: the one clings to the edges around an object, the other has been
    asked where the object was, and finds something.
    """
    unclear = [lane for lane in lanes if lane.filter is not None and lane.clear < correlation.DOUBTLESS]
    doubted = [lane for lane in unclear if float(lane.answer.score) > 0]  # the others are empty already
    if not doubted:
        return
    masks = torch.cat([_mask(lane.answer.filled) for lane in doubted])
    same = correlation.alike(*_pictured(doubted), masks)
    for lane, coefficient in zip(doubted, same.tolist(), strict=True):
        if coefficient < correlation.OTHER:
            lane.decoded, lane.clear = lane.answer.absent(), 0.0


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
            if lane.filter.lost < correlation.LOST or lane.clear >= correlation.SURE:
                taught.append(lane)
            else:  # it may be another thing: it is looked for elsewhere as well until it is sure
                known[id(lane)] = lane.filter
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
        outlines = _outlines([lane for lane in taught if lane.sketch is None])
        # Where a box was regressed it is followed already, and a mask knows its ends no better.
        boxes = [outlines.get(id(lane), f.box) for lane, f in zip(taught, found, strict=True)]
        learnt = correlation.learn(found, pictures, torch.stack(boxes), masks)
        known |= {id(lane): f for lane, f in zip(taught, learnt, strict=True)}
    return known


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
