"""All that a run learns from: pictures, real cut-outs, and whole pictures with one object marked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from engine.training.textures import Pictures, join, load_pictures, procedural_pictures
from engine.types import EngineError


@dataclass(frozen=True, slots=True)
class Stills:
    """Real pictures uint8 [N, 3, 288, 512] with the mask of one object each, bool [N, 288, 512]."""

    frames: Tensor
    masks: Tensor

    def to(self, device: torch.device) -> Stills:
        return Stills(self.frames.to(device), self.masks.to(device))


@dataclass(frozen=True, slots=True)
class Material:
    """`cutouts` are uint8 RGBA [C, 4, 128, 128]; either of `cutouts` and `stills` may be absent."""

    pictures: Pictures
    cutouts: Tensor | None = None
    stills: Stills | None = None

    def to(self, device: torch.device) -> Material:
        cutouts = None if self.cutouts is None else self.cutouts.to(device)
        stills = (
            None
            if self.stills is None
            else Stills(self.stills.frames.to(device), self.stills.masks.to(device))
        )
        return Material(self.pictures.to(device), cutouts, stills)


def gather(
    folder: Path | None, exclude: Sequence[str], cutouts: Path | None, stills: Path | None, seed: int
) -> Material:
    """Read what there is; procedural pictures are always among it.

    Raises:
        EngineError: BAD_MATERIAL, naming the file or folder and what was expected there.
    """
    pictures = procedural_pictures(200, torch.Generator().manual_seed(seed + 5))
    try:
        if folder is not None:
            pictures = join(load_pictures(folder, 3, exclude), pictures)
        real = None if cutouts is None else _sprites(cutouts)
        marked = None if stills is None else _stills(stills)
    except (OSError, ValueError) as error:
        raise EngineError("BAD_MATERIAL", str(error)) from error
    return Material(pictures, real, marked)


def _sprites(path: Path) -> Tensor:
    sprites = torch.load(path, map_location="cpu", weights_only=True)
    if not isinstance(sprites, Tensor) or sprites.ndim != 4 or sprites.shape[1:] != (4, 128, 128):
        raise ValueError(f"{path}: expected cut-outs, a uint8 tensor [C, 4, 128, 128]")
    return sprites


def _stills(path: Path) -> Stills:
    found = torch.load(path, map_location="cpu", weights_only=True)
    if not isinstance(found, dict) or not {"frames", "masks"} <= found.keys():
        raise ValueError(f"{path}: expected stills, a dict of uint8 `frames` and bool `masks`")
    return Stills(found["frames"], found["masks"])
