"""Windows around boxes: what correlation filters and the regressor look at, wider than what they look for.

Knows boxes, maps and places in 0..1 of a picture; knows no filter and no object.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from engine.look import COLOURS
from engine.windows import cut, inside, lattice

SIDE = 32  # samples of a window each way
CONTEXT = 2.0  # mean sides of the box that a window is wider than it
LEAST_BOX = 0.004  # side in pictures; below a pixel there is nothing to hold on to


@dataclass(frozen=True, slots=True, eq=False)
class Around:
    """Windows around n boxes.

    Attributes:
        centres, sizes: [n, 2] of the boxes,
        sides: [n, 2] of the windows, in pictures.
        x, y: [n, SIDE], where the samples lie.
    """

    centres: Tensor
    sizes: Tensor
    sides: Tensor
    x: Tensor
    y: Tensor

    @staticmethod
    def boxes(boxes: Tensor) -> Around:
        sides = window_sides(boxes)
        return Around(boxes[:, :2], boxes[:, 2:], sides, *lattice(boxes, sides, SIDE))

    def cut(self, maps: Sequence[Tensor] | Tensor) -> Tensor:
        """What maps [1, C, h, w], one for each, or [n, C, h, w] show there: [n, C, SIDE, SIDE]."""
        return cut(maps, self.x, self.y)

    def look(self, seen: Sequence[Tensor]) -> Tensor:
        """What is to be looked for there, of what is seen."""
        return self.cut(seen)[:, :-COLOURS]

    def inside(self) -> Tensor:
        """[n, 1, SIDE, SIDE], 1 where a window is in the picture: what is beyond its edge says nothing."""
        return inside(self.x, self.y)[:, None].float()


def window_sides(boxes: Tensor) -> Tensor:
    """[n, 2] for boxes [n, 4]."""
    size = boxes[:, 2:]
    return size + CONTEXT * size.prod(dim=1, keepdim=True).sqrt()
