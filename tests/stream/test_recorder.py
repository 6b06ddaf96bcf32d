"""Recordings: whole ones, and those that something put an end to."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import av
import numpy as np

from engine.types import Frame, MaskSet
from stream.outputs.output import Shown
from stream.outputs.recorder import Recorder
from stream.wire import Message


def shown(index: int, size: tuple[int, int] = (64, 48), noise: bool = False, slate: bool = False) -> Shown:
    width, height = size
    random = np.random.default_rng(index)
    image = (
        random.integers(16, 235, (height * 3 // 2, width), np.uint8)
        if noise
        else np.full((height * 3 // 2, width), 40 + index, np.uint8)
    )
    frame = Frame(index, image, pts=index / 10)
    result = None if slate else {"type": "result", "frame_index": index, "objects": []}
    return Shown(frame, MaskSet(index, ()), image, result, None)


async def written(recorder: Recorder, frames: int) -> None:
    async with asyncio.timeout(30):
        while recorder.frames < frames and recorder.ended is None:  # noqa: ASYNC110 (a thread writes)
            await asyncio.sleep(0.01)


def lines(stem: Path) -> list[Message]:
    return [json.loads(line) for line in stem.with_name(f"{stem.name}.jsonl").read_text().splitlines()]


def pictures(path: Path) -> list[float]:
    """Seconds of every picture that can be decoded."""
    found = []
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            found.append(round(float(frame.time or 0), 3))
    return found


async def test_a_change_of_size_begins_a_part_and_slates_are_left_out(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "a")
    for index in range(3):
        recorder.put(shown(index))
    recorder.put(shown(2, slate=True))
    for index in range(3, 5):
        recorder.put(shown(index, (96, 64)))
    recorder.close()
    await recorder.finished()
    assert recorder.ended == "stopped"
    assert pictures(tmp_path / "a.mp4") == [0.0, 0.1, 0.2]
    assert pictures(tmp_path / "a-2.mp4") == [0.0, 0.1]
    videos = [(line["frame_index"], line["video"]) for line in lines(recorder.stem)]
    places = [(index, video["part"], video["frame"]) for index, video in videos]
    assert places == [(0, 1, 0), (1, 1, 1), (2, 1, 2), (3, 2, 0), (4, 2, 1)]


async def test_what_was_written_plays_after_a_crash(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "a")
    for index in range(100):
        recorder.put(shown(index))
        await written(recorder, index + 1)
    left = tmp_path / "left.mp4"
    left.write_bytes((tmp_path / "a.mp4").read_bytes())  # as a power cut leaves it
    seen = len(lines(recorder.stem))
    recorder.close()
    await recorder.finished()
    playable = pictures(left)
    assert len(playable) >= 88  # ten a second: all but the last second, and what ends it
    assert seen == 100


async def test_a_full_disk_ends_the_recording_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").symlink_to("/dev/full")
    told: list[Recorder] = []
    recorder = Recorder(tmp_path / "a", told.append)
    for index in range(3):
        recorder.put(shown(index, (320, 240), noise=True))
    await asyncio.wait_for(recorder.finished(), 30)
    assert told == [recorder]
    assert recorder.ended == "No space left on device"
    recorder.put(shown(9))  # a session that has not heard of it yet
    assert recorder.snapshot()["dropped"] == 0
