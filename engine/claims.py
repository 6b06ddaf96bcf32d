"""Masks that are not of their objects are emptied: of other colours, of another look, of another object.

Neither filter nor network tells what comes before an object from it: the one clings to the edges around it,
the other has been asked where the object was, and finds something.

Does nothing for lanes without filters. Knows lanes and the verbs of a step; knows no network.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from engine import correlation
from engine.correlation import CorrelationFilter
from engine.features import Decoded

if TYPE_CHECKING:
    from engine.lanes import Lane
    from engine.stages import Stages

# How likely something has to be the object: from the first on it is, whatever network and colours say; what
# only the network has found needs the second; who claims what another has, so many times that one's odds.
SURELY, UNAIDED, GAIN = 0.95, 0.5, 10.0
SAME = 0.5  # of what two masks or boxes cover, that is in both of one thing


def disown(stages: Stages, lanes: Sequence[Lane]) -> None:
    """Empty such masks of decoded lanes, and take back that they were `clear`."""
    _of_others(stages, lanes)
    pictures: dict[int, list[Lane]] = {}
    for lane in lanes:
        if lane.filter is not None:
            pictures.setdefault(id(lane.features), []).append(lane)
    for several in pictures.values():
        _of_rivals(stages, several)


def taken(lane: Lane, lanes: Sequence[Lane]) -> Tensor:
    """Boxes [n, 4] where it is not to be looked for: others are there, and look as they began."""
    beside = [other for other in lanes if other is not lane and other.features is lane.features]
    filters = [(other.filter, other.asked) for other in beside if not _one_thing(lane, other)]
    boxes = [box for one, box in filters if one and not one.lost and not one.turned and box is not None]
    return torch.stack(boxes) if boxes else lane.features.top.new_zeros(0, 4)


def _of_others(stages: Stages, lanes: Sequence[Lane]) -> None:
    """What has other colours, or was found by the network itself and does not look like its object."""
    unclear = [lane for lane in lanes if lane.filter is not None and lane.clear < correlation.DOUBTLESS]
    unclear = [lane for lane in unclear if lane.likely < SURELY]
    doubted = [lane for lane in unclear if float(lane.answer.score) > 0]  # the others are empty already
    if not doubted:
        return
    masks = torch.cat([binary(lane.answer.filled) for lane in doubted])
    same = correlation.alike(*pictured(doubted), masks).tolist()
    unaided = [lane for lane in doubted if not lane.clear]
    likely = dict(zip(map(id, unaided), _likely(stages, unaided, newest=True), strict=True))
    for lane, coefficient in zip(doubted, same, strict=True):
        if coefficient < correlation.OTHER or likely.get(id(lane), 1.0) < UNAIDED:
            _empty(lane)


def _of_rivals(stages: Stages, lanes: Sequence[Lane]) -> None:
    """One of two objects of a picture that have one mask: what passes before another is learnt as that.

    It is whose look by then is less like it began. Where both look as they began (things may look the same,
    and what is seen of one beside the other may do) it is the one that was lost before, or whose filter
    answers more faintly.
    """
    pairs = list(_rivals(lanes))
    if not pairs:
        return
    several = list({id(lane): lane for pair in pairs for lane in pair}.values())
    likely = dict(zip(map(id, several), _likely(stages, several, newest=False), strict=True))
    for pair in pairs:
        other, own = sorted(pair, key=lambda lane: likely[id(lane)])
        if odds(likely[id(own)]) < GAIN * odds(likely[id(other)]):
            other = min(pair, key=lambda lane: (not (lane.filter and lane.filter.lost), lane.answered))
        _give_way(other)


def _rivals(lanes: Sequence[Lane]) -> Iterator[tuple[Lane, Lane]]:
    """Pairs of a picture's lanes with one mask, but of those that had it when they first met."""
    visible = [lane for lane in lanes if float(lane.answer.score) > 0]
    if len(visible) < 2:
        return
    known = {lane.story.serial for lane in lanes}
    masks = torch.cat([binary(lane.answer.filled) for lane in visible]).flatten(1)
    both, area = masks @ masks.T, masks.sum(dim=1)
    shares = (both / (area[:, None] + area - both).clamp(min=1)).tolist()
    for (a, one), (b, other) in itertools.combinations(enumerate(visible), 2):
        shared = shares[a][b] > SAME
        if _one_thing(one, other) is None:
            _meet(one, other, shared, known)
        if shared and not _one_thing(one, other):
            yield one, other


def _one_thing(lane: Lane, other: Lane) -> bool | None:
    """Whether two are one thing; None where they have not met."""
    for one, two in ((lane, other), (other, lane)):
        if one.filter is not None and two.story.serial in one.filter.met:
            return one.filter.met[two.story.serial]
    return None


def _meet(lane: Lane, other: Lane, as_one: bool, known: Collection[int]) -> None:
    """What is not `known` any more is forgotten: a stream may see any number of objects."""
    one = lane.filter
    if one is not None:
        met = {serial: same for serial, same in one.met.items() if serial in known}
        lane.filter = replace(one, met={**met, other.story.serial: as_one})


def _give_way(lane: Lane) -> None:
    """Its newest look may be the other's already."""
    _empty(lane)
    one = lane.filter
    if one is not None and one.template is not None:
        lane.filter = replace(one, template=one.template.first, turned=False)


def _empty(lane: Lane) -> None:
    lane.decoded, lane.clear = lane.answer.absent(), 0.0


def _likely(stages: Stages, lanes: Sequence[Lane], newest: bool) -> list[float]:
    """How likely what was drawn of each lane is its object."""
    if not lanes:
        return []
    found, _ = pictured(lanes)
    boxes = Decoded.batch([lane.answer for lane in lanes]).outlines()
    there = [replace(one, box=box) for one, box in zip(found, boxes, strict=True)]
    features = [lane.features for lane in lanes]
    likely: list[float] = stages.bounds.regress(features, there, newest).there.tolist()
    return likely


def odds(chance: float) -> float:
    return chance / max(1 - chance, 1e-6)


def pictured(lanes: Sequence[Lane]) -> tuple[list[CorrelationFilter], list[Tensor]]:
    """Filters of lanes that have one, and their pictures."""
    pairs = [(lane.filter, lane.features.look) for lane in lanes]
    both = [(f, picture) for f, picture in pairs if f is not None and picture is not None]
    assert len(both) == len(lanes), "a filter without a picture"
    return [f for f, _ in both], [picture for _, picture in both]


def binary(logits: Tensor) -> Tensor:
    """Masks float32, 0 or 1."""
    return (logits > 0).float()
