"""Which of several masks is the thing that was clicked, drawn as well as the picture allows.

A click may mean a man or his shirt, so the network offers several masks, and guesses how good each is. A
small network guesses badly; after a second look at each (`engine.redrawer`) more can be said.

Knows masks and points; knows no object's past.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from engine.boxes import holding
from engine.redrawer import Redrawn
from engine.snap import Settled

Redraw = Callable[[Sequence[Tensor], Tensor, Tensor, Tensor], Redrawn]  # `redrawer.clicked` of a network


def likeliest(
    redraw: Redraw, pictures: Sequence[Tensor], masks: Tensor, points: Tensor, labels: Tensor
) -> tuple[Tensor, Tensor, Settled]:
    """The best of M masks for each of B objects, and that one redrawn twice.

    The second time begins with what is better already, and with colours of that.

    Args:
        pictures: [1, 3, H, W] for each object, channels of zero mean and unit variance.
        masks: float32 logits [B, M, size, size] of the network.
        points: float32 [B, P, 2] in 0..1, what a person said of each object, with
        labels: [B, P] of SAM, 0 or 1.

    Returns:
        int64 [B] in 0..M - 1; that one's logits [B, 1, size, size] as it was offered; and redrawn.
    """
    batch, several, size = masks.shape[:3]
    each = [picture for picture in pictures for _ in range(several)]
    told = (t.repeat_interleave(several, dim=0) for t in (points, labels))
    redrawn = redraw(each, masks.flatten(0, 1)[:, None], *told)
    there = (masks > 0).flatten(2).any(dim=2)
    best = redrawn.quality.view(batch, several).masked_fill(~there, -torch.inf).argmax(dim=1)
    lanes = torch.arange(batch, device=best.device)
    offered = masks[lanes, best][:, None]
    once = redrawn.settled()[lanes * several + best].masks(size)
    begun = torch.where(holding(once)[:, None, None, None], once, offered)
    return best, offered, redraw(pictures, begun, points, labels).settled()
