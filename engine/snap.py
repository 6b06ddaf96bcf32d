"""Masks snapped to the colours of the picture: what a small network draws is ragged, and leaks.

The mask says roughly which colours are the object's and which are around it; each pixel near it then goes
where its own colour and those of its neighbours say. As GrabCut (Rother et al., SIGGRAPH 2004), with
histograms for its mixtures and a few mean-field steps for its cut, so that it is quick and runs as a batch.

Knows pictures, masks, boxes and points; knows no network and no object's past.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from engine import windows
from engine.boxes import outline
from engine.colours import bins, histogram

SIDE = 48  # samples of a window each way
AROUND = 0.4  # that a window shows beside the mask, in mean sides of its box, and at least
LEAST_AROUND = 0.03  # so much of the picture
GROW = 0.15  # that a mask may grow by, in sides of its box
SLACK = 0.012  # that it may go beyond a box that a person drew, in pictures
LEVELS = 8  # of each channel
CORE = 0.6  # of the network's certainty from which on a pixel teaches the object's colours
NETWORK, BOUND = 0.5, 4.0  # weight of the network's logits, and how far they count
COLOUR_BOUND = 3.0  # of the logarithm of how much likelier a colour is in the object than around it
RARE = 1e-4  # share of a colour that says nothing
NEIGHBOURS, STEPS = 2.5, 3  # weight of neighbours of the same colour; how often they are asked
CLICK = 0.02  # radius of what a click decides, in pictures
DECIDED = 20.0  # logit of that
ROW, COLUMN = (0, 0, 1, 1), (1, 1)  # of nothing on either side, for `F.pad`
LOGIT = 8.0  # of what comes out, at most


@dataclass(frozen=True, slots=True, eq=False)
class Settled:
    """B masks in windows of the picture.

    Attributes:
        there: float32 [B, SIDE, SIDE], 0..1.
        x, y: [B, SIDE], where in the picture the samples lie, in 0..1 and beyond.
    """

    there: Tensor
    x: Tensor
    y: Tensor

    def __getitem__(self, lanes: Tensor) -> Settled:
        return Settled(self.there[lanes], self.x[lanes], self.y[lanes])

    def masks(self, size: int) -> Tensor:
        """Logits [B, 1, size, size] of the whole picture, in -LOGIT..LOGIT."""
        there = windows.put_back(self.there * windows.inside(self.x, self.y), self.x, self.y, size)
        return (there[:, None] - 0.5) * 2 * LOGIT


def snap(
    pictures: Sequence[Tensor],
    logits: Tensor,
    points: Tensor | None = None,
    labels: Tensor | None = None,
) -> Settled:
    """Redraw masks along colours.

    Args:
        pictures: [1, 3, H, W] for each mask, channels of zero mean and unit variance.
        logits: float32 [B, 1, size, size] of the network; what comes of one that holds nothing means nothing.
        points: float32 [P, 2], what a person said of every one of the masks, in 0..1, with
        labels: [P] of SAM: 1 and 0 are clicks where the object is and where it is not, 2 and 3 the corners
            of a box around it, which holds until a click says that there is more.
    """
    boxes = outline(logits)
    x, y = windows.lattice(boxes, windows.beside(boxes, AROUND, LEAST_AROUND), SIDE)
    colours = windows.cut(pictures, x, y)
    said = windows.cut(logits, x, y)[:, 0]
    told = [] if points is None or labels is None else list(zip(labels.tolist(), points, strict=True))
    corners = {label: point for label, point in told if label in (2, 3)}
    if corners and all(label != 1 for label, _ in told):
        middle, size = (corners[2] + corners[3]) / 2, corners[3] - corners[2]
        near = windows.within(x, y, middle[None], size[None] / 2 + SLACK)
    else:
        near = windows.within(x, y, boxes[:, :2], boxes[:, 2:] * (0.5 + GROW))
    likely = likelier(colours, said.sigmoid() * near, windows.inside(x, y))
    belief = torch.where(near, believed(said, likely), -DECIDED)
    if points is not None and labels is not None:
        belief = decided(belief, points[None], labels[None], x, y)
    return Settled(settle(belief, colours), x, y)


def likelier(colours: Tensor, belief: Tensor, inside: Tensor) -> Tensor:
    """How much likelier the colour of each sample is in the object than around it, as a bounded logarithm.

    Args:
        colours: [B, 3, SIDE, SIDE].
        belief: [B, SIDE, SIDE] in 0..1, that a sample is the object's.
        inside: bool, samples that lie in the picture.

    Returns:
        [B, SIDE, SIDE].
    """
    colour = bins(colours, LEVELS)
    core = (belief - CORE).clamp(min=0)
    object_, around = (histogram(colour, weight * inside, LEVELS) for weight in (core, 1 - belief))
    ratio = ((object_ + RARE) / (around + RARE)).log().clamp(-COLOUR_BOUND, COLOUR_BOUND)
    return ratio.gather(1, colour.flatten(1)).view_as(belief)


def believed(said: Tensor, likely: Tensor) -> Tensor:
    """Logits: the network's, bounded and in part, and how much `likelier` the colours are."""
    return NETWORK * said.clamp(-BOUND, BOUND) + likely


def decided(belief: Tensor, points: Tensor, labels: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Logits [B, SIDE, SIDE] with what clicks decide, whatever is believed: a small disc around each.

    Args:
        points: float32 [B or 1, P, 2] in 0..1; later ones outrank earlier ones, with
        labels: [B or 1, P] of SAM; those of boxes decide nothing.
        x, y: [B, SIDE], where the samples lie.
    """
    for point, label in zip(points.unbind(dim=1), labels[..., None, None].unbind(dim=1), strict=True):
        across, down = x - point[:, :1], y - point[:, 1:]
        here = torch.hypot(across[:, None], down[:, :, None]) <= CLICK
        belief = torch.where(here & (label == 1), DECIDED, belief)
        belief = torch.where(here & (label == 0), -DECIDED, belief)
    return belief


def settle(belief: Tensor, colours: Tensor) -> Tensor:
    """Mean-field steps: each sample listens to its four neighbours, the more the more alike their colours.

    Args:
        belief: logits [B, SIDE, SIDE].
        colours: [B, 3, SIDE, SIDE].

    Returns:
        0..1.
    """
    changes = (colours[:, :, 1:] - colours[:, :, :-1], colours[..., 1:] - colours[..., :-1])
    down, across = (change.square().sum(dim=1) for change in changes)
    scale = -1 / (down.mean(dim=(1, 2)) + across.mean(dim=(1, 2)) + 1e-4)[:, None, None]
    down, across = (
        F.pad((change * scale).exp_() * NEIGHBOURS, by) for change, by in ((down, ROW), (across, COLUMN))
    )
    sides = (down[:, 1:], down[:, :-1], across[..., 1:], across[..., :-1])
    high, wide = belief.shape[1:]
    said = belief
    for _ in range(STEPS):
        vote = F.pad((said / 2).tanh_(), (1, 1, 1, 1))  # 1 for the object to -1 against
        rows, columns = vote.narrow(2, 1, wide), vote.narrow(1, 1, high)
        beside = (
            rows.narrow(1, 2, high),
            rows.narrow(1, 0, high),
            columns.narrow(2, 2, wide),
            columns.narrow(2, 0, wide),
        )
        said = belief
        for weight, neighbour in zip(sides, beside, strict=True):
            said = torch.addcmul(said, weight, neighbour)
    return said.sigmoid()
