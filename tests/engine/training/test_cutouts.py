"""Objects cut out of frames: outline, sprite, still picture, files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from crossing import HEIGHT, RADIUS, WIDTH, box, centre, frame

from engine.training.cutouts import SIDE, Mark, grab, load_marks, main, read_frames, sprite, still


def mark(t: int, **more: object) -> Mark:
    x0, y0, x1, y1 = box(t)
    return Mark("crossing", t, "disc", (x0 - 5, y0 - 5, x1 + 5, y1 + 5), **more)  # type: ignore[arg-type]


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    return float((a & b).sum() / (a | b).sum())


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


def test_a_still_has_the_size_of_trainings_pictures() -> None:
    rgb, disc = frame(4)
    picture, mask = still(rgb, disc)
    assert (picture.shape, mask.shape) == ((3, 288, 512), (288, 512))
    assert mask.mean() == pytest.approx(disc.mean(), rel=0.05)


def test_a_folder_and_its_marks_become_files(clips: Path, tmp_path: Path) -> None:
    entries = [
        {"clip": "crossing", "frame": 3, "name": "disc", "box": mark(3).box},
        {"clip": "crossing", "frame": 9, "name": "piece", "box": mark(9).box, "part": True},
    ]
    (tmp_path / "marks.json").write_text(json.dumps(entries))
    main([str(clips), "--marks", str(tmp_path / "marks.json"), "--out", str(tmp_path)])
    sprites = torch.load(tmp_path / "cutouts.pt", weights_only=True)
    stills = torch.load(tmp_path / "stills.pt", weights_only=True)
    assert (sprites.shape, sprites.dtype) == ((2, 4, SIDE, SIDE), torch.uint8)
    assert len(stills["frames"]) == len(stills["masks"]) == 1
    area = np.pi * RADIUS**2 / (HEIGHT * WIDTH)
    assert float(stills["masks"].float().mean()) == pytest.approx(area, rel=0.1)


def test_what_is_missing_is_named(clips: Path, tmp_path: Path) -> None:
    (tmp_path / "marks.json").write_text('[{"clip": "crossing", "frame": 3, "name": "disc"}]')
    with pytest.raises(ValueError, match=r"marks\.json: expected entries with clip"):
        load_marks(tmp_path / "marks.json")
    with pytest.raises(FileNotFoundError, match="no frame 99"):
        read_frames(clips / "crossing.mkv", {99})
