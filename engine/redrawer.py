"""A small network that draws a mask anew from the picture around it, and says how good it is.

What was clicked may be small in the picture: there the decoder's grid has a few cells for it, and a window
around the mask has many. A U-Net (Ronneberger et al., MICCAI 2015) sees the window's colours, what the
decoder said, how much likelier each colour is in its mask than around it, and the click.

Knows pictures, masks and points; knows no object's past.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine import snap, windows
from engine.boxes import outline
from engine.convnorm import ConvNorm

AROUND = 0.3  # that a window shows beside the mask, in mean sides of its box, and at least
LEAST_AROUND = 0.03  # so much of the picture
DIMS = (16, 32, 64, 96)  # channels at strides 1, 2, 4, 8 of the window
INPUTS = 8
CLICK = 0.03  # radius at which a click has faded to 1 / e, in pictures
CERTAINTY = 0.5  # of what is drawn, beside neighbours of like colour


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

    def masks(self, size: int) -> Tensor:
        """Settled along colours: logits [B, 1, size, size] of the whole picture, at most `snap.LOGIT`."""
        sure = self.logits.abs() >= snap.DECIDED
        belief = torch.where(sure, self.logits, CERTAINTY * self.logits)
        there = snap.settle(belief, self.colours) * self.inside
        return snap.put_back(there, self.x, self.y, size)


class Redrawer(nn.Module):
    """Begins as `engine.snap` does: with the sum of what the network and the colours say."""

    def __init__(self) -> None:
        super().__init__()
        stem, *dims = DIMS
        self.stem = nn.Sequential(_Layer(INPUTS, stem), _Layer(stem, stem))
        sizes = list(zip(DIMS, dims, strict=False))
        self.down = nn.ModuleList(nn.Sequential(_Layer(a, b, 2), _Layer(b, b)) for a, b in sizes)
        self.deepest = _Layer(dims[-1], dims[-1])
        self.side = nn.ModuleList(nn.Conv2d(b, a, 1) for a, b in sizes)
        self.up = nn.ModuleList(_Layer(a, a) for a, _ in sizes)
        self.out = nn.Conv2d(stem, 1, 1)
        self.judge = nn.Sequential(nn.Linear(sum(DIMS[-2:]), 64), nn.ReLU(), nn.Linear(64, 1))
        for parameter in self.out.parameters():
            nn.init.zeros_(parameter)

    def forward(self, pictures: Sequence[Tensor], logits: Tensor, points: Tensor, labels: Tensor) -> Redrawn:
        """Redraw B masks.

        Args:
            pictures: [1, 3, H, W] for each mask, channels of zero mean and unit variance.
            logits: float32 [B, 1, size, size] of the decoder, each with something above 0.
            points: float32 [B, P, 2] in 0..1, the clicks on each, with
            labels: [B, P], 1 where the object is, 0 where it is not.
        """
        boxes = outline(logits)
        sides = windows.beside(boxes, AROUND, LEAST_AROUND)
        x, y = windows.lattice(boxes, sides, snap.SIDE)
        colours = windows.cut(pictures, x, y)
        said = windows.cut(logits, x, y)[:, 0]
        inside = windows.inside(x, y)
        likelier = snap.likelier(colours, said.sigmoid(), inside)
        scale = (sides.prod(dim=1).sqrt().log2() / 2 + 1)[:, None, None].expand_as(said)
        told = _drawn(points, labels, x, y)
        seen = torch.stack((said.clamp(-8, 8) / 4, likelier / 3, told, inside.float(), scale), dim=1)
        change, quality = self._look(torch.cat((colours, seen), dim=1))
        belief = snap.believed(said, likelier) + change
        return Redrawn(snap.decided(belief, points, labels, x, y), quality, colours, x, y)

    def _look(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """[B, SIDE, SIDE] and [B] of windows [B, INPUTS, SIDE, SIDE]."""
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


def _drawn(points: Tensor, labels: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Clicks as discs [B, SIDE, SIDE]: 2 where the object is, -2 where it is not."""
    across, down = points[..., :1] - x[:, None], points[..., 1:] - y[:, None]  # [B, P, SIDE]
    near = torch.exp(-(across[:, :, None].square() + down[..., None].square()) / CLICK**2)
    return 2 * (near * (2 * labels.float() - 1)[..., None, None]).sum(dim=1)
