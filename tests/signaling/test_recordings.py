"""Recordings of a real server process: what a kill and a full disk leave."""

from __future__ import annotations

import json
import resource
import signal
from pathlib import Path

import av
import httpx
import numpy as np
from checkpoint import Checkpoint
from players import CLICK
from pycocotools.coco import COCO
from signaling_service import until
from test_serve import address, served, tiny

from stream.outputs.coco import coco
from stream.wire import Message

FRAGMENT = 1.0
FULL = 600_000  # bytes: some fragments


class Recorded:
    """A session on the built-in clip that a server process records."""

    def __init__(self, http: httpx.Client) -> None:
        self._http = http
        answer = http.post("/sessions", json={"source": "sample", "rle": False})
        assert answer.status_code == 201, answer.text
        self.path = f"/sessions/{answer.json()['id']}"
        assert http.post(f"{self.path}/prompts", json=CLICK).status_code == 200
        self.name = self.ask("POST").json()["name"]

    def ask(self, method: str) -> httpx.Response:
        """Begin, show or end its recording."""
        return self._http.request(method, f"{self.path}/recording")

    def now(self) -> Message:
        return dict(self.ask("GET").json())

    def session(self) -> Message:
        return dict(self._http.get(self.path).json())


def times(path: Path) -> list[float]:
    """Seconds of every picture; there is none that cannot be decoded."""
    with av.open(str(path)) as container:
        return [float(frame.time or 0) for frame in container.decode(video=0)]


def records(path: Path) -> list[Message]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def check_alignment(folder: Path, name: str) -> None:
    """Picture n is line n and image n; of pictures no more than a fragment is missing."""
    seen, lines = times(folder / f"{name}.mp4"), records(folder / f"{name}.jsonl")
    expected = [line["video"]["time"] for line in lines]
    assert [line["video"]["frame"] for line in lines] == list(range(len(lines)))
    assert len(seen) <= len(lines)
    assert np.abs(np.subtract(seen, expected[: len(seen)])).max() < 1e-3
    pause = float(np.diff(expected).max())
    assert expected[-1] - seen[-1] <= FRAGMENT + 2 * pause
    (folder / "coco.json").write_text("".join(coco(folder / f"{name}.jsonl")))
    known = COCO(str(folder / "coco.json"))
    assert [each["time"] for each in known.loadImgs(range(1, len(lines) + 1))] == expected
    assert {each["track_id"] for each in known.anns.values()} <= {5}
    assert all(known.annToMask(each).sum() == each["area"] > 0 for each in known.anns.values())
    assert len(known.anns) == sum(found["box"] is not None for line in lines for found in line["objects"])


async def test_what_was_recorded_plays_after_the_server_was_killed(
    tiny_checkpoint: Checkpoint, tmp_path: Path
) -> None:
    with served(*tiny(tiny_checkpoint), "--recordings-dir", tmp_path) as process:
        with httpx.Client(base_url=address(process), timeout=30, trust_env=False) as http:
            recorded = Recorded(http)
            video = tmp_path / f"{recorded.name}.mp4"
            await until(lambda: recorded.now()["frames"] >= 40 and video.stat().st_size > 20_000, 90)
            process.send_signal(signal.SIGKILL)
            process.communicate(timeout=20)
    assert process.returncode == -signal.SIGKILL
    assert len(times(video)) >= 10
    check_alignment(tmp_path, recorded.name)


async def test_a_full_disk_ends_the_recording_and_the_session_goes_on(
    tiny_checkpoint: Checkpoint, tmp_path: Path
) -> None:
    with served(*tiny(tiny_checkpoint), "--recordings-dir", tmp_path) as process:
        with httpx.Client(base_url=address(process), timeout=30, trust_env=False) as http:
            # No file may grow further: the system's answer is another errno than that of a full disk.
            resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (FULL, FULL))
            recorded = Recorded(http)
            await until(lambda: recorded.now()["ended"], 120, recorded.now)
            assert recorded.now()["ended"] == "File too large"
            stopped = recorded.ask("DELETE")
            assert stopped.status_code == 404
            assert "File too large" in stopped.json()["detail"]
            before = recorded.session()["stats"]["frames_model"]
            await until(lambda: recorded.session()["stats"]["frames_model"] >= before + 5, 60)
            assert recorded.ask("POST").status_code == 201  # there is room again, in a file of its own
            assert (tmp_path / f"{recorded.name}.mp4").stat().st_size <= FULL
            assert recorded.ask("DELETE").json()["ended"] == "stopped"
    check_alignment(tmp_path, recorded.name)
