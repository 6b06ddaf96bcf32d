"""Small things from near by: a part of the picture as large for the network as the whole.

What is a twelfth of a picture wide has five cells of the decoder's grid, and no outline. In a view three
times as wide as itself it has twenty. The picture that the network sees is sharp enough (docs/pico-tried.md).

Knows pictures, boxes and masks; knows no network and no object.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine import windows
from engine.boxes import outline, seen_in
from engine.snap import LOGIT

WIDTH = 3.0  # of a view, in the longer side of what it shows
LEAST, MOST = 0.15, 0.5  # of it, in pictures: below there is nothing more to see, above there is no need


@dataclass(frozen=True, slots=True)
class View:
    """A square part of a picture, from `left` and `top`, with sides of `side`; all in 0..1 of the picture."""

    left: float
    top: float
    side: float

    @staticmethod
    def around(box: Sequence[float]) -> View | None:
        """Of a box, centre and size in 0..1; None where the whole picture shows it well, or it is empty."""
        x, y, width, height = box
        side = max(LEAST, WIDTH * max(width, height))
        if side > MOST or min(width, height) <= 0:
            return None
        left, top = (min(max(middle - side / 2, 0.0), 1 - side) for middle in (x, y))
        return View(left, top, side)

    def box(self, like: Tensor) -> Tensor:
        """Itself, as centre and size [1, 4], in the dtype and on the device of another."""
        half = self.side / 2
        return like.new_tensor([[self.left + half, self.top + half, self.side, self.side]])

    def boxes(self, boxes: Tensor) -> Tensor:
        """Boxes [n, 4] of the picture, in 0..1 of the view."""
        return seen_in(self.box(boxes), boxes)

    def points(self, points: Tensor) -> Tensor:
        """Points [..., 2] of the picture, in 0..1 of the view."""
        return (points - points.new_tensor((self.left, self.top))) / self.side

    def cut(self, picture: Tensor, size: int) -> Tensor:
        """float32 [1, C, size, size], what a picture [1, C, H, W] shows there."""
        return windows.cut([picture], *self.lattice(size, picture.device))

    def lattice(self, count: int, device: torch.device) -> tuple[Tensor, Tensor]:
        """Where `count` samples x and y [1, count] each way lie, in 0..1 of the picture."""
        box = self.box(torch.zeros((), device=device))
        return windows.lattice(box, box[:, 2:], count)


@dataclass(frozen=True, slots=True, eq=False)
class Closeup:
    """A mask in a view: logits float32 [1, 1, n, n]; beyond the view there is nothing of it."""

    view: View
    logits: Tensor

    def outline(self) -> Tensor:
        """The box [1, 4], centre and size in 0..1 of the picture; 0 where the mask is empty."""
        (box,) = outline(self.logits)
        corner = box.new_tensor((self.view.left, self.view.top)) * bool((box[2:] > 0).all())
        return torch.cat((box[:2] * self.view.side + corner, box[2:] * self.view.side))[None]

    def whole(self, size: int) -> Tensor:
        """Logits [1, 1, size, size] of the whole picture, in -LOGIT..LOGIT; something of it is above 0."""
        bounded = self.logits[0].clamp(-LOGIT, LOGIT) + LOGIT
        placed = windows.put_back(bounded, *self.view.lattice(bounded.shape[-1], bounded.device), size)
        cells = placed.flatten() - LOGIT
        if bool((self.logits > 0).any()):
            cells[cells.argmax()] = cells.amax().clamp(min=1.0)
        return cells.view(1, 1, size, size)

    def enlarged(self, height: int, width: int) -> NDArray[np.bool_]:
        """Where the logits, bilinearly enlarged, are positive: [height, width] of the picture."""
        mask = np.zeros((height, width), np.bool_)
        y, rows = self._weights(self.view.top, height)
        x, columns = self._weights(self.view.left, width)
        mask[y, x] = (rows @ self.logits[0, 0] @ columns.T > 0).cpu().numpy()
        return mask

    def _weights(self, begin: float, pixels: int) -> tuple[slice, Tensor]:
        """The pixels whose middles lie in the view, and [pixels, n], how much of each cell is in each."""
        cells = self.logits.shape[-1]
        first, end = (round(edge * pixels) for edge in (begin, begin + self.view.side))
        middles = (torch.arange(first, end, device=self.logits.device) + 0.5) / pixels
        place = ((middles - begin) / self.view.side * cells - 0.5).clamp(0, cells - 1)
        away = (place[:, None] - torch.arange(cells, device=place.device)).abs()
        return slice(first, end), (1 - away).clamp(min=0)
