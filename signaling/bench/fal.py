"""The fal-compatible API's rows: requests of a whole clip beside `livemask track`, and live round trips.

A real server process; its clients share the machine with it.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import av
import msgpack
import numpy as np
from PIL import Image
from websockets.asyncio.client import ClientConnection, connect

from engine.synthetic import SyntheticClip
from signaling.bench.command import numbers
from signaling.command import CommandError
from signaling.serverprocess import get_json, server_process

Clicks = list[dict[str, Any]]

APP = "fal-ai/sam2/video"
LIVE_APP = "fal-ai/sam-3/video-rle"
CLIP_SIZE = (1280, 720)
LIVE_SIZE = (640, 480)
LIVE_PICTURES = 60
POLL_SECONDS = 0.1
HEADER = ("what", "picture", "at once", "per minute", "pictures/s each", "p50 ms", "p95 ms")


def measure(arguments: argparse.Namespace) -> tuple[Sequence[str], list[Sequence[str]]]:
    """The header and the rows; all of them from one server, the command's own after it has ended.

    Raises:
        CommandError: a flag that cannot be used, or a request that failed.
    """
    counts = numbers(arguments.connections, "--connections")
    (jobs,) = numbers(str(arguments.jobs), "--jobs")
    model = ["--model", arguments.model, "--device", arguments.device]
    with tempfile.TemporaryDirectory() as folder:
        clip, first = Path(folder, "clip.mp4"), Path(folder, "first.mp4")
        frames = write_clip(clip, arguments.clip_seconds)
        write_clip(first, 0)
        with server_process(model) as url:
            print(f"{jobs} requests of {frames} frames ...", flush=True)
            _run_jobs(url, first, 1)  # the first use of the engine is slower
            rows = [_job_row("request", jobs, frames, _run_jobs(url, clip, jobs))]
            for count in counts:
                print(f"{count} realtime connections ...", flush=True)
                rows.append(_live_row(asyncio.run(_live(url, count, arguments.live_seconds))))
        print("livemask track ...", flush=True)
        loading = _track(first, model)
        rows.insert(
            1, _job_row("livemask track, without its start", 1, frames, _track(clip, model) - loading)
        )
    return HEADER, rows


def write_clip(path: Path, seconds: float) -> int:
    """The beginning of the built-in clip as H264 in MP4, one frame at least; gives the number of frames."""
    clip = _scene(CLIP_SIZE)
    frames = max(round(seconds * clip.fps), 1)
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=round(clip.fps), options={"preset": "fast"})
        stream.width, stream.height = CLIP_SIZE
        stream.pix_fmt = "yuv420p"
        for index in range(frames):
            out.mux(stream.encode(av.VideoFrame.from_ndarray(clip.frame(index)[0], format="rgb24")))
        out.mux(stream.encode(None))
    return frames


def clicks(size: tuple[int, int]) -> Clicks:
    """A click on the clip's first object, on its first frame."""
    object_id, (_, x, y) = next(iter(_scene(size).clicks().items()))
    return [{"object_id": object_id, "x": round(x * size[0]), "y": round(y * size[1]), "label": 1}]


@cache
def _scene(size: tuple[int, int]) -> SyntheticClip:
    """The built-in clip; painting its surfaces takes seconds at 1280x720."""
    return SyntheticClip(*size)


def _run_jobs(url: str, clip: Path, jobs: int) -> float:
    """Seconds from the first request to the end of the last; the upload is not in them."""
    place = call(
        f"{url}/rest/storage/upload/initiate", {"content_type": "video/mp4", "file_name": "clip.mp4"}
    )
    put(place["upload_url"], clip)
    asked = {"video_url": place["file_url"], "prompts": clicks(CLIP_SIZE), "apply_mask": True}
    began = time.monotonic()
    submitted = [call(f"{url}/queue/{APP}", asked) for _ in range(jobs)]
    for job in submitted:
        while (status := get_json(job["status_url"]))["status"] != "COMPLETED":
            time.sleep(POLL_SECONDS)
        if status.get("error"):
            raise CommandError(f"a request failed: {status['error']}")
    return time.monotonic() - began


def _track(clip: Path, model: Sequence[str]) -> float:
    """Seconds of the whole command: its start, the clip, the masked video."""
    (click,) = clicks(CLIP_SIZE)
    command = [
        sys.executable,
        "-m",
        "signaling.cli",
        "track",
        str(clip),
        "-o",
        str(clip.with_suffix(".out.mp4")),
    ]
    began = time.monotonic()
    done = subprocess.run(
        [*command, "--point", f"{click['x']},{click['y']}", *model], capture_output=True, text=True
    )
    if done.returncode:
        raise CommandError(f"livemask track ended with status {done.returncode}: {done.stderr[-500:]}")
    return time.monotonic() - began


async def _live(url: str, count: int, seconds: float) -> list[list[float]]:
    """Round trips in seconds of each connection, all at once, each sending when it was answered."""
    clip = _scene(LIVE_SIZE)
    pictures = [_jpeg(clip.frame(index)[0]) for index in range(LIVE_PICTURES)]
    address = f"{url.replace('http', 'ws', 1)}/run/{LIVE_APP}/realtime"
    begin = asyncio.Barrier(count)
    return await asyncio.gather(*(_ask(address, pictures, begin, seconds) for _ in range(count)))


async def _ask(
    address: str, pictures: Sequence[bytes], begin: asyncio.Barrier, seconds: float
) -> list[float]:
    """Measured from when every connection has its first answer."""
    async with connect(address, max_size=None) as socket:
        await _trip(socket, {"image_bytes": pictures[0], "prompts": clicks(LIVE_SIZE)})
        await begin.wait()
        end = time.monotonic() + seconds
        trips: list[float] = []
        while not trips or time.monotonic() < end:
            last = len(pictures) - 1
            at = last - abs(last - (len(trips) + 1) % (2 * last))
            trips.append(await _trip(socket, {"image_bytes": pictures[at]}))
    return trips


async def _trip(socket: ClientConnection, message: dict[str, Any]) -> float:
    sent = time.monotonic()
    await socket.send(msgpack.packb(message))
    answer = await socket.recv()
    if isinstance(answer, str):
        raise CommandError(f"a live picture was refused: {answer}")
    return time.monotonic() - sent


def _job_row(what: str, jobs: int, frames: int, seconds: float) -> Sequence[str]:
    rate = f"{60 * jobs / seconds:.2f}"
    return (what, "x".join(map(str, CLIP_SIZE)), str(jobs), rate, f"{frames / seconds:.1f}", "", "")


def _live_row(connections: Sequence[Sequence[float]]) -> Sequence[str]:
    trips = np.concatenate(connections) * 1000
    rate = np.mean([1 / np.mean(each) for each in connections])
    p50, p95 = np.percentile(trips, (50, 95))
    size = "x".join(map(str, LIVE_SIZE))
    return ("realtime", size, str(len(connections)), "", f"{rate:.1f}", f"{p50:.0f}", f"{p95:.0f}")


def _jpeg(rgb: Any) -> bytes:
    data = io.BytesIO()
    Image.fromarray(rgb).save(data, "JPEG", quality=85)
    return data.getvalue()


def call(url: str, body: Any) -> dict[str, Any]:
    """Send JSON and give the JSON object that is answered."""
    request = Request(url, json.dumps(body).encode(), {"content-type": "application/json"})
    with urlopen(request, timeout=60) as answer:
        return dict(json.load(answer))


def put(url: str, clip: Path) -> None:
    """Upload a video."""
    headers = {"content-type": "video/mp4"}
    with urlopen(Request(url, clip.read_bytes(), headers, method="PUT"), timeout=60) as answer:
        answer.read()
