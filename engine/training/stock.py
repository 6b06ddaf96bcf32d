"""Batches of clips that a stage uses more than once: making them is dearer than learning from them.

Kept on disk, each is mirrored, played backwards and coloured another way whenever it is taken out again.
Knows clips; knows no network and no lesson.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from engine.training.scenes import Clips

TINT = 0.12  # spread of the gain of each colour, and of its offset


@dataclass(frozen=True, slots=True)
class Stock:
    """Batches by name below `folder`, some 8 MB for eight clips of six frames of 256 x 256 pixels."""

    folder: Path

    def clear(self) -> None:
        """Forget the batches of a run before, which may have been of other material."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def take(self, name: str, make: Callable[[], Clips]) -> Clips:
        """The batch of that name, made where it is not there."""
        path = self.folder / f"{name}.pt"
        if path.is_file():
            return _unpacked(torch.load(path, weights_only=True))
        clips = make()
        self.folder.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".part")
        torch.save(_packed(clips), partial)
        partial.replace(path)
        return clips


def _packed(clips: Clips) -> dict[str, Tensor]:
    bits = np.packbits(clips.masks.cpu().numpy(), axis=-1)
    images = (clips.images * 255).round().to(torch.uint8)
    return {"images": images, "masks": torch.from_numpy(bits), "shown": clips.shown}


def _unpacked(packed: dict[str, Tensor]) -> Clips:
    masks = torch.from_numpy(np.unpackbits(packed["masks"].numpy(), axis=-1)).bool()
    return Clips(packed["images"].float() / 255, masks, packed["shown"])


def varied(clips: Clips, g: torch.Generator) -> Clips:
    """The same clips, half of them mirrored and half backwards, with other colours."""
    images, masks, shown = clips.images.clone(), clips.masks.clone(), clips.shown.clone()
    mirrored, backwards = (torch.rand(2, len(images), generator=g) < 0.5).to(images.device)
    for each in (images, masks):
        each[mirrored] = each[mirrored].flip(-1)
    for each in (images, masks, shown):
        each[backwards] = each[backwards].flip(1)
    gain, offset = (TINT * torch.randn(2, len(images), 1, 3, 1, 1, generator=g)).to(images.device)
    return Clips(images.mul_(1 + gain).add_(offset / 2).clamp_(0, 1), masks, shown)
