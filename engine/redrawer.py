"""A small network that draws a mask anew from the picture around it, and says how good it is.

What was clicked or boxed may be small in the picture: there the decoder's grid has a few cells for it, and a
window around the mask has many. A U-Net (Ronneberger et al., MICCAI 2015) sees the window's colours, what the
decoder said, how much likelier each colour is in its mask than around it, and what is known beside: a click;
or the box and, of what is followed, where the object of the first picture is by its look. There is one of
these networks for clicks, the `redrawer`, and one for boxes, the `outliner`.

Knows pictures, masks, points and boxes; knows no object's past.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine import snap, windows
from engine.boxes import outline, overlap
from engine.convnorm import ConvNorm
from engine.regressor import Sketch
from engine.snap import Settled

AROUND = 0.3  # that a window shows beside the mask, in mean sides of its box, and at least
LEAST_AROUND = 0.03  # so much of the picture
DIMS = (16, 32, 64, 96)  # channels at strides 1, 2, 4, 8 of the window
# Of a window: three colours, the decoder, likelier colours, the picture, its scale; and the click, or the box
# and the sketch.
CLICKED, BOXED = 8, 9
CLICK = 0.03  # radius at which a click has faded to 1 / e, in pictures
CERTAINTY = 0.5  # of what is drawn, beside neighbours of like colour
# Of what the outliner would change: done by halves where a mask fills its box better so, by so much overlap.
SHARES, FULLER = (1.0, 0.5), 0.05

# `Redrawer.forward`, by whatever means.
Forward = Callable[[Tensor], tuple[Tensor, Tensor]]


class Redrawer(nn.Module):
    """What is to change in windows of so many `inputs`, and how good that makes them."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        stem, *dims = DIMS
        self.stem = nn.Sequential(_Layer(inputs, stem), _Layer(stem, stem))
        sizes = list(zip(DIMS, dims, strict=False))
        self.down = nn.ModuleList(nn.Sequential(_Layer(a, b, 2), _Layer(b, b)) for a, b in sizes)
        self.deepest = _Layer(dims[-1], dims[-1])
        self.side = nn.ModuleList(nn.Conv2d(b, a, 1) for a, b in sizes)
        self.up = nn.ModuleList(_Layer(a, a) for a, _ in sizes)
        self.out = nn.Conv2d(stem, 1, 1)
        self.judge = nn.Sequential(nn.Linear(sum(DIMS[-2:]), 64), nn.ReLU(), nn.Linear(64, 1))
        for parameter in self.out.parameters():
            nn.init.zeros_(parameter)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Of windows [B, inputs, SIDE, SIDE].

        Returns:
            logits float32 [B, SIDE, SIDE], to be added to what is believed, and of the IoU, float32 [B].
        """
        levels = [self.stem(x.contiguous(memory_format=torch.channels_last))]
        for down in self.down:
            levels.append(down(levels[-1]))
        coarsest = x = self.deepest(levels.pop())
        finer: list[Tensor] = []
        for side, up in zip(reversed(self.side), reversed(self.up), strict=True):
            x = up(levels.pop() + F.interpolate(side(x), scale_factor=2.0, mode="nearest"))
            finer.append(x)
        gist = torch.cat((coarsest.mean(dim=(2, 3)), finer[0].mean(dim=(2, 3))), dim=1)
        return self.out(x)[:, 0].float(), self.judge(gist)[:, 0].float()


class _Layer(ConvNorm):
    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(super().forward(x))


@dataclass(frozen=True, slots=True, eq=False)
class Redrawn:
    """B masks in their windows.

    Attributes:
        logits: [B, SIDE, SIDE].
        quality: [B] logits of the IoU with what was meant.
        colours: [B, 3, SIDE, SIDE] of the picture.
        x, y: [B, SIDE], where in the picture the samples lie, in 0..1 and beyond.
    """

    logits: Tensor
    quality: Tensor
    colours: Tensor
    x: Tensor
    y: Tensor

    @property
    def inside(self) -> Tensor:
        """bool [B, SIDE, SIDE], samples that lie in the picture."""
        return windows.inside(self.x, self.y)

    def settled(self) -> Settled:
        """Along colours."""
        sure = self.logits.abs() >= snap.DECIDED
        belief = torch.where(sure, self.logits, CERTAINTY * self.logits)
        return Settled(snap.settle(belief, self.colours), self.x, self.y)


def clicked(
    forward: Forward, pictures: Sequence[Tensor] | Tensor, logits: Tensor, points: Tensor, labels: Tensor
) -> Redrawn:
    """Redraw B masks that were clicked.

    Args:
        pictures: [1, 3, H, W] for each mask, or [B, 3, H, W], channels of zero mean and unit variance.
        logits: float32 [B, 1, size, size] of the decoder, each with something above 0.
        points: float32 [B, P, 2] in 0..1, the clicks on each, with
        labels: [B, P], 1 where the object is, 0 where it is not.
    """
    window = _Window.around(outline(logits), pictures, logits)
    change, quality = forward(window.told(_drawn(points, labels, window.x, window.y)))
    decided = snap.decided(window.belief + change, points, labels, window.x, window.y)
    return Redrawn(decided, quality, window.colours, window.x, window.y)


def boxed(
    forward: Forward,
    pictures: Sequence[Tensor] | Tensor,
    logits: Tensor,
    boxes: Tensor,
    sketch: Sketch,
    bounded: bool = False,
    shares: Sequence[float] = (1.0,),
) -> Redrawn:
    """Redraw B masks in boxes.

    Args:
        pictures: as for `clicked`.
        logits: float32 [B, 1, size, size] of the decoder.
        boxes: float32 [B, 4], centre and size in 0..1, that it was asked with.
        sketch: of each.
        bounded: nothing is beyond the boxes.
        shares: of the change that are made; B masks for each of them, one after the other.
    """
    window = _Window.around(boxes, pictures, logits)
    centre, half = boxes[:, :2], boxes[:, 2:] / 2
    inner = windows.within(window.x, window.y, centre, half).float()
    change, quality = forward(window.told(2 * inner - 1, sketch.cut(window.x, window.y) / 4))
    belief = torch.cat([window.belief + share * change for share in shares])
    times = len(shares)
    if bounded:
        near = windows.within(window.x, window.y, centre, half + snap.SLACK)
        belief = torch.where(near.repeat(times, 1, 1), belief, -snap.DECIDED)
    x, y, colours = (
        window.x.repeat(times, 1),
        window.y.repeat(times, 1),
        window.colours.repeat(times, 1, 1, 1),
    )
    return Redrawn(belief, quality.repeat(times), colours, x, y)


def fuller(boxes: Tensor, masks: Tensor) -> Tensor:
    """Which masks of [2 * B, 1, n, n], redrawn wholly and then by halves, fill their boxes [B, 4] better.

    What is thin, or of another colour than most of a thing, is what a small network leaves out.

    Returns:
        int64 [B].
    """
    whole, less = overlap(outline(masks), boxes.repeat(2, 1)).chunk(2)
    return torch.arange(len(boxes), device=boxes.device) + len(boxes) * (less > whole + FULLER)


@dataclass(frozen=True, slots=True, eq=False)
class _Window:
    """What B windows show, and what is said of it.

    Attributes:
        x, y, colours: as `Redrawn` has them.
        belief: logits [B, SIDE, SIDE] to begin with, as `engine.snap` does.
        seen: [B, 4, SIDE, SIDE]: the decoder, likelier colours, the picture, its scale.
    """

    x: Tensor
    y: Tensor
    colours: Tensor
    belief: Tensor
    seen: Tensor

    @staticmethod
    def around(boxes: Tensor, pictures: Sequence[Tensor] | Tensor, logits: Tensor) -> _Window:
        sides = windows.beside(boxes, AROUND, LEAST_AROUND)
        x, y = windows.lattice(boxes, sides, snap.SIDE)
        colours = windows.cut(pictures, x, y)
        said = windows.cut(logits, x, y)[:, 0]
        inside = windows.inside(x, y)
        likelier = snap.likelier(colours, said.sigmoid(), inside)
        scale = (sides.prod(dim=1).sqrt().log2() / 2 + 1)[:, None, None].expand_as(said)
        seen = torch.stack((said.clamp(-8, 8) / 4, likelier / 3, inside.float(), scale), dim=1)
        return _Window(x, y, colours, snap.believed(said, likelier), seen)

    def told(self, *more: Tensor) -> Tensor:
        """What a network is given: it, and `more` of it, [B, SIDE, SIDE] each."""
        return torch.cat((self.colours, self.seen, torch.stack(more, dim=1)), dim=1)


def _drawn(points: Tensor, labels: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Clicks as discs [B, SIDE, SIDE]: 2 where the object is, -2 where it is not."""
    across, down = points[..., :1] - x[:, None], points[..., 1:] - y[:, None]  # [B, P, SIDE]
    near = torch.exp(-(across[:, :, None].square() + down[..., None].square()) / CLICK**2)
    return 2 * (near * (2 * labels.float() - 1)[..., None, None]).sum(dim=1)
