"""`livemask demo` whole: a real server process, a real session, and what it leaves behind."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from checkpoint import Checkpoint
from PIL import Image

from engine.synthetic import SyntheticClip
from signaling.cli import main


def model_flags(checkpoint: Checkpoint) -> list[str]:
    return ["--checkpoint", str(checkpoint.weights), "--config", str(checkpoint.config), "--device", "cpu"]


def film(path: Path, frames: int) -> None:
    clip = SyntheticClip(320, 240)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", Fraction(30))
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        for i in range(frames):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(clip.frame(i)[0], format="rgb24")))
        container.mux(stream.encode(None))


def frames_of(path: Path) -> int:
    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(video=0))


def test_the_built_in_clip_is_played_measured_and_shown(tmp_path: Path, tiny_checkpoint: Checkpoint) -> None:
    assert main(["demo", "--seconds", "1.5", "--out", str(tmp_path), *model_flags(tiny_checkpoint)]) == 0
    report = json.loads((tmp_path / "report.json").read_text())
    assert (report["width"], report["height"], report["model"]) == (640, 480, "tiny")
    assert 1 <= report["frames_out"] <= report["frames_in"] <= 45
    assert report["frames_dropped"] == report["frames_in"] - report["frames_out"]
    assert 0 < report["latency_p50"] <= report["latency_p95"] <= report["latency_max"]
    assert set(report["click_to_mask"]) == {"1", "2", "3", "4"}
    assert all(0 < ms for ms in report["click_to_mask"].values())
    assert [each["object_id"] for each in report["objects"]] == [1, 2, 3, 4]
    assert 0 <= report["mean_iou"] <= 1
    assert frames_of(tmp_path / "out.mp4") == report["frames_out"]
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.width > 4 * 400, "camera, masked video, masks and truth side by side"


def test_any_video_is_played_without_truth(tmp_path: Path, tiny_checkpoint: Checkpoint) -> None:
    film(tmp_path / "film.mp4", 30)
    out = tmp_path / "out"
    flags = ["--clip", str(tmp_path / "film.mp4"), "--box", "20,30,90,100", "--mode", "cutout"]
    assert main(["demo", *flags, "--out", str(out), *model_flags(tiny_checkpoint)]) == 0
    report = json.loads((out / "report.json").read_text())
    assert (report["source"], report["width"], report["frames_in"] <= 30) == ("film.mp4", 320, True)
    assert (report["mean_iou"], report["objects"]) == (None, [])
    with Image.open(out / "sheet.png") as sheet:
        assert 3 * 400 < sheet.width < 4 * 400
        # What is outside the masks is black in a cutout: the masked video is darker than the camera's.
        pixels = np.asarray(sheet.convert("L"), float)[60:300]
        assert pixels[:, 420:800].mean() < 0.8 * pixels[:, 12:392].mean()


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        (["--box", "1,2,3,4"], "go with --clip"),
        (["--clip", "missing.mp4", "--box", "1,2,3,4"], "no such file"),
        (["--clip", "missing.mp4", "--box", "1,2,3"], "expected 4 numbers"),
        (["--clip", "missing.mp4", "--point", "1;2"], "expected 2 numbers"),
    ],
)
def test_mistakes_are_told_before_anything_starts(
    flags: list[str], reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["demo", "--out", str(tmp_path / "out"), *flags]) == 2
    assert reason in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_server_that_does_not_come_up_is_told_with_its_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["--seconds", "0.1", "--checkpoint", "none.pt", "--config", "configs/sam2.1/sam2.1_hiera_t.yaml"]
    assert main(["demo", "--out", str(tmp_path), *flags]) == 2
    assert "none.pt" in capsys.readouterr().err
