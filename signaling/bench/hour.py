"""An hour of video as one request to a real server: what the server holds must not grow with it.

108,000 pictures are an hour at 30 frames/second. They are small and followed by the smallest whole network
(`engine.tiny`), for it is the service that is measured, not the model. Everything is asked for: run lengths,
the masked video and the zip of boxes.
"""

from __future__ import annotations

import argparse
import re
import tempfile
import time
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from urllib.request import urlopen

import av

from engine.synthetic import SyntheticClip
from signaling.bench.fal import call, clicks, put
from signaling.bench.held import Held, growing, look
from signaling.command import CommandError
from signaling.serverprocess import get_json, server_process

APP = "fal-ai/sam-3/video-rle"
SIZE, FPS, PICTURES = (64, 64), 30, 60
LOOK_SECONDS = 5.0
FEWEST_LOOKS = 8  # what grows is told by the last two quarters of them
DONE = re.compile(r"(\d+) of \d+ frames")
HEADER = (
    "request",
    "frames",
    "frames/s",
    "memory MiB, fifth -> end",
    "KiB/frame",
    "answer MiB",
    "grows",
)
FLAT = "nothing"


def measure(arguments: argparse.Namespace) -> tuple[Sequence[str], list[Sequence[str]]]:
    """The header and the row.

    Raises:
        CommandError: the request failed.
    """
    from engine import tiny  # brings torch

    frames = arguments.hour_frames
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        weights, config = tiny.write(folder)
        write_film(folder / "hour.mp4", frames)
        flags = ["--checkpoint", str(weights), "--config", str(config), "--device", "cpu"]
        with server_process([*flags, "--log-level", "warning"]) as url:
            return HEADER, [row(frames, *_request(url, folder / "hour.mp4"))]


def write_film(path: Path, frames: int) -> None:
    """The built-in clip forth and back, `frames` pictures of SIZE as H264 in MP4."""
    clip = SyntheticClip(*SIZE)
    pictures = [clip.frame(index)[0] for index in range(PICTURES)]
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=FPS, options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
        for index in range(frames):
            at = abs((index + PICTURES - 1) % (2 * PICTURES - 2) - PICTURES + 1)
            picture = av.VideoFrame.from_ndarray(pictures[at], format="rgb24")
            picture.pts, picture.time_base = index, Fraction(1, FPS)
            out.mux(stream.encode(picture))
        out.mux(stream.encode(None))


def _request(url: str, film: Path) -> tuple[list[tuple[int, Held]], float, int]:
    """Looks at the server with the frames done by then, seconds, and bytes of the answer's files."""
    place = call(f"{url}/rest/storage/upload/initiate", {"content_type": "video/mp4", "file_name": film.name})
    put(place["upload_url"], film)
    asked = {"video_url": place["file_url"], "prompts": clicks(SIZE), "apply_mask": True}
    job = call(f"{url}/queue/{APP}", {**asked, "boundingbox_zip": True})
    looks: list[tuple[int, Held]] = []
    began = time.monotonic()
    while True:
        time.sleep(LOOK_SECONDS)
        status = get_json(f"{job['status_url']}?logs=1")
        if status["status"] == "COMPLETED":
            break
        told = DONE.findall("\n".join(line["message"] for line in status["logs"] or ()))
        looks.append((int(told[-1]) if told else 0, look(url)))
        if len(looks) % 12 == 0:
            print(f"frame {looks[-1][0]}: {looks[-1][1].memory / 2**20:.1f} MiB", flush=True)
    seconds = time.monotonic() - began
    if status.get("error"):
        raise CommandError(f"the request failed: {status['error']}")
    with urlopen(job["response_url"], timeout=60) as answer:
        size = len(answer.read())
    files = [value for value in get_json(job["response_url"]).values() if isinstance(value, dict)]
    return looks, seconds, size + sum(file["file_size"] for file in files)


def row(frames: int, looks: Sequence[tuple[int, Held]], seconds: float, size: int) -> Sequence[str]:
    """What was measured, as cells; `looks` name the frames done by then, `size` is bytes of the answer.

    Raises:
        CommandError: too few looks to say whether anything grows.
    """
    if len(looks) < FEWEST_LOOKS:
        raise CommandError(
            f"expected {FEWEST_LOOKS} looks at the server, got {len(looks)}: give more --hour-frames"
        )
    (early, before), (late, after) = looks[len(looks) // 5], looks[-1]
    grown = (after.memory - before.memory) / 1024 / max(late - early, 1)
    return (
        f"{APP}, {SIZE[0]}x{SIZE[1]}, everything asked for",
        str(frames),
        f"{frames / seconds:.0f}",
        f"{before.memory / 2**20:.1f} -> {after.memory / 2**20:.1f}",
        f"{grown:.2f}",
        f"{size / 2**20:.1f}",
        ", ".join(growing([held for _, held in looks])) or FLAT,
    )
