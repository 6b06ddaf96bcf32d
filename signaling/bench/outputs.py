"""What viewers cost, and how old what they see is: a real server, WHEP players in this process.

Costs are the server's processor time, which other load on the machine hardly changes. Nothing is followed
meanwhile, so that the engine has no part in them.
"""

from __future__ import annotations

import argparse
import asyncio
import socket
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import av

from signaling.bench.command import numbers
from signaling.bench.held import look
from signaling.bench.player import Player
from signaling.bench.soak import film, start, stop
from signaling.command import CommandError
from signaling.demo import barcode
from signaling.serverprocess import server_process
from stream.picture import Picture

HEADER = ("what", "picture", "result", "how")
SIZE, FPS = (640, 480), 30
WARM_PICTURES = 15
PATIENCE_SECONDS = 180.0
CLOCK = 1 << barcode.BITS  # milliseconds after which the camera's clock begins again
CAMERA = Path(__file__).with_name("clock_camera.py")
SYSTEM_PYTHON = "/usr/bin/python3"
FOLLOWED = {"box_prompts": [{"x_min": 40, "y_min": 40, "x_max": 260, "y_max": 200, "object_id": 1}]}


@dataclass(frozen=True, slots=True)
class Cost:
    """What so many viewers of one session take.

    Attributes:
        milliseconds: of processor time of the server for each picture of the source.
        rate: pictures per second that each viewer got, the mean of all.
    """

    viewers: int
    milliseconds: float
    rate: float


def measure(arguments: argparse.Namespace) -> tuple[Sequence[str], list[Sequence[str]]]:
    """The header and the rows.

    Raises:
        CommandError: a flag that cannot be used, or no GStreamer for the camera.
        TimeoutError: a viewer got no pictures.
    """
    counts = [0, *numbers(arguments.viewers, "--viewers")]
    flags = ["--model", arguments.model, "--device", arguments.device, "--max-viewers", str(max(counts))]
    flags += ["--source-networks", "127.0.0.0/8", "--offers-per-second", "100"]
    with tempfile.TemporaryDirectory() as name:
        film(Path(name) / "clip.mp4", SIZE, arguments.viewer_fps)
        with server_process([*flags, "--media-dir", name]) as url:
            costs = _costs(url, counts, arguments.viewer_seconds)
            delays = list(_delays(url, arguments.latency_seconds))
    return HEADER, [*_cost_rows(costs, arguments.viewer_fps), *delays]


def _costs(url: str, counts: Sequence[int], seconds: float) -> list[Cost]:
    session = start(url, {"file": "clip.mp4", "loop": True})
    costs = []
    for count in counts:
        print(f"{count} viewers ...", flush=True)
        costs.append(asyncio.run(_watch(url, session, count, seconds)))
    stop(url, session)
    return costs


async def _watch(url: str, session: str, count: int, seconds: float) -> Cost:
    async with AsyncExitStack() as stack:
        players = [await stack.enter_async_context(Player(url, session)) for _ in range(count)]
        for player in players:
            await player.until(WARM_PICTURES, PATIENCE_SECONDS)
        before, had = await asyncio.to_thread(look, url), [len(player.arrivals) for player in players]
        began = time.monotonic()
        await asyncio.sleep(seconds)
        after, has = await asyncio.to_thread(look, url), [len(player.arrivals) for player in players]
        spent = time.monotonic() - began
    frames = max(1, after.frames - before.frames)
    got = [(late - early) / spent for early, late in zip(had, has, strict=True)]
    return Cost(count, 1e3 * (after.processor - before.processor) / frames, statistics.fmean(got or [0.0]))


def _cost_rows(costs: Sequence[Cost], fps: int) -> Iterator[Sequence[str]]:
    picture = f"{SIZE[0]}x{SIZE[1]} at {fps}, H264"
    for cost in costs:
        how = f"each got {cost.rate:.1f} pictures/s" if cost.viewers else "nothing is encoded"
        yield f"{cost.viewers} viewers", picture, f"{cost.milliseconds:.2f} ms for each picture", how
    watched = [cost for cost in costs if cost.viewers]
    if len(watched) > 1:
        line = statistics.linear_regression(
            [cost.viewers for cost in watched], [cost.milliseconds for cost in watched]
        )
        how = f"a line through {', '.join(str(cost.viewers) for cost in watched)} viewers"
        yield "a second viewer, and each further one", picture, f"{line.slope:.2f} ms for each picture", how
        if line.slope > 0:
            how = f"1000 / {FPS} ms less {line.intercept:.1f} of session and encoder, by {line.slope:.2f}"
            most = max(0.0, (1e3 / FPS - line.intercept) / line.slope)
            yield "viewers for each core", picture, f"{most:.0f} at {FPS} pictures/s", how


def _delays(url: str, seconds: float) -> Iterator[Sequence[str]]:
    with _camera() as address:
        for what, prompts in (("nothing followed", []), ("one object followed", [FOLLOWED])):
            print(f"from the RTSP camera to a WHEP player, {what} ...", flush=True)
            placed = [{**prompt, "width": SIZE[0], "height": SIZE[1]} for prompt in prompts]
            session = start(url, {"url": address}, prompts=placed)
            found = asyncio.run(_ages(url, session, seconds))
            stop(url, session)
            if len(found) < 2:
                raise CommandError("no picture of the camera could be read at the player")
            p50, p95 = (statistics.quantiles(found, n=20)[at] for at in (9, 18))
            picture = f"{SIZE[0]}x{SIZE[1]} at {FPS}, H264 in and out"
            yield (
                f"RTSP to WHEP, {what}",
                picture,
                f"p50 {p50:.0f} ms, p95 {p95:.0f} ms",
                f"{len(found)} pictures",
            )


async def _ages(url: str, session: str, seconds: float) -> list[float]:
    """Milliseconds from the painting of each picture in the camera to its arrival, decoded, at a player."""
    found: list[float] = []

    def read(video: av.VideoFrame) -> None:
        at = time.monotonic_ns() / 1e6
        painted = barcode.read(Picture(video, at).i420())
        if painted is not None:
            found.append((at - painted) % CLOCK)

    async with Player(url, session, read) as player:
        await player.until(WARM_PICTURES, PATIENCE_SECONDS)
        found.clear()
        await asyncio.sleep(seconds)
    return found


def _age(found: Sequence[float]) -> str:
    if len(found) < 2:
        return "too few pictures"
    p50, p95 = (statistics.quantiles(found, n=20)[at] for at in (9, 18))
    return f"p50 {p50:.0f} ms, p95 {p95:.0f} ms"


@contextmanager
def _camera() -> Iterator[str]:
    """The camera of `clock_camera.py`; its address.

    Raises:
        CommandError: it does not start.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [SYSTEM_PYTHON, str(CAMERA), *map(str, (port, *SIZE, FPS))]
    try:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    except OSError as error:
        raise CommandError(f"the camera cannot be started: {error}") from None
    try:
        assert process.stdout is not None
        if process.stdout.readline() != "ready\n":
            raise CommandError(
                "the camera needs GStreamer's RTSP server for the system's Python (.ci/system-packages): "
                + (process.stderr.read() if process.stderr else "").strip()
            )
        yield f"rtsp://127.0.0.1:{port}/clock"
    finally:
        process.kill()
        process.communicate()
