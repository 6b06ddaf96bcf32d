"""Contact sheets of real clips: what the model marked, beside the box a person drew. For the eye only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from PIL import Image as Picture
from PIL import ImageDraw

from engine.training.annotations import Annotated, Box, iou
from engine.training.followers import Seen
from engine.training.footage import Image
from engine.training.real import ObjectScore

TILE = (320, 180)  # width, height
MARK = np.array((255, 40, 160), np.float32)
HEADER = 18


@dataclass(slots=True)
class Sheets:
    """Collects small pictures while clips are scored (`watch` is a `real.Watch`)."""

    annotated: Sequence[Annotated]
    _tiles: dict[tuple[str, str], dict[int, Image]] = field(default_factory=dict)

    def watch(self, clip: str, index: int, rgb: Image, seen: Mapping[str, Seen]) -> None:
        for a in self.annotated:
            if a.clip == clip and index in a.boxes and a.name in seen:
                row = self._tiles.setdefault((clip, a.name), {})
                row[index] = _tile(rgb, seen[a.name], a.boxes[index], index, index == a.first)

    def save(self, scores: Iterable[ObjectScore], path: Path, columns: int = 5) -> None:
        """A row per object: the prompted frame and later ones, evenly chosen."""
        rows = [_row(s, self._tiles[s.clip, s.name], columns) for s in scores]
        path.parent.mkdir(parents=True, exist_ok=True)
        Picture.fromarray(np.concatenate(rows)).save(path)


def _tile(rgb: Image, seen: Seen, truth: Box | None, index: int, prompted: bool) -> Image:
    small = cv2.resize(rgb, TILE, interpolation=cv2.INTER_AREA).astype(np.float32)
    if seen.mask is not None and seen.mask.any():
        cover = cv2.resize(seen.mask.astype(np.float32), TILE, interpolation=cv2.INTER_AREA)[..., None]
        small += 0.55 * cover * (MARK - small)
    picture = Picture.fromarray(small.clip(0, 255).astype(np.uint8))
    draw = ImageDraw.Draw(picture)
    for box, colour in ((truth, (255, 255, 255)), (seen.box, (0, 255, 120))):
        if box is not None:
            draw.rectangle([v * s for v, s in zip(box, (*TILE, *TILE), strict=True)], outline=colour)
    overlap = "gone" if truth is None else f"{iou(seen.box, truth):.2f}"
    draw.text((4, 2), f"{index} {'prompt' if prompted else ''} {overlap}", (255, 255, 0))
    return np.asarray(picture, np.uint8)


def _row(score: ObjectScore, tiles: Mapping[int, Image], columns: int) -> Image:
    frames = sorted(tiles)
    chosen = [
        frames[i] for i in np.linspace(0, len(frames) - 1, min(columns, len(frames))).round().astype(int)
    ]
    pictures = [tiles[frame] for frame in chosen]
    pictures += [np.zeros_like(pictures[0])] * (columns - len(pictures))
    header = Picture.new("RGB", (columns * TILE[0], HEADER))
    ImageDraw.Draw(header).text(
        (4, 3), f"{score.clip}: {score.name}, mean IoU {score.mean:.2f}", (255, 255, 255)
    )
    return np.concatenate((np.asarray(header, np.uint8), np.concatenate(pictures, axis=1)))
