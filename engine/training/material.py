"""All that a run learns from: pictures, real cut-outs, and real runs of pictures with one object marked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from engine.training.textures import Pictures, join, load_pictures, procedural_pictures
from engine.types import EngineError


@dataclass(frozen=True, slots=True)
class Reels:
    """Real pictures uint8 [N, 3, 288, 512] with the mask of one object each, bool [N, 288, 512].

    `runs` are (start, length) of consecutive video frames with the same object; a length of 1 is a still.
    """

    frames: Tensor
    masks: Tensor
    runs: tuple[tuple[int, int], ...]

    def to(self, device: torch.device) -> Reels:
        return Reels(self.frames.to(device), self.masks.to(device), self.runs)


@dataclass(frozen=True, slots=True)
class Material:
    """`cutouts` are uint8 RGBA [C, 4, 128, 128]; either of `cutouts` and `reels` may be absent."""

    pictures: Pictures
    cutouts: Tensor | None = None
    reels: Reels | None = None

    def to(self, device: torch.device) -> Material:
        cutouts = None if self.cutouts is None else self.cutouts.to(device)
        reels = None if self.reels is None else self.reels.to(device)
        return Material(self.pictures.to(device), cutouts, reels)


def gather(
    folder: Path | None, exclude: Sequence[str], cutouts: Sequence[Path], reels: Path | None, seed: int
) -> Material:
    """Read what there is; procedural pictures are always among it.

    Args:
        cutouts: files of `engine.training.cutouts`, and folders of pictures with transparency.

    Raises:
        EngineError: BAD_MATERIAL, naming the file or folder and what was expected there.
    """
    try:
        real = torch.cat([_sprites(path) for path in cutouts]) if cutouts else None
        marked = None if reels is None else load_reels(reels)
        found = None if folder is None else load_pictures(folder, 3, exclude)
    except (OSError, ValueError) as error:
        raise EngineError("BAD_MATERIAL", str(error)) from error
    made = procedural_pictures(200, torch.Generator().manual_seed(seed + 5))
    return Material(made if found is None else join(found, made), real, marked)


def _sprites(path: Path) -> Tensor:
    if path.is_dir():
        from engine.training.transparent import load_transparent  # opencv is asked for only here

        return load_transparent(path)
    sprites = torch.load(path, map_location="cpu", weights_only=True)
    if not isinstance(sprites, Tensor) or sprites.ndim != 4 or sprites.shape[1:] != (4, 128, 128):
        raise ValueError(f"{path}: expected cut-outs, a uint8 tensor [C, 4, 128, 128]")
    return sprites


def load_reels(path: Path) -> Reels:
    """Read what `engine.training.cutouts` or `discover` wrote.

    Raises:
        ValueError: the file holds something else.
    """
    found = torch.load(path, map_location="cpu", weights_only=True)
    if not isinstance(found, dict) or not {"frames", "masks", "lengths"} <= found.keys():
        raise ValueError(
            f"{path}: expected reels, a dict of uint8 `frames`, bool `masks` and their `lengths`"
        )
    lengths = found["lengths"].tolist()
    starts = [sum(lengths[:k]) for k in range(len(lengths))]
    return Reels(found["frames"], found["masks"], tuple(zip(starts, lengths, strict=True)))
