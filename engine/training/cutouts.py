"""Real objects cut out of real frames: from boxes drawn by eye, refined with GrabCut.

    python -m engine.training.cutouts FOLDER --marks engine/training/data/marked_objects.json --out runs/real

Writes `cutouts.pt`, uint8 RGBA sprites [C, 4, 128, 128], and `reels.pt`, runs of whole pictures with the mask
of one object each, as far as the mark can be carried along the video. Needs opencv, as training does.
GrabCut: Rother, Kolmogorov, Blake, SIGGRAPH 2004.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from engine.training.carry import carry
from engine.training.footage import Image, find_clip, play
from engine.training.outline import Bool, tidy
from engine.training.textures import PICTURE

MARKS = Path(__file__).parent / "data" / "marked_objects.json"
SIDE = 128
MARGIN = 4  # transparent pixels around a sprite, so that it can be warped without a hard border
WORKING_SIDE = 480  # GrabCut runs on crops of at most this size: its time grows faster than the area

Line = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Mark:
    """One object of one frame as a person marked it, in pixels of the frame.

    Attributes:
        box: (x0, y0, x1, y1); nothing outside belongs to the object.
        within: a loose polygon with the same meaning, for objects that fill their box badly.
        inside, outside: lines (x, y, x, y, ...) that surely are, or are not, on the object.
    """

    clip: str
    frame: int
    name: str
    box: tuple[int, int, int, int]
    within: tuple[tuple[int, int], ...] = ()
    inside: tuple[Line, ...] = ()
    outside: tuple[Line, ...] = ()


def load_marks(path: Path) -> list[Mark]:
    """Read a JSON list of marks.

    Raises:
        ValueError: an entry lacks a field or has an unknown one.
    """
    try:
        return [_mark(entry) for entry in json.loads(path.read_text())]
    except (TypeError, KeyError) as error:
        raise ValueError(
            f"{path}: expected entries with clip, frame, name, box and optionally within, inside, "
            f"outside: {error}"
        ) from error


def _mark(entry: Mapping[str, Any]) -> Mark:
    x0, y0, x1, y1 = entry["box"]
    fields: dict[str, Any] = {**entry, "box": (x0, y0, x1, y1)}
    for key in ("within", "inside", "outside"):
        fields[key] = tuple(map(tuple, entry.get(key, ())))
    return Mark(**fields)


def grab(rgb: Image, mark: Mark, rounds: int = 6) -> Bool:
    """The object's mask [H, W] by GrabCut from the mark."""
    height, width = rgb.shape[:2]
    left, top, right, bottom = _around(mark.box, width, height)
    crop = rgb[top:bottom, left:right]
    scale = min(1.0, WORKING_SIDE / max(crop.shape[:2]))
    small = cv2.resize(crop, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    trimap = _trimap(small.shape[:2], mark, (left, top), scale)
    cv2.setRNGSeed(0)
    cv2.grabCut(
        cv2.cvtColor(small, cv2.COLOR_RGB2BGR),
        trimap,
        (0, 0, 1, 1),  # not read in this mode
        np.zeros((1, 65)),
        np.zeros((1, 65)),
        rounds,
        cv2.GC_INIT_WITH_MASK,
    )
    found = np.isin(trimap, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.float32)
    fine = cv2.resize(found, (right - left, bottom - top), interpolation=cv2.INTER_LINEAR) > 0.5
    mask = np.zeros((height, width), np.bool_)
    mask[top:bottom, left:right] = tidy(fine)
    return mask


def _around(box: Sequence[int], width: int, height: int, margin: float = 0.3) -> tuple[int, int, int, int]:
    """The box with surroundings to learn the background's colours from, within the picture."""
    x0, y0, x1, y1 = box
    dx, dy = int(margin * (x1 - x0)) + 20, int(margin * (y1 - y0)) + 20
    return max(0, x0 - dx), max(0, y0 - dy), min(width, x1 + dx), min(height, y1 + dy)


def _trimap(shape: tuple[int, ...], mark: Mark, origin: tuple[int, int], scale: float) -> Image:
    def place(points: object) -> NDArray[np.int32]:
        flat = np.asarray(points, np.float32).reshape(-1, 2)
        placed: NDArray[np.int32] = np.rint((flat - origin) * scale).astype(np.int32)
        return placed

    (x0, y0), (x1, y1) = place(mark.box)
    corners = np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]], np.int32)
    polygon = place(mark.within) if mark.within else corners
    trimap = np.full(shape, cv2.GC_BGD, np.uint8)
    cv2.fillPoly(trimap, [polygon], cv2.GC_PR_FGD)
    trimap[: max(y0, 0)], trimap[max(y1, 0) :] = cv2.GC_BGD, cv2.GC_BGD
    trimap[:, : max(x0, 0)], trimap[:, max(x1, 0) :] = cv2.GC_BGD, cv2.GC_BGD
    thick = max(2, round(0.015 * max(x1 - x0, y1 - y0)))
    for lines, value in ((mark.inside, cv2.GC_FGD), (mark.outside, cv2.GC_BGD)):
        for line in lines:
            cv2.polylines(trimap, [place(line)], False, value, thick)
    return trimap


def sprite(rgb: Image, mask: Bool | NDArray[np.float32]) -> Image:
    """RGBA [4, 128, 128]: the object at its aspect in the middle, soft edge, its own colours bled outwards.

    Args:
        mask: [H, W], or how much of each pixel is covered, 0..1.

    Raises:
        ValueError: the mask is empty.
    """
    ys, xs = np.nonzero(mask > 0.5)
    if not len(ys):
        raise ValueError("expected a mask with at least one pixel, got an empty one")
    rows, columns = slice(ys.min(), ys.max() + 1), slice(xs.min(), xs.max() + 1)
    cover = mask[rows, columns].astype(np.float32)
    colour = rgb[rows, columns].astype(np.float32) * cover[..., None]
    scale = (SIDE - 2 * MARGIN) / max(cover.shape)
    size = [max(1, round(n * scale)) for n in cover.shape]
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    alpha = cv2.resize(cover, (size[1], size[0]), interpolation=method)
    colour = cv2.resize(colour, (size[1], size[0]), interpolation=method) / np.maximum(alpha, 1e-3)[..., None]
    out = np.zeros((SIDE, SIDE, 4), np.float32)
    top, left = (SIDE - size[0]) // 2, (SIDE - size[1]) // 2
    out[top : top + size[0], left : left + size[1]] = np.dstack((colour.clip(0, 255), alpha * 255))
    whole = np.rint(out).astype(np.uint8)
    hidden = (whole[..., 3] < 8).astype(np.uint8)
    bled = cv2.inpaint(np.ascontiguousarray(whole[..., :3]), hidden, 3, cv2.INPAINT_TELEA)
    return np.dstack((bled, whole[..., 3])).transpose(2, 0, 1).astype(np.uint8)


def marked_clips(folder: Path, marks: Sequence[Mark]) -> Iterator[tuple[list[Mark], list[Image]]]:
    """Clip by clip: its marks, and its frames, RGB; a clip is any video below `folder` with that stem.

    Raises:
        FileNotFoundError: a clip or a frame is missing.
    """
    for clip in dict.fromkeys(mark.clip for mark in marks):
        path = find_clip(folder, clip)
        frames = list(play(path))
        wanted = [mark for mark in marks if mark.clip == clip]
        missing = [mark.frame for mark in wanted if mark.frame >= len(frames)]
        if missing:
            raise FileNotFoundError(f"{path} has no frame {min(missing)}, it has {len(frames)}")
        yield wanted, frames


@dataclass(frozen=True, slots=True)
class Reel:
    """One object on consecutive pictures: uint8 [T, 3, 288, 512] and its masks, bool [T, 288, 512]."""

    frames: NDArray[np.uint8]
    masks: Bool


def reel(frames: Sequence[Image], at: int, mask: Bool) -> Reel:
    """The run of pictures around `at` on which the object can be followed.

    Args:
        frames: uint8 [288, 512, 3], the size that training keeps pictures at.
        mask: bool [288, 512] on frame `at`.
    """
    run = carry(frames, at, mask)
    pictures = np.stack([frames[i].transpose(2, 0, 1) for i, _ in run])
    return Reel(pictures, np.stack([mask for _, mask in run]))


@dataclass(frozen=True, slots=True)
class Found:
    """What was cut out: sprites uint8 [C, 4, 128, 128], and objects in motion."""

    sprites: Sequence[Image]
    reels: Sequence[Reel]

    @property
    def summary(self) -> str:
        return f"{len(self.reels)} objects on {sum(len(reel.frames) for reel in self.reels)} pictures"

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        torch.save(torch.from_numpy(np.stack(self.sprites)), folder / "cutouts.pt")
        pile = {
            "frames": torch.from_numpy(np.concatenate([reel.frames for reel in self.reels])),
            "masks": torch.from_numpy(np.concatenate([reel.masks for reel in self.reels])),
            "lengths": torch.tensor([len(reel.frames) for reel in self.reels]),
        }
        torch.save(pile, folder / "reels.pt")


def cut(clips: Iterable[tuple[Sequence[Mark], Sequence[Image]]]) -> Found:
    """Everything marked, cut out and carried along its clip."""
    sprites, reels = [], []
    for marks, frames in clips:
        small = [shrink(frame) for frame in frames]
        for mark in marks:
            mask = grab(frames[mark.frame], mark)
            sprites.append(sprite(frames[mark.frame], mask))
            cover = cv2.resize(mask.astype(np.float32), PICTURE[::-1], interpolation=cv2.INTER_AREA)
            reels.append(reel(small, mark.frame, cover > 0.5))
    return Found(sprites, reels)


def shrink(rgb: Image) -> Image:
    """The picture at the size that training keeps, uint8 [288, 512, 3]."""
    return np.asarray(cv2.resize(rgb, PICTURE[::-1], interpolation=cv2.INTER_AREA), np.uint8)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Cut marked objects out of a folder of clips.")
    parser.add_argument("folder", type=Path, help="folder of videos")
    parser.add_argument("--marks", type=Path, default=MARKS)
    parser.add_argument("--out", type=Path, default=Path("runs/real"))
    options = parser.parse_args(arguments)
    found = cut(marked_clips(options.folder, load_marks(options.marks)))
    found.save(options.out)
    print(f"{options.out}: {len(found.sprites)} cut-outs, {found.summary}")


if __name__ == "__main__":
    main()
