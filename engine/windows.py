"""Windows cut out of pictures and put back: many of them, each its own place and size, as one batch.

Knows tensors and places in 0..1 of a picture; knows no object.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor


def samples(centre: Tensor, side: Tensor, count: int) -> Tensor:
    """Where `count` samples [..., count] of windows lie, for centres and sides [...] in pictures."""
    return torch.addcmul(centre[..., None], side[..., None], _middles(count, centre.device))


@lru_cache(maxsize=32)
def _middles(count: int, device: torch.device) -> Tensor:
    """Of `count` cells in a row, from the middle of all in lengths of the row."""
    with torch.inference_mode(False):  # used in training as well
        return (torch.arange(count, device=device) + 0.5) / count - 0.5


def lattice(boxes: Tensor, sides: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Where `samples` x and y [n, count] of windows of `sides` [n, 2] in the middle of boxes [n, 4] lie."""
    x, y = samples(boxes[:, :2], sides, count).unbind(dim=1)
    return x, y


def beside(boxes: Tensor, share: float, least: float) -> Tensor:
    """Sides [n, 2] of windows that show the boxes [n, 4] and something beside them, as much on all sides.

    Args:
        share: of it, in mean sides of the box, but at least
        least: so much of the picture.
    """
    margin = (share * boxes[:, 2:].prod(dim=1).sqrt()).clamp(min=least)
    return boxes[:, 2:] + 2 * margin[:, None]


def inside(x: Tensor, y: Tensor) -> Tensor:
    """bool [n, H, W], samples at `x` [n, W] and `y` [n, H] that lie in the picture."""
    across, down = ((places >= 0) & (places <= 1) for places in (x, y))
    return down[:, :, None] & across[:, None]


def within(x: Tensor, y: Tensor, centre: Tensor, half: Tensor) -> Tensor:
    """bool [n, H, W], samples at most `half` [n or 1, xy] from `centre`, of the same shape."""
    across = (x - centre[:, :1]).abs() <= half[:, :1]
    down = (y - centre[:, 1:2]).abs() <= half[:, 1:2]
    return down[:, :, None] & across[:, None]


def cut(pictures: Sequence[Tensor] | Tensor, x: Tensor, y: Tensor) -> Tensor:
    """What pictures show at `x` [n, W] and `y` [n, H], as [n, C, H, W]; bilinear, the border goes on.

    Args:
        pictures: [1, C, h, w] for each window, often one and the same; or [n, C, h, w].
    """
    (n, width), height = x.shape, y.shape[1]
    across, down = 2 * x - 1, 2 * y - 1
    grid = torch.stack(
        (across[:, None].expand(-1, height, -1), down[:, :, None].expand(-1, -1, width)), dim=-1
    )
    if isinstance(pictures, Tensor):
        return _sample(pictures, grid)
    if any(picture is not pictures[0] for picture in pictures):
        return _sample(torch.cat(tuple(pictures)), grid)
    found = _sample(pictures[0], grid.reshape(1, -1, width, 2))
    return found.view(found.shape[1], n, height, width).transpose(0, 1)


def _sample(pictures: Tensor, grid: Tensor) -> Tensor:
    return F.grid_sample(pictures.float(), grid, padding_mode="border", align_corners=False)


def put_back(windows: Tensor, x: Tensor, y: Tensor, size: int) -> Tensor:
    """The mean of windows [n, H, W] over each cell of a picture, [n, size, size]; 0 where there is no window.

    Args:
        x, y: where the samples lie, [n, W] and [n, H].
    """
    rows, columns = _shares(torch.stack((y, x)), size).unbind()
    return rows @ windows @ columns.transpose(1, 2)


def _shares(places: Tensor, size: int) -> Tensor:
    """[..., size, count]: how much of each cell every sample of [..., count] covers."""
    half = (places[..., 1:2] - places[..., :1]) / 2
    edges = (_middles(size, places.device) + 0.5)[:, None]
    low = torch.maximum((places - half)[..., None, :], edges - 0.5 / size)
    high = torch.minimum((places + half)[..., None, :], edges + 0.5 / size)
    return (high - low).clamp(min=0) * size
