"""A request of any length runs in the same memory. The engine's own bound is tests/engine's; here it answers
at once. `livemask bench hour` measures a whole server over an hour of video.
"""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import av
import numpy as np
import pytest
from harness import write_clip
from weighing import END, followed

from signaling import videofile
from signaling.command import CommandError

BYTES_PER_FRAME = 128  # one small object more for each frame would be several times as much
SIZE = (64, 48)


def test_memory_does_not_grow_with_the_number_of_frames(tmp_path: Path) -> None:
    """In a process of its own: what else runs in this one allocates too."""
    clip = write_clip(tmp_path / "long.mp4", frames=END + 1, size=SIZE)
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as alone:
        frames, records, grown = alone.submit(followed, clip).result(timeout=300)
    assert frames == END + 1
    assert records is not None
    assert len(records.read_text().splitlines()) == END + 1
    assert grown < BYTES_PER_FRAME


def test_sound_without_pictures_is_not_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file whose first picture is far behind its sound must not be read into memory."""
    monkeypatch.setattr(videofile, "MAX_WAITING_BYTES", 4096)
    path = tmp_path / "late.mkv"
    with av.open(str(path), "w") as out:
        video, sound = out.add_stream("libx264", rate=10), out.add_stream("pcm_s16le", rate=16000)
        video.width, video.height, video.pix_fmt = *SIZE, "yuv420p"
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 64_000), np.int16), format="s16", layout="mono")
        silence.sample_rate, silence.pts = 16000, 0
        out.mux(sound.encode(silence))
        picture = av.VideoFrame.from_ndarray(np.zeros((SIZE[1], SIZE[0], 3), np.uint8), format="rgb24")
        picture.pts = 40
        out.mux(video.encode(picture))
        out.mux(video.encode(None))
    with pytest.raises(CommandError, match="no picture in it can be decoded"):
        videofile.VideoReader(path)
