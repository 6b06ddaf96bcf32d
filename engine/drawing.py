"""What the decoder draws, drawn anew along the picture, for presets that snap.

A click may mean several things: each is redrawn, and the best is taken. A box, a person's or that of what is
followed, is redrawn by the outliner. All else snaps to colours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from engine import redrawer
from engine.boxes import between, holding
from engine.choice import likeliest
from engine.closeup import closeups
from engine.features import Clicks, Closeups, Decoded, Features, pictures_of
from engine.precision import in_precision
from engine.redrawer import Redrawn
from engine.regressor import Sketch
from engine.snap import Settled, snap

if TYPE_CHECKING:
    from engine.models import Model

BOX = [2, 3]  # SAM's labels of its corners


class Drawing:
    """The verbs; for other presets what was drawn stays as it is."""

    def __init__(self, model: Model) -> None:
        self.autocast = model.autocast
        self._net, self._parts, self._size = model.net, model.parts, model.image_size
        self._snaps = model.preset.snap

    def ambiguous(self, clicks: Clicks | None) -> bool:
        """A single click may mean several things."""
        return self._snaps and clicks is not None and clicks.labels.shape[1] == 1

    def chosen(
        self, masks: Tensor, features: Sequence[Features], clicks: Clicks
    ) -> tuple[Tensor, Tensor, Closeups]:
        """`likeliest` of masks [B, M, S/4, S/4] that are offered for ambiguous clicks: which, and redrawn."""
        pictures, said = pictures_of(features), self._said(clicks)
        best, offered, settled = likeliest(self._redraw, pictures, masks.float(), *said)
        return best, *_put_back(offered, settled.masks(offered.shape[-1]), settled)

    def snapped(
        self, decoded: Decoded, features: Sequence[Features], clicks: Clicks | None = None
    ) -> Decoded:
        """The same with masks drawn anew, but for those that are `chosen` already.

        Args:
            clicks: on every one of the masks, the same.
        """
        if self.ambiguous(clicks):
            return decoded
        if clicks is not None and clicks.labels[0].tolist() == BOX:
            return self.outlined(decoded, features, corners_of(clicks, self._size), bounded=True)
        filled, close = self.redrawn(decoded.filled, features, clicks)
        if filled is decoded.filled:
            return decoded
        return replace(decoded, logits=filled, filled=filled, close=close)

    def redrawn(
        self, logits: Tensor, features: Sequence[Features], clicks: Clicks | None = None
    ) -> tuple[Tensor, Closeups]:
        """Masks [B, 1, S/4, S/4] along the colours of the picture (`engine.snap`), and finer ones."""
        if not self._snaps or not len(logits):
            return logits, ()
        said = () if clicks is None else (t[0] for t in self._said(clicks))
        settled = snap(pictures_of(features), logits, *said)
        return _put_back(logits, settled.masks(logits.shape[-1]), settled)

    def outlined(
        self,
        decoded: Decoded,
        features: Sequence[Features],
        boxes: Tensor,
        sketch: Sketch | None = None,
        bounded: bool = False,
    ) -> Decoded:
        """The same with masks drawn anew in the boxes [B, 4] that they were asked with.

        Args:
            sketch: of each, None where nothing is known of what the objects look like.
            bounded: nothing is beyond the boxes, as a person has drawn them.
        """
        if not self._snaps:
            return decoded
        logits, pictures = decoded.filled, pictures_of(features)
        known = Sketch.none(len(logits), logits.device) if sketch is None else sketch
        drawn = redrawer.boxed(self._outline, pictures, logits, boxes, known, bounded, redrawer.SHARES)
        settled = drawn.settled()
        masks = settled.masks(logits.shape[-1])
        taken = redrawer.fuller(boxes, masks)
        filled, close = _put_back(logits, masks[taken], settled[taken])
        return replace(decoded, logits=filled, filled=filled, close=close)

    @in_precision
    def _redraw(self, pictures: Sequence[Tensor], logits: Tensor, points: Tensor, labels: Tensor) -> Redrawn:
        return redrawer.clicked(self._net.redrawer, pictures, logits, points, labels)

    @in_precision
    def _outline(self, windows: Tensor) -> tuple[Tensor, Tensor]:
        return self._parts.outlined(windows)

    def _said(self, clicks: Clicks) -> tuple[Tensor, Tensor]:
        """Points [B, P, 2] in 0..1 and labels [B, P]."""
        return clicks.coords / self._size, clicks.labels


def _put_back(before: Tensor, masks: Tensor, settled: Settled) -> tuple[Tensor, Closeups]:
    """Masks [B, 1, S/4, S/4] and the finer ones they are of; what held nothing before stays."""
    there = holding(before)
    filled = torch.where(there[:, None, None, None], masks, before)
    close = zip(
        closeups(settled.there, settled.x, settled.y), (there & holding(filled)).tolist(), strict=True
    )
    return filled, tuple(closeup if held else None for closeup, held in close)


def corners_of(clicks: Clicks, image_size: int) -> Tensor:
    """[B, 4], centre and size in 0..1, of the corners that come first."""
    low, high = (clicks.coords[:, :2] / image_size).unbind(dim=1)
    return between(low, high)
