"""`livemask track` on files that the tests make, through the real tracker with a tiny network."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from checkpoint import Checkpoint
from numpy.typing import NDArray
from PIL import Image

from engine.masks import rle_to_mask
from engine.models import load_model
from engine.tracker import Tracker
from engine.types import Box, Frame, Mask, Point, Points
from signaling.cli import main
from signaling.command import CommandError
from signaling.track import Mark, read_marks
from signaling.videofile import VideoPicture, VideoReader

FPS = 25


def scene(index: int, width: int, height: int) -> NDArray[np.uint8]:
    """A bright square that moves over a fixed texture, RGB."""
    rng = np.random.default_rng(3)
    picture = rng.integers(40, 90, (height, width, 3), dtype=np.uint8)
    left = 20 + 4 * index
    picture[30:70, left : left + 40] = (220, 180, 60)
    return picture


def write_clip(
    path: Path, frames: int = 8, width: int = 160, height: int = 120, sound: str | None = "aac"
) -> Path:
    """A clip with a tone, written with PyAV: H264 (4:4:4 where a side is odd) and `sound`."""
    with av.open(str(path), "w") as out:
        video = out.add_stream("libx264", rate=FPS, options={"crf": "10"})
        video.width, video.height = width, height
        video.pix_fmt = "yuv420p" if width % 2 == 0 and height % 2 == 0 else "yuv444p"
        audio = out.add_stream(sound, rate=48000, layout="mono") if sound else None
        for index in range(frames):
            frame = av.VideoFrame.from_ndarray(scene(index, width, height), format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, FPS)
            out.mux(video.encode(frame))
        out.mux(video.encode(None))
        if audio is not None:
            samples = frames * 48000 // FPS
            tone = (np.sin(np.arange(samples) * 0.06) * 9000).astype(np.int16)[None]
            frame = av.AudioFrame.from_ndarray(tone, format="s16", layout="mono")
            frame.sample_rate, frame.pts = 48000, 0
            for resampled in av.AudioResampler(audio.format, audio.layout, 48000, 1024).resample(frame):
                out.mux(audio.encode(resampled))
            out.mux(audio.encode(None))
    return path


def sound_packets(path: Path) -> list[bytes]:
    with av.open(str(path)) as container:
        return [bytes(p) for p in container.demux(container.streams.audio) if p.size]


def track(checkpoint: Checkpoint, *flags: object) -> int:
    model = ["--checkpoint", checkpoint.weights, "--config", checkpoint.config, "--device", "cpu"]
    return main(["track", *map(str, [*flags, *model, "--dtype", "float32"])])


def test_video_keeps_size_rate_length_and_sound(tiny_checkpoint: Checkpoint, tmp_path: Path) -> None:
    clip, out = write_clip(tmp_path / "in.mp4"), tmp_path / "out.mp4"
    assert track(tiny_checkpoint, clip, "--box", "20,30,60,70", "-o", out) == 0
    with VideoReader(clip) as before, VideoReader(out) as after:
        assert (after.width, after.height, after.fps) == (160, 120, FPS)
        times = [
            [float(item.pts * film.time_base) for item in film if isinstance(item, VideoPicture)]
            for film in (before, after)
        ]
    assert times[0] == pytest.approx(times[1], abs=1e-3)
    assert sound_packets(out) == sound_packets(clip)
    assert not list(tmp_path.glob(".*"))


def test_masks_are_those_of_the_tracker(tiny_checkpoint: Checkpoint, tmp_path: Path) -> None:
    clip, lines = write_clip(tmp_path / "in.mp4"), tmp_path / "masks.jsonl"
    flags = ["--start", 2, "--point", "40,50", "--point", "100,20,0", "--object", 5, "--box", "20,30,70,80"]
    assert track(tiny_checkpoint, clip, *flags, "--masks", lines) == 0
    records = [json.loads(line) for line in lines.read_text().splitlines()]
    assert [record["frame"] for record in records] == list(range(8))
    assert records[0]["objects"] == records[1]["objects"] == []

    model = load_model(
        checkpoint=tiny_checkpoint.weights, config=tiny_checkpoint.config, device="cpu", dtype=None
    )
    tracker = Tracker(model)
    clicks = Points(1, (Point(40 / 160, 50 / 120), Point(100 / 160, 20 / 120, False)))
    box = Box(5, 20 / 160, 30 / 120, 70 / 160, 80 / 120)
    with VideoReader(clip) as film:
        pictures = [item.image for item in film if isinstance(item, VideoPicture)]
    for index in range(2, 8):
        expected = tracker.step(Frame(index, pictures[index]), [clicks, box] if index == 2 else [])
        for found, record in zip(expected.objects, records[index]["objects"], strict=True):
            assert record["object_id"] == found.object_id
            assert record["state"] == found.state
            assert record["score"] == pytest.approx(found.score, abs=1e-3)
            assert record["rle"]["size"] == [120, 160]
            assert (rle_to_mask(record["rle"]) == found.mask).mean() > 0.999
            if found.box is None:
                assert record["box"] is None
            else:
                assert record["box"] == pytest.approx(found.box, abs=1e-2)


def test_what_is_drawn_is_where_the_mask_is(tiny_checkpoint: Checkpoint, tmp_path: Path) -> None:
    clip, out, lines = write_clip(tmp_path / "in.mp4"), tmp_path / "out.mp4", tmp_path / "masks.jsonl"
    flags = ["--box", "20,30,60,70", "--mode", "mask", "-o", out, "--masks", lines]
    assert track(tiny_checkpoint, clip, *flags) == 0
    records = [json.loads(line) for line in lines.read_text().splitlines()]
    with VideoReader(out) as film:
        pictures = [item.image[:120] for item in film if isinstance(item, VideoPicture)]
    agree = [
        np.mean((luma > 40) == rle_to_mask(record["objects"][0]["rle"]))
        for luma, record in zip(pictures, records, strict=True)
    ]
    assert min(agree) > 0.95
    assert any(record["objects"][0]["box"] for record in records)


@pytest.mark.parametrize(
    ("name", "size", "sound"),
    [
        ("odd.mp4", (161, 121), None),
        ("opus.webm", (160, 120), "libopus"),
        ("pcm.mkv", (160, 120), "pcm_s16le"),
    ],
)
def test_other_sizes_and_containers(
    tiny_checkpoint: Checkpoint, tmp_path: Path, name: str, size: tuple[int, int], sound: str | None
) -> None:
    clip = write_clip(tmp_path / f"in-{Path(name).stem}.mkv", 3, *size, sound=sound)
    out = tmp_path / name
    assert track(tiny_checkpoint, clip, "--point", "40,50", "-o", out) == 0
    with VideoReader(out) as film:
        assert (film.width, film.height) == size
        assert sum(isinstance(item, VideoPicture) for item in film) == 3
    if sound:
        assert sound_packets(out) == sound_packets(clip)


def test_a_film_shot_upright_is_tracked_upright(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "lying.mp4", 2, sound=None)
    turned = tmp_path / "upright.mp4"
    with av.open(str(clip)) as source, av.open(str(turned), "w") as out:
        stream = out.add_stream_from_template(source.streams.video[0])
        stream.set_display_rotation(90) if hasattr(stream, "set_display_rotation") else pytest.skip("PyAV")
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                out.mux(packet)
    with VideoReader(turned) as film:
        assert (film.width, film.height) == (120, 160)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ((), "nothing to follow"),
        (("--point", "40"), "--point: expected X,Y or X,Y,LABEL, got '40'"),
        (("--point", "a,b"), "--point: expected X,Y"),
        (("--point", "nan,4"), "outside the picture"),
        (("--point", "40,50,2"), "expected label 1 (include) or 0 (exclude), got '2'"),
        (("--point", "161,50"), "outside the picture, which has 160x120 pixels"),
        (("--box", "10,10,20"), "--box: expected X0,Y0,X1,Y1"),
        (("--box", "20,10,10,20"), "expected X0 < X1"),
        (("--box", "1,1,9,9", "--box", "2,2,8,8"), "expected one --box or --mask, got 2"),
        (("--mask", "nowhere.png"), "--mask nowhere.png: cannot be read"),
        (("--point", "4,4", "--start", "-1"), "--start: expected 0 or more"),
        (("--point", "4,4", "--start", "8"), "the video has only 8 frames"),
        (("--point", "4,4", "--model", "huge"), "no model 'huge'"),
        (("--point", "4,4", "--device", "abacus"), "no device 'abacus'"),
        (("--point", "4,4", "--dtype", "int3"), "dtype: expected float32 or bfloat16"),
    ],
)
def test_mistakes_are_named_and_leave_no_file(
    tiny_checkpoint: Checkpoint,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    flags: tuple[str, ...],
    said: str,
) -> None:
    clip, out = write_clip(tmp_path / "in.mp4"), tmp_path / "out.mp4"
    model = ["--checkpoint", str(tiny_checkpoint.weights), "--config", str(tiny_checkpoint.config)]
    chosen = [] if "--model" in flags else model
    assert main(["track", str(clip), "-o", str(out), *chosen, *flags]) == 2
    assert said in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["in.mp4"]


@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "no such file"), (b"not a film at all", "not a media file"), (b"", "not a media")],
)
def test_bad_inputs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes | None, said: str
) -> None:
    path = tmp_path / "in.mp4"
    if content is not None:
        path.write_bytes(content)
    assert main(["track", str(path), "--point", "1,1", "-o", str(tmp_path / "out.mp4")]) == 2
    assert said in capsys.readouterr().err


def test_sound_only_is_no_video(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "sound.wav"
    with av.open(str(path), "w") as out:
        audio = out.add_stream("pcm_s16le", rate=8000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        frame.sample_rate = 8000
        out.mux(audio.encode(frame))
    assert main(["track", str(path), "--point", "1,1", "-o", str(tmp_path / "out.mp4")]) == 2
    assert "has no video stream" in capsys.readouterr().err


def test_nothing_to_write(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["track", str(tmp_path / "in.mp4"), "--point", "1,1"]) == 2
    assert "nothing to write" in capsys.readouterr().err


def test_sound_that_the_container_cannot_hold(
    tiny_checkpoint: Checkpoint, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clip = write_clip(tmp_path / "in.mp4", 2)
    assert track(tiny_checkpoint, clip, "--point", "40,50", "-o", tmp_path / "out.webm") == 2
    assert ".mkv holds anything" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["in.mp4"]


def test_marks_become_prompts_of_their_objects(tmp_path: Path) -> None:
    white = np.zeros((6, 8), np.uint8)
    white[1:3, 2:5] = 255
    Image.fromarray(white).save(tmp_path / "mask.png")
    marks = [
        Mark(1, "point", "80,30"),
        Mark(2, "box", "0,0,160,60"),
        Mark(2, "point", "16,12,0"),
        Mark(1, "point", "0,120,0"),
        Mark(3, "mask", str(tmp_path / "mask.png")),
    ]
    clicks, box, mask = read_marks(marks, 160, 120)
    assert clicks == Points(1, (Point(0.5, 0.25), Point(0.0, 1.0, False)))
    assert box == Box(2, 0.0, 0.0, 1.0, 0.5, (Point(0.1, 0.1, False),))
    assert isinstance(mask, Mask)
    assert (mask.object_id, int(mask.mask.sum())) == (3, 6)


def test_an_empty_mask_is_refused(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(tmp_path / "black.png")
    with pytest.raises(CommandError, match="nothing in it is white"):
        read_marks([Mark(1, "mask", str(tmp_path / "black.png"))], 160, 120)
