"""Parts of a picture: small things from near by, as large for the network as the whole, and masks in windows.

What is a twelfth of a picture wide has five cells of the decoder's grid, and no outline. In a view three
times as wide as itself it has twenty. The picture that the network sees is sharp enough (docs/pico-tried.md).

Knows pictures, boxes and masks; knows no network and no object.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

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
    """A part of a picture, from `left` and `top`, `width` by `height`; in 0..1 of the picture and beyond."""

    left: float
    top: float
    width: float
    height: float

    @staticmethod
    def around(box: Sequence[float]) -> View | None:
        """A square one of a box, centre and size in 0..1; None where that is large, or empty."""
        x, y, width, height = box
        side = max(LEAST, WIDTH * max(width, height))
        if side > MOST or min(width, height) <= 0:
            return None
        left, top = (min(max(middle - side / 2, 0.0), 1 - side) for middle in (x, y))
        return View(left, top, side, side)

    def box(self, like: Tensor) -> Tensor:
        """Itself, as centre and size [1, 4], in the dtype and on the device of another."""
        x, y = self.left + self.width / 2, self.top + self.height / 2
        return like.new_tensor([[x, y, self.width, self.height]])

    def within(self, other: View) -> View:
        """A view of what another shows, as one of the picture."""
        left, top = other.left + self.left * other.width, other.top + self.top * other.height
        return View(left, top, self.width * other.width, self.height * other.height)

    def boxes(self, boxes: Tensor) -> Tensor:
        """Boxes [n, 4] of the picture, in 0..1 of the view."""
        return seen_in(self.box(boxes), boxes)

    def points(self, points: Tensor) -> Tensor:
        """Points [..., 2] of the picture, in 0..1 of the view."""
        corner, size = points.new_tensor(((self.left, self.top), (self.width, self.height)))
        there: Tensor = (points - corner) / size
        return there

    def cut(self, picture: Tensor, size: int) -> Tensor:
        """float32 [1, C, size, size], what a picture [1, C, H, W] shows there."""
        return windows.cut([picture], *self.lattice(size, picture.device))

    def lattice(self, count: int, device: torch.device) -> tuple[Tensor, Tensor]:
        """Where `count` samples x and y [1, count] each way lie, in 0..1 of the picture."""
        box = self.box(torch.zeros((), device=device))
        return windows.lattice(box, box[:, 2:], count)


WHOLE = View(0.0, 0.0, 1.0, 1.0)


@dataclass(frozen=True, slots=True, eq=False)
class Closeup:
    """A mask in a view: logits float32 [1, 1, n, n]; beyond the view there is nothing of it."""

    view: View
    logits: Tensor

    def of(self, view: View) -> Closeup:
        """The same of the picture, where it is of what a view of that shows."""
        return replace(self, view=self.view.within(view))

    def outline(self) -> Tensor:
        """The box [1, 4], centre and size in 0..1 of the picture; 0 where the mask is empty."""
        (box,), view = outline(self.logits), self.view
        corner, size = box.new_tensor(((view.left, view.top), (view.width, view.height)))
        return torch.cat((box[:2] * size + corner * bool((box[2:] > 0).all()), box[2:] * size))[None]

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
        y, rows = self._weights(self.view.top, self.view.height, height)
        x, columns = self._weights(self.view.left, self.view.width, width)
        mask[y, x] = (rows @ self.logits[0, 0] @ columns.T > 0).cpu().numpy()
        return mask

    def _weights(self, begin: float, side: float, pixels: int) -> tuple[slice, Tensor]:
        """The pixels whose middles lie in the view, and [pixels, n], how much of each cell is in each."""
        cells = self.logits.shape[-1]
        first, end = (min(max(round(edge * pixels), 0), pixels) for edge in (begin, begin + side))
        middles = (torch.arange(first, end, device=self.logits.device) + 0.5) / pixels
        place = ((middles - begin) / side * cells - 0.5).clamp(0, cells - 1)
        away = (place[:, None] - torch.arange(cells, device=place.device)).abs()
        return slice(first, end), (1 - away).clamp(min=0)


def closeups(there: Tensor, x: Tensor, y: Tensor) -> list[Closeup]:
    """Masks in windows as they are there, finer than on the grid of the whole picture.

    Args:
        there: [B, n, n] in 0..1, also of what lies beyond the picture.
        x, y: [B, n], where the samples lie.
    """
    places = torch.stack((x, y), dim=1)  # [B, xy, n]
    step = places[..., 1] - places[..., 0]
    parts = torch.cat((places[..., 0] - step / 2, step * there.shape[-1]), dim=1).tolist()
    logits = (there - 0.5) * 2 * LOGIT
    return [Closeup(View(*part), mask[None, None]) for part, mask in zip(parts, logits, strict=True)]
