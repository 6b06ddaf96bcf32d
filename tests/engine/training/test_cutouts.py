"""Objects cut out of frames: outline, sprite, run of pictures, files."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from crossing import HEIGHT, RADIUS, WIDTH, box, centre, frame

from engine.training.cutouts import (
    SIDE,
    Mark,
    cut,
    grab,
    load_marks,
    main,
    marked_clips,
    reel,
    sprite,
)
from engine.training.footage import Image
from engine.training.material import load_reels
from engine.training.outline import Bool, overlap


def mark(t: int, **more: object) -> Mark:
    x0, y0, x1, y1 = box(t)
    return Mark("crossing", t, "disc", (x0 - 5, y0 - 5, x1 + 5, y1 + 5), **more)  # type: ignore[arg-type]


def test_a_box_around_a_thing_gives_its_outline() -> None:
    rgb, disc = frame(4)
    assert overlap(grab(rgb, mark(4)), disc) > 0.95


def test_nothing_is_found_outside_the_polygon_and_the_lines_are_obeyed() -> None:
    rgb, disc = frame(4)
    cx, cy = centre(4)
    half = ((cx - 40, cy - 40), (cx, cy - 40), (cx, cy + 40), (cx - 40, cy + 40))
    left = grab(rgb, mark(4, within=half, inside=((cx - 10, cy, cx - 5, cy),)))
    assert not left[:, cx + 2 :].any()
    assert left[cy, cx - 8]
    crossed = grab(rgb, mark(4, outside=((cx, cy - 8, cx, cy + 8),)))
    assert overlap(crossed, disc) < overlap(grab(rgb, mark(4)), disc)


def test_a_sprite_keeps_the_aspect_and_is_soft_and_transparent_around() -> None:
    rgb, _ = frame(4)
    mask = np.zeros((HEIGHT, WIDTH), np.bool_)
    mask[20:60, 30:50] = True
    out = sprite(rgb, mask)
    assert out.shape == (4, SIDE, SIDE)
    assert out.dtype == np.uint8
    ys, xs = np.nonzero(out[3] > 127)
    assert np.ptp(ys) + 1 == pytest.approx(120, abs=2)
    assert np.ptp(xs) + 1 == pytest.approx(60, abs=2)
    assert not out[3, :3].any()


def test_the_colour_of_a_sprite_is_the_objects_to_the_very_edge() -> None:
    rgb, disc = frame(4)
    out = sprite(rgb, disc)
    rim = (out[3] > 10) & (out[3] < 245)
    assert rim.sum() > 100
    assert (out[0][rim] > 100).all()  # red, and nowhere the grey of the ground
    assert (out[1][rim] < 90).all()


def test_an_empty_mask_is_refused() -> None:
    rgb, disc = frame(4)
    with pytest.raises(ValueError, match="at least one pixel"):
        sprite(rgb, np.zeros_like(disc))


def drifting(t: int) -> tuple[Image, Bool]:
    """A patterned blue disc that drifts over a patterned ground: RGB [288, 512, 3], mask [288, 512]."""
    noise = np.random.default_rng(3).normal(size=(2, 288, 512)).astype(np.float32)
    ground, cloth = (cv2.GaussianBlur(n, (0, 0), 3) * 5 for n in noise)
    y, x = np.mgrid[:288, :512]
    disc = (x - 150 - 3 * t) ** 2 + (y - 120 - t) ** 2 < 45**2
    rgb = np.repeat((120 + 40 * ground)[..., None], 3, axis=2)
    moved = np.roll(cloth, (t, 3 * t), (0, 1))[disc]
    rgb[disc] = np.stack((30 + 20 * moved, 60 + 30 * moved, 190 + 40 * moved), axis=1)
    return rgb.clip(0, 255).astype(np.uint8), disc


def test_a_mark_is_carried_to_the_frames_around_it() -> None:
    scenes = [drifting(t) for t in range(12)]
    found = reel([rgb for rgb, _ in scenes], 5, scenes[5][1])
    assert found.frames.shape == (12, 3, 288, 512)
    for (rgb, disc), picture, mask in zip(scenes, found.frames, found.masks, strict=True):
        assert (picture.transpose(1, 2, 0) == rgb).all()
        assert overlap(mask, disc) > 0.85


def test_what_cannot_be_followed_is_not_carried() -> None:
    rgb, disc = drifting(0)
    noise = np.random.default_rng(0).integers(0, 255, rgb.shape, np.uint8)
    assert len(reel([rgb, drifting(1)[0], noise], 0, disc).frames) == 2


def test_a_folder_and_its_marks_become_files(clips: Path, tmp_path: Path) -> None:
    entries = [
        {"clip": "crossing", "frame": 3, "name": "disc", "box": mark(3).box},
        {"clip": "crossing", "frame": 9, "name": "disc again", "box": mark(9).box},
    ]
    (tmp_path / "marks.json").write_text(json.dumps(entries))
    main([str(clips), "--marks", str(tmp_path / "marks.json"), "--out", str(tmp_path)])
    sprites = torch.load(tmp_path / "cutouts.pt", weights_only=True)
    reels = load_reels(tmp_path / "reels.pt")
    assert (sprites.shape, sprites.dtype) == ((2, 4, SIDE, SIDE), torch.uint8)
    assert len(reels.runs) == 2
    assert len(reels.frames) == len(reels.masks) >= 2
    area = np.pi * RADIUS**2 / (HEIGHT * WIDTH)
    assert float(reels.masks.float().mean()) == pytest.approx(area, rel=0.15)


def test_what_is_missing_is_named(clips: Path, tmp_path: Path) -> None:
    (tmp_path / "marks.json").write_text('[{"clip": "crossing", "frame": 3, "name": "disc"}]')
    with pytest.raises(ValueError, match=r"marks\.json: expected entries with clip"):
        load_marks(tmp_path / "marks.json")
    with pytest.raises(FileNotFoundError, match="no frame 99"):
        cut(marked_clips(clips, [mark(99)]))
