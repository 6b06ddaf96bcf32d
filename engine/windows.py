"""Windows cut out of pictures and put back: many of them, each its own place and size, as one batch.

Knows tensors and places in 0..1 of a picture; knows no object.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def samples(centre: Tensor, side: Tensor, count: int) -> Tensor:
    """Where `count` samples [n, count] of windows lie, for centres and sides [n] in 0..1 of the picture."""
    places = (torch.arange(count, device=centre.device) + 0.5) / count - 0.5
    return centre[:, None] + places * side[:, None]


def lattice(boxes: Tensor, sides: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Where `samples` x and y [n, count] of windows of `sides` [n, 2] in the middle of boxes [n, 4] lie."""
    x, y = (samples(boxes[:, k], sides[:, k], count) for k in (0, 1))
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


def cut(pictures: Sequence[Tensor], x: Tensor, y: Tensor) -> Tensor:
    """What pictures show at `x` [n, W] and `y` [n, H], as [n, C, H, W]; bilinear, the border goes on.

    Args:
        pictures: [1, C, h, w] for each window, often one and the same.
    """
    (n, width), height = x.shape, y.shape[1]
    grid = (
        torch.stack((x[:, None].expand(-1, height, -1), y[:, :, None].expand(-1, -1, width)), dim=-1) * 2 - 1
    )
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
    return _shares(y, size) @ windows @ _shares(x, size).transpose(1, 2)


def _shares(places: Tensor, size: int) -> Tensor:
    """[n, size, count]: how much of each cell every sample covers."""
    half = (places[:, 1:2] - places[:, :1]) / 2
    edges = torch.arange(size + 1, device=places.device) / size
    low = torch.maximum((places - half)[:, None], edges[:-1, None])
    high = torch.minimum((places + half)[:, None], edges[1:, None])
    return (high - low).clamp(min=0) * size
