"""Masks at the size of the picture: only where an object is, which is a small part of most pictures."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor


def enlarged(logits: Tensor, height: int, width: int) -> NDArray[np.bool_]:
    """Where logits, bilinearly enlarged, are positive.

    A pixel lies between four cells and is positive only where one of them is. So the cells from one before an
    object to one after it are enlarged, by a product with the interpolation's weights from either side.

    Args:
        logits: float32 [B, 1, h, w], as decoded.

    Returns:
        [B, height, width].
    """
    masks = np.zeros((len(logits), height, width), np.bool_)
    cells = (logits.shape[-2], logits.shape[-1])
    rows, columns = (weights(c, n, logits.device) for c, n in zip(cells, (height, width), strict=True))
    positive = (logits[:, 0] > 0).cpu().numpy()
    for mask, there, values in zip(masks, positive, logits[:, 0], strict=True):
        if not there.any():
            continue
        (r0, r1), (c0, c1) = _span(there.any(axis=1)), _span(there.any(axis=0))
        y, x = _pixels(r0, r1, cells[0], height), _pixels(c0, c1, cells[1], width)
        part = rows[y, r0:r1] @ values[r0:r1, c0:c1] @ columns[x, c0:c1].T
        mask[y, x] = (part > 0).cpu().numpy()
    return masks


@lru_cache(maxsize=32)
def weights(cells: int, pixels: int, device: torch.device) -> Tensor:
    """[pixels, cells]: how much of each cell is in each pixel, by `torch.nn.functional.interpolate`."""
    with torch.inference_mode():
        unit = torch.eye(cells, device=device)[None]
        return F.interpolate(unit, size=pixels, mode="linear", align_corners=False)[0].T.contiguous()


def _span(there: NDArray[np.bool_]) -> tuple[int, int]:
    """From the cell before the first that is there to the one after the last, end exclusive."""
    found = np.flatnonzero(there)
    return max(int(found[0]) - 1, 0), min(int(found[-1]) + 2, len(there))


def _pixels(first: int, end: int, cells: int, pixels: int) -> slice:
    """The pixels that cells `first` to `end` cover."""
    return slice(first * pixels // cells, -(-end * pixels // cells))
