import asyncio
import time
from pathlib import Path

import av
import numpy as np
import pytest
from scene import Camera, Scene

from stream.picture import CUDA, SOFTWARE, Picture
from stream.sources.file import FileSource
from stream.sources.reader import decoder_of
from stream.sources.source import Source
from stream.sources.synthetic import SyntheticSource
from stream.sources.webrtc import WebRTCSource


@pytest.mark.parametrize(
    ("hardware", "form", "decoder"),
    [(True, "nv12", CUDA), (True, "p010le", CUDA), (True, "yuv420p", SOFTWARE), (False, "nv12", SOFTWARE)],
)
def test_a_fall_back_to_software_is_seen_in_the_picture(hardware: bool, form: str, decoder: str) -> None:
    assert decoder_of(av.VideoFrame(64, 48, form), hardware) == decoder


async def take(source: Source, count: int) -> list[Picture]:
    """The first `count` pictures, or all there are."""
    taken: list[Picture] = []
    frames = source.frames()
    try:
        async with asyncio.timeout(20):
            async for picture in frames:
                taken.append(picture)
                if len(taken) == count:
                    break
    finally:
        await frames.aclose()  # type: ignore[attr-defined]
        await source.close()
    return taken


def write_clip(path: Path, frames: int, rate: int, scene: Scene) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=rate)
        stream.width, stream.height, stream.pix_fmt = scene.width, scene.height, "yuv420p"
        for i in range(frames):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(scene.paint(i), format="rgb24")))
        container.mux(stream.encode(None))
    return path


async def test_a_track_gives_its_frames_with_its_clock_until_it_ends() -> None:
    camera = Camera(Scene(), fps=100)
    source = WebRTCSource(camera)
    pictures = await take(source, 4)
    assert [picture.pts for picture in pictures] == [0.0, 0.01, 0.02, 0.03]
    assert [picture.captured_at for picture in pictures] == sorted(
        picture.captured_at for picture in pictures
    )
    assert camera.readyState == "ended"
    assert await take(WebRTCSource(camera), 1) == []


async def test_a_synthetic_source_keeps_the_pace_of_a_camera() -> None:
    started = time.monotonic()
    pictures = await take(SyntheticSource(Scene().paint, fps=50, count=11), 100)
    elapsed = time.monotonic() - started
    assert elapsed >= 0.2
    assert pictures[-1].pts == 0.2
    times = [picture.captured_at - started for picture in pictures]
    assert all(moment >= (picture.pts or 0) for moment, picture in zip(times, pictures, strict=True))


async def test_a_synthetic_source_that_is_late_leaves_frames_out() -> None:
    def slow(index: int) -> np.ndarray:
        time.sleep(0.05)
        return Scene().paint(index)

    pictures = await take(SyntheticSource(slow, fps=100, count=40), 100)
    assert len(pictures) < 20
    assert [picture.pts for picture in pictures] == sorted({picture.pts for picture in pictures})


@pytest.mark.parametrize("kind", ["synthetic", "file"])
async def test_closing_wakes_a_source_that_waits_for_its_next_frame(kind: str, tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", 5, 1, Scene())
    source: Source = FileSource(clip) if kind == "file" else SyntheticSource(Scene().paint, fps=0.5)
    started, count = time.monotonic(), 0
    async for _ in source.frames():
        count += 1
        asyncio.get_running_loop().call_later(0.05, lambda: asyncio.ensure_future(source.close()))
    assert count <= 2
    assert time.monotonic() - started < 1


async def test_a_file_plays_at_its_own_pace_and_ends(tmp_path: Path) -> None:
    scene = Scene(speed=5)
    started = time.monotonic()
    pictures = await take(FileSource(write_clip(tmp_path / "clip.mp4", 12, 40, scene)), 100)
    assert time.monotonic() - started >= 11 / 40
    assert [round((picture.pts or 0) * 40) for picture in pictures] == list(range(12))
    shown = pictures[7].video.to_ndarray(format="rgb24").astype(int)
    assert np.abs(shown - scene.paint(7)).mean() < 6


async def test_a_looping_file_goes_on_with_rising_times(tmp_path: Path) -> None:
    pictures = await take(FileSource(write_clip(tmp_path / "clip.mp4", 4, 100, Scene()), loop=True), 10)
    assert [round((picture.pts or 0) * 100) for picture in pictures] == list(range(10))


async def test_a_film_held_sideways_comes_out_upright(tmp_path: Path) -> None:
    scene, path = Scene(64, 48), tmp_path / "clip.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=30)
        stream.width, stream.height, stream.pix_fmt = 48, 64, "yuv420p"
        stream.set_display_rotation(90)
        sideways = np.ascontiguousarray(np.rot90(scene.paint(0), -1))
        container.mux(stream.encode(av.VideoFrame.from_ndarray(sideways, format="rgb24")))
        container.mux(stream.encode(None))
    (picture,) = await take(FileSource(path), 5)
    image = picture.i420()
    assert image.shape == (72, 64)
    shown = av.VideoFrame.from_ndarray(image, format="yuv420p").to_ndarray(format="rgb24").astype(int)
    assert np.abs(shown - scene.paint(0)).mean() < 12


@pytest.mark.parametrize("content", [None, b"", b"not a video"])
async def test_a_file_that_is_none_raises(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises((av.FFmpegError, OSError)):
        await take(FileSource(path), 1)


async def test_a_file_without_video_raises(tmp_path: Path) -> None:
    path = tmp_path / "sound.wav"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        sound.sample_rate = 8000
        container.mux(stream.encode(sound))
        container.mux(stream.encode(None))
    with pytest.raises((av.FFmpegError, IndexError, ValueError)):
        await take(FileSource(path), 1)
