"""Objects found without annotation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from crossing import FRAMES, frame

from engine.training.discover import Rules, discover, main
from engine.training.footage import play
from engine.training.material import load_reels
from engine.training.motion import camera, flow
from engine.training.textures import PICTURE


def test_what_moves_against_the_camera_is_found_with_its_outline(clips: Path) -> None:
    found = list(discover(list(play(clips / "crossing.mkv", PICTURE)), Rules(step=6)))
    truths = [np.kron(frame(t)[1], np.ones((2, 2), np.bool_)) for t in range(FRAMES)]
    overlaps = [max((m & t).sum() / (m | t).sum() for t in truths) for _, m in found]
    assert overlaps
    assert max(overlaps) > 0.85


def test_a_flat_picture_holds_no_object() -> None:
    grey = np.full((144, 256, 3), 120, np.uint8)
    assert not list(discover([grey] * FRAMES, Rules()))


def test_the_cameras_motion_is_taken_from_the_flow() -> None:
    first, disc = frame(4)
    second, _ = frame(7)
    motion = flow(first, second)
    pan = camera(motion)
    assert np.median(pan[..., 0]) == pytest.approx(-3, abs=0.5)
    residual = np.linalg.norm(motion - pan, axis=2)
    assert np.median(residual[disc]) > 3
    assert np.median(residual[~disc]) < 0.5


def test_a_folder_becomes_files(clips: Path, tmp_path: Path) -> None:
    main([str(clips), "--every", "12", "--out", str(tmp_path)])
    sprites = torch.load(tmp_path / "cutouts.pt", weights_only=True)
    assert len(sprites) == len(load_reels(tmp_path / "reels.pt").runs) > 0


def test_nothing_to_search_is_said(clips: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no object found in the 0 videos"):
        main([str(clips), "--exclude", "crossing", "--out", str(tmp_path)])
