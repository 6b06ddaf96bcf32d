"""Objects that come cut out, as pictures with transparency."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from engine.training import material
from engine.training.material import gather
from engine.training.transparent import load_transparent
from engine.types import EngineError


def stamp(folder: Path, name: str, size: tuple[int, int] = (90, 60), colour: int = 200) -> None:
    """A blue ellipse (BGR in OpenCV) on nothing."""
    picture = np.zeros((size[1] + 20, size[0] + 40, 4), np.uint8)
    centre = (picture.shape[1] // 2, picture.shape[0] // 2)
    cv2.ellipse(
        picture, centre, (size[0] // 2, size[1] // 2), 0, 0, 360, (colour, 0, 0, 255), -1, cv2.LINE_AA
    )
    assert cv2.imwrite(str(folder / name), picture)


def test_a_picture_with_transparency_becomes_a_sprite(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    stamp(tmp_path, "wide.png")
    stamp(tmp_path / "deep", "tall.png", (60, 90))
    tall, wide = load_transparent(tmp_path)
    assert wide.shape == (4, 128, 128)
    rows, columns = ((wide[3] > 127).any(axis).nonzero().flatten() for axis in (1, 0))
    assert 118 <= len(columns) <= 121, "fills the side but for the margin"
    assert abs(len(rows) / len(columns) - 60 / 90) < 0.03, "at its aspect"
    assert wide[:3, 64, 64].tolist() == [0, 0, 200], "RGB"
    assert (tall[3] > 127).any(1).sum() > (tall[3] > 127).any(0).sum()


def test_what_is_no_object_on_nothing_is_left_out(tmp_path: Path) -> None:
    stamp(tmp_path, "small.png", (20, 20))
    cv2.imwrite(str(tmp_path / "opaque.png"), np.full((80, 80, 3), 90, np.uint8))
    cv2.imwrite(str(tmp_path / "rectangle.png"), np.full((80, 80, 4), 255, np.uint8))
    cv2.imwrite(str(tmp_path / "nothing.png"), np.zeros((80, 80, 4), np.uint8))
    (tmp_path / "broken.png").write_bytes(b"no picture")
    with pytest.raises(FileNotFoundError, match=r"no cut-out in .* expected \.png or \.webp"):
        load_transparent(tmp_path)
    with pytest.raises(EngineError, match="no cut-out in"):
        gather(None, [], [tmp_path], None, seed=0)


def test_cutouts_come_from_files_and_folders_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = material.procedural_pictures
    monkeypatch.setattr(material, "procedural_pictures", lambda count, g: few(count // 50, g))
    stamp(tmp_path, "one.png")
    torch.save(torch.zeros(2, 4, 128, 128, dtype=torch.uint8), tmp_path / "cutouts.pt")
    gathered = gather(None, [], [tmp_path / "cutouts.pt", tmp_path], None, seed=0)
    assert gathered.cutouts is not None
    assert gathered.cutouts.shape == (3, 4, 128, 128)
