"""What goes into the verbs of a step and comes out: features of frames, clicks, masks of lanes.

Knows tensors; knows no network.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from sam2.modeling.sam2_base import NO_OBJ_SCORE
from torch import Tensor

from engine.boxes import outline
from engine.closeup import Closeup, View

Closeups = tuple[Closeup | None, ...]  # of each lane, None where there is none; or empty for none at all
LEAST_SCORE = 1e-3  # object score of what is known to be there; below zero, to be not


@dataclass(frozen=True, slots=True, eq=False)
class Features:
    """The image features of one frame, shared by all its objects.

    Attributes:
        top: [1, hidden_dim, S/16, S/16].
        high: the decoder's high-resolution maps, [1, hidden_dim / 8, S/4, S/4] and
            [1, hidden_dim / 4, S/8, S/8]; empty for networks without.
        look: what correlation filters see of the picture, for presets with; `engine.look`.
        picture: float16 [1, 3, S/2, S/2] of the picture itself, for presets whose masks snap to its colours.
        image: uint8 [1, 3, S, S], the picture, for presets that look at parts of it again.
    """

    top: Tensor
    high: tuple[Tensor, ...]
    look: Tensor | None = None
    picture: Tensor | None = None
    image: Tensor | None = None

    def tensors(self) -> Iterator[Tensor]:
        yield from (self.top, *self.high, *(t for t in self.seen if t is not None))

    @property
    def seen(self) -> tuple[Tensor | None, ...]:
        """What is kept of the picture beside what the network makes of it."""
        return self.look, self.picture, self.image


@dataclass(frozen=True, slots=True, eq=False)
class Decoded:
    """What the decoder says of B lanes.

    Attributes:
        logits: float32 [B, 1, S/4, S/4], as decoded.
        filled: the same with small holes filled: what is shown, and what prompted frames remember.
        pointer: [B, hidden_dim].
        score: [B, 1] object score logit; the object is there when it is > 0.
        close: the same masks in windows of their own, where there are some.
    """

    logits: Tensor
    filled: Tensor
    pointer: Tensor
    score: Tensor
    close: Closeups = ()

    def lane(self, index: int) -> Decoded:
        part = slice(index, index + 1)
        tensors = (self.logits[part], self.filled[part], self.pointer[part], self.score[part])
        return Decoded(*tensors, self.close[part])

    def drawn(self, other: Decoded) -> Decoded:
        """The same with the masks of another."""
        return replace(self, logits=other.logits, filled=other.filled, close=other.close)

    def absent(self) -> Decoded:
        """The same if nothing is there."""
        nothing, score = torch.full_like(self.filled, NO_OBJ_SCORE), self.score.clamp(max=-LEAST_SCORE)
        return Decoded(nothing, nothing, self.pointer, score)

    def of(self, views: Sequence[View | None]) -> Decoded:
        """The same of whole pictures, where lanes are of what a view of theirs shows."""
        if not any(views):
            return self
        logits, filled, close = [*self.logits[:, None]], [*self.filled[:, None]], list(self.close)
        close = close or [None] * len(views)
        for k, view in enumerate(views):
            if view is not None:
                mask, finer = Closeup(view, filled[k]), close[k]
                logits[k] = filled[k] = mask.whole(filled[k].shape[-1])
                close[k] = finer.of(view) if finer else mask
        return replace(self, logits=torch.cat(logits), filled=torch.cat(filled), close=tuple(close))

    def outlines(self) -> Tensor:
        """The boxes [B, 4], centre and size in 0..1, of the masks; 0 where empty."""
        boxes = outline(self.filled)
        for box, closeup in zip(boxes, self.close, strict=False):
            if closeup is not None:
                box.copy_(closeup.outline()[0])
        return boxes

    def tensors(self) -> Iterator[Tensor]:
        yield from (self.logits, self.filled, self.pointer, self.score)
        yield from (closeup.logits for closeup in self.close if closeup is not None)

    @staticmethod
    def batch(lanes: Sequence[Decoded]) -> Decoded:
        """The inverse of `lane`."""
        if len(lanes) == 1:
            return lanes[0]
        close = tuple(closeup for d in lanes for closeup in d.close or [None] * len(d.filled))
        parts = ((d.logits, d.filled, d.pointer, d.score) for d in lanes)
        logits, filled, pointer, score = (torch.cat(tensors) for tensors in zip(*parts, strict=True))
        return Decoded(logits, filled, pointer, score, close)


@dataclass(frozen=True, slots=True, eq=False)
class Clicks:
    """Points in the network's pixels: coords float32 [B, P, 2], labels int32 [B, P] (SAM's labels)."""

    coords: Tensor
    labels: Tensor


def pictures_of(features: Sequence[Features]) -> list[Tensor]:
    """`picture` of frames that have one."""
    pictures = [f.picture for f in features if f.picture is not None]
    assert len(pictures) == len(features), "a frame without its picture"
    return pictures


def distinct(maps: Sequence[Tensor]) -> tuple[Tensor, list[int]]:
    """The different [1, ...] maps as one batch, and which of them each lane has."""
    order: dict[int, int] = {}
    lanes = [order.setdefault(id(m), len(order)) for m in maps]
    different = list({id(m): m for m in maps}.values())
    return (different[0] if len(different) == 1 else torch.cat(different)), lanes


def of_lanes(maps: Tensor, lanes: list[int]) -> Tensor:
    """`distinct` maps again, one for each lane; [1, ...] stays one that serves all."""
    return maps if len(maps) == 1 else maps[lanes]
