"""Objects that come cut out: pictures with an alpha channel, as sprites for scenes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from engine.training.cutouts import sprite
from engine.training.footage import Image

KINDS = {".png", ".webp"}
SMALLEST = 24  # pixels of the shorter side; smaller ones would be blown up to a blur
FILLED = (0.12, 0.98)  # of the box around it: less is a drawing in lines, more a rectangle


def load_transparent(folder: Path) -> Tensor:
    """Sprites uint8 RGBA [C, 4, 128, 128] of the pictures below `folder` that show one thing on nothing.

    Raises:
        FileNotFoundError: there is none.
    """
    found = [torch.from_numpy(image) for image in _sprites(folder)]
    if not found:
        raise FileNotFoundError(
            f"no cut-out in {folder}: expected {' or '.join(sorted(KINDS))} files whose transparency "
            f"leaves an object of at least {SMALLEST} pixels"
        )
    return torch.stack(found)


def _sprites(folder: Path) -> Iterator[Image]:
    for path in sorted(p for p in folder.rglob("*") if p.suffix.lower() in KINDS):
        picture = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        if picture is None or picture.ndim != 3 or picture.shape[2] != 4 or picture.dtype != np.uint8:
            continue
        cover = picture[..., 3] / np.float32(255)
        rows, columns = (np.flatnonzero((cover > 0.5).any(axis)) for axis in (1, 0))
        if not len(rows):
            continue
        box = cover[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        if min(box.shape) >= SMALLEST and FILLED[0] <= (box > 0.5).mean() <= FILLED[1]:
            yield sprite(np.ascontiguousarray(picture[..., 2::-1]), cover)
