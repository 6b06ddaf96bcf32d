"""The correlation filters of lanes: moved before the network looks, taught after it has answered.

Does nothing for presets without. Knows lanes; knows no network.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from engine import correlation
from engine.correlation import CorrelationFilter

if TYPE_CHECKING:
    from engine.lanes import Lane


def locate(lanes: Sequence[Lane]) -> None:
    """Let the filters that there are say where their objects went: fills `filter` and `clear`."""
    for lane in lanes:
        lane.filter = lane.memory.filter
    with_filter = [lane for lane in lanes if lane.filter is not None]
    if not with_filter:
        return
    moved, answers = correlation.locate(*_pictured(with_filter), [lane.frame for lane in with_filter])
    for lane, there, clear in zip(with_filter, moved, answers, strict=True):
        lane.filter, lane.clear = there, clear


def learn(lanes: Sequence[Lane], visible: Collection[int]) -> dict[int, CorrelationFilter | None]:
    """What is to be known after this frame, by `id` of the lane.

    A new filter begins where a person has spoken, and where an object is seen that has none.

    Args:
        lanes: whose frames have edges.
        visible: `id` of lanes whose object is seen.
    """
    known: dict[int, CorrelationFilter | None] = {}
    taught: list[Lane] = []
    for lane in lanes:
        here, picture = id(lane) in visible, lane.features.edges
        assert picture is not None
        if here and (lane.prompted or lane.filter is None):
            known[id(lane)] = correlation.begin(picture, *_outline(lane))
        elif here and lane.clear:
            taught.append(lane)
        else:
            known[id(lane)] = lane.filter.missed() if lane.filter else None
    if taught:
        boxes, masks = zip(*map(_outline, taught), strict=True)
        learnt = correlation.learn(*_pictured(taught), boxes, masks)
        known |= {id(lane): f for lane, f in zip(taught, learnt, strict=True)}
    return known


def _pictured(lanes: Sequence[Lane]) -> tuple[list[CorrelationFilter], list[Tensor]]:
    """Filters of lanes that have one, and their pictures."""
    pairs = [(lane.filter, lane.features.edges) for lane in lanes]
    both = [(f, picture) for f, picture in pairs if f is not None and picture is not None]
    assert len(both) == len(lanes), "a filter without a picture"
    return [f for f, _ in both], [picture for _, picture in both]


def _outline(lane: Lane) -> tuple[Tensor, Tensor]:
    """The box, centre and size, float32 [4] in 0..1, and the mask, float32 [1, 1, h, w], of what is seen."""
    logits = lane.answer.filled
    size = 4 * logits.shape[-1]
    mask = F.interpolate(logits, size=(size, size), mode="bilinear", align_corners=False)[0, 0] > 0
    if not mask.any():  # a dot that the interpolation has smoothed away
        return logits.new_zeros(4), (logits > 0).float()
    ends = [mask.any(dim=axis).nonzero()[:, 0].float() / size for axis in (0, 1)]
    low = torch.stack([along[0] for along in ends])
    high = torch.stack([along[-1] for along in ends]) + 1 / size
    return torch.cat(((low + high) / 2, high - low)), (logits > 0).float()
