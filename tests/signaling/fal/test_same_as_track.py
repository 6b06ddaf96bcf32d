"""Requests beside `livemask track`: masks are the same to the byte; pictures, times and sound the same."""

from __future__ import annotations

import json
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np
import pytest
from checkpoint import Checkpoint
from harness import FRAMES, SIZE, Server, fetch, pictures
from numpy.typing import NDArray
from PIL import Image
from test_video import MARKS, data_uri, run, upload

from engine.masks import mask_box, mask_to_fal_rle, rle_to_mask
from signaling import videofile
from signaling.cli import main

APP = "fal-ai/sam-3/video-rle"
MARK_FLAGS = ("--point", "40,50", "--point", "5,5,0", "--object", "2", "--box", "60,60,100,110")


class Tracked(NamedTuple):
    """What the command made."""

    video: Path
    lines: list[dict[str, Any]]

    @property
    def rle(self) -> list[str]:
        """The run lengths of everything that is seen on each frame."""
        return [mask_to_fal_rle(union) if union.any() else "" for union in self.unions()]

    def unions(self) -> list[NDArray[np.bool_]]:
        height, width = next(each["rle"]["size"] for line in self.lines for each in line["objects"])
        nothing = np.zeros((height, width), bool)
        return [
            np.logical_or.reduce([nothing, *(rle_to_mask(found["rle"]) for found in line["objects"])])
            for line in self.lines
        ]


def track(checkpoint: Checkpoint, clip: Path, folder: Path, *flags: str) -> Tracked:
    out, masks = folder / "tracked.mp4", folder / "masks.jsonl"
    model = ["--checkpoint", str(checkpoint.weights), "--config", str(checkpoint.config), "--device", "cpu"]
    assert main(["track", str(clip), *flags, "-o", str(out), "--masks", str(masks), *model]) == 0
    return Tracked(out, [json.loads(line) for line in masks.read_text().splitlines()])


def times(path: Path) -> list[Fraction]:
    """When each picture is shown, in seconds."""
    with av.open(str(path)) as film:
        return [frame.pts * frame.time_base for frame in film.decode(video=0)]


@pytest.fixture
def one_encoder_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """With more of them and AVX-512, x264 codes the same narrow pictures a little differently each time."""
    codec, options = videofile.H264
    monkeypatch.setattr(videofile, "H264", (codec, {**options, "threads": "1"}))


@pytest.mark.usefixtures("one_encoder_thread")
def test_video_and_masks(server: Server, clip: Path, tiny_checkpoint: Checkpoint, tmp_path: Path) -> None:
    known = track(tiny_checkpoint, clip, tmp_path, *MARK_FLAGS)
    url = upload(server, clip, "video/mp4")
    out = run(server, APP, video_url=url, apply_mask=True, **MARKS)
    assert out["rle"] == known.rle
    assert any(known.rle)
    made = tmp_path / "made.mp4"
    made.write_bytes(fetch(out["video"]["url"]))
    for here, there in zip(pictures(made), pictures(known.video), strict=True):
        assert (here == there).all()
    with av.open(str(made)) as one, av.open(str(known.video)) as other:
        assert len(one.streams.audio) == len(other.streams.audio) == 1


def test_prompts_and_a_mask_on_a_later_frame(
    server: Server, clip: Path, tiny_checkpoint: Checkpoint, tmp_path: Path
) -> None:
    """The mask is of the first object that no prompt names."""
    white = np.zeros((SIZE[1], SIZE[0]), np.uint8)
    white[30:70, 30:70] = 255
    Image.fromarray(white).save(tmp_path / "mask.png")
    flags = ["--start", "3", "--mask", str(tmp_path / "mask.png"), "--object", "7", "--point", "120,100"]
    flags += ["--point", "5,5,0", "--object", "4", "--box", "60,60,100,110", "--point", "80,80"]
    known = track(tiny_checkpoint, clip, tmp_path, *flags)
    assert {found["object_id"] for found in known.lines[-1]["objects"]} == {1, 4, 7}
    out = run(
        server,
        APP,
        video_url=upload(server, clip, "video/mp4"),
        mask_url=data_uri(white),
        frame_index=3,
        point_prompts=[
            {"x": 120, "y": 100, "object_id": 7, "frame_index": 3},
            {"x": 5, "y": 5, "label": 0, "object_id": 7, "frame_index": 3},
            {"x": 80, "y": 80, "label": "1", "object_id": 4, "frame_index": 3},
        ],
        box_prompts=[
            {"x_min": 60, "y_min": 60, "x_max": 100, "y_max": 110, "object_id": 4, "frame_index": 3}
        ],
    )
    assert out["rle"] == known.rle
    assert [bool(text) for text in out["rle"]] == [False] * 3 + [True] * (FRAMES - 3)
    for box, union in zip(out["boxes"], known.unions(), strict=True):
        assert box == pytest.approx(mask_box(union) or (), abs=1e-6)
    for score, line in zip(out["scores"], known.lines, strict=True):
        seen = [found["score"] for found in line["objects"] if found["box"]]
        assert score == max(seen, default=0)


def write_film(path: Path, rate: Fraction, size: tuple[int, int], at: Sequence[int], turned: int = 0) -> Path:
    """A moving square, shown at the ticks `at` of `rate`, to be turned by so many degrees."""
    width, height = size
    upright = path.with_stem("upright") if turned else path
    with av.open(str(upright), "w") as out:
        video = out.add_stream("libx264", rate=rate)
        video.width, video.height = width, height
        video.pix_fmt = "yuv420p" if width % 2 == 0 and height % 2 == 0 else "yuv444p"
        texture = np.random.default_rng(5).integers(60, 120, (height, width, 3), np.uint8)
        for index, tick in enumerate(at):
            picture = texture.copy()
            picture[30:70, 20 + 4 * index : 60 + 4 * index] = (220, 40, 60)
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = tick, 1 / rate
            out.mux(video.encode(frame))
        out.mux(video.encode(None))
    if turned:
        with av.open(str(upright)) as source, av.open(str(path), "w") as out:
            stream = out.add_stream_from_template(source.streams.video[0])
            stream.set_display_rotation(turned)
            for packet in source.demux(video=0):
                if packet.dts is not None:
                    packet.stream = stream
                    out.mux(packet)
    return path


def both(server: Server, checkpoint: Checkpoint, film: Path, folder: Path) -> tuple[Path, Tracked]:
    """The video of a request, and what the command makes of the same click; their masks are the same."""
    known = track(checkpoint, film, folder, "--point", "40,50")
    url = upload(server, film, "video/mp4")
    out = run(server, APP, video_url=url, apply_mask=True, prompts=[{"x": 40, "y": 50}])
    made = folder / "made.mp4"
    made.write_bytes(fetch(out["video"]["url"]))
    assert out["rle"] == known.rle
    assert times(made) == times(known.video)
    return made, known


@pytest.mark.parametrize(
    ("rate", "size", "turned", "shown"),
    [
        pytest.param("30000/1001", (160, 120), 0, (160, 120), id="29.97 a second"),
        pytest.param("25/2", (160, 120), 0, (160, 120), id="12.5 a second"),
        pytest.param("30000/1001", (161, 121), 0, (161, 121), id="both sides odd"),
        pytest.param("25", (162, 119), 0, (162, 119), id="one side odd"),
        pytest.param("24000/1001", (160, 120), 90, (120, 160), id="held upright"),
        pytest.param("25", (161, 121), -90, (121, 161), id="odd and turned"),
    ],
)
def test_size_and_rate_are_those_of_the_source(
    server: Server,
    tiny_checkpoint: Checkpoint,
    tmp_path: Path,
    rate: str,
    size: tuple[int, int],
    turned: int,
    shown: tuple[int, int],
) -> None:
    film = write_film(tmp_path / "film.mp4", Fraction(rate), size, range(4), turned)
    made, known = both(server, tiny_checkpoint, film, tmp_path)
    assert known.lines[0]["objects"][0]["rle"]["size"] == [shown[1], shown[0]]
    assert {picture.shape for picture in pictures(made)} == {(shown[1], shown[0], 3)}
    assert times(made) == pytest.approx(times(film), abs=1e-4)
    with av.open(str(made)) as video:
        assert video.streams.video[0].average_rate == Fraction(rate)


def test_pictures_at_uneven_times_keep_them(
    server: Server, tiny_checkpoint: Checkpoint, tmp_path: Path
) -> None:
    film = write_film(tmp_path / "film.mp4", Fraction(30), SIZE, (0, 1, 5, 6, 20, 21))
    made, _ = both(server, tiny_checkpoint, film, tmp_path)
    assert times(made) == pytest.approx([tick / 30 for tick in (0, 1, 5, 6, 20, 21)], abs=1e-4)
