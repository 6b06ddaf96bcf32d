"""What a bad wire does to video: how long it freezes, and how soon it is back.

A real server, real WebRTC ends, and between them a relay in user space that loses, delays and reorders.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
import time
import urllib.request
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from urllib.parse import urljoin

from aiortc.mediastreams import MediaStreamError

from signaling.bench.client import Swing
from signaling.bench.player import Player
from signaling.bench.relay import Relay, Weather
from signaling.bench.soak import CLICK, SIZE, film, start
from signaling.demo.camera import Camera
from signaling.serverprocess import server_process
from stream.client import LiveClient

HEADER = (
    "fault, each way",
    "who",
    "pictures/s",
    "freezes over 0.5 s",
    "longest freeze s",
    "back after s",
    "promised: longest freeze, back after",
    "kept",
)
FREEZE_SECONDS = 0.5
WARM_PICTURES, AFTER_PICTURES = 20, 10
PATIENCE_SECONDS = 180.0


@dataclass(frozen=True, slots=True)
class Fault:
    """One kind of bad weather, and what is promised under it.

    Attributes:
        seconds: how long it lasts; None for as long as the command says.
        freeze: seconds, the longest time without a new picture, a blackout's own length included.
        back: seconds from its end to the next new picture.
    """

    name: str
    weather: Weather
    freeze: float
    back: float
    seconds: float | None = None


FAULTS = (
    Fault("none", Weather(), 0.5, 0.5),
    Fault("2 % loss, 20 ms", Weather(loss=0.02, delay=0.02), 1.0, 1.0),
    Fault("5 % loss, 20 ms", Weather(loss=0.05, delay=0.02), 2.0, 1.0),
    Fault("200 ms delay", Weather(delay=0.2), 1.0, 1.0),
    Fault("50 ms, jitter 40 ms, reordering", Weather(delay=0.05, jitter=0.04), 1.0, 1.0),
    Fault("nothing passes for 2 s", Weather(dark=True), 3.5, 1.5, 2.0),
    Fault("nothing passes for 5 s", Weather(dark=True), 7.0, 2.0, 5.0),
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one fault did. Seconds.

    Attributes:
        rate: pictures per second while it lasted.
        freezes: lengths of the times without a new picture that were longer than FREEZE_SECONDS.
        longest: of all times without a new picture.
        back: from the end of the fault to the next new picture.
    """

    rate: float
    freezes: tuple[float, ...]
    longest: float
    back: float

    @classmethod
    def of(cls, arrivals: Sequence[float], began: float, ended: float) -> Outcome:
        """From the moments of pictures before, during and after the fault."""
        after = next(at for at in arrivals if at > ended)
        seen = [at for at in arrivals if at <= after]
        gaps = [late - early for early, late in pairwise(seen) if late > began]
        during = sum(began < at <= ended for at in arrivals)
        freezes = tuple(gap for gap in gaps if gap > FREEZE_SECONDS)
        return cls(during / (ended - began), freezes, max(gaps), after - ended)


def measure(arguments: argparse.Namespace) -> tuple[Sequence[str], list[Sequence[str]]]:
    """The header and the rows.

    Raises:
        CommandError: the server did not start.
        TimeoutError: video did not come back at all.
    """
    from engine import tiny  # brings torch

    rows: list[Sequence[str]] = []
    with tempfile.TemporaryDirectory() as name:
        film(Path(name) / "clip.mp4")
        weights, config = tiny.write(Path(name))
        flags = ["--checkpoint", str(weights), "--config", str(config), "--device", "cpu"]
        with server_process([*flags, "--media-dir", name, "--offers-per-second", "100"]) as url:
            standing = start(url, {"file": "clip.mp4", "loop": True})
            for fault in FAULTS:
                for who in ("viewer", "session"):
                    print(f"{fault.name}, {who} ...", flush=True)
                    seconds = fault.seconds or arguments.fault_seconds
                    outcome = asyncio.run(_suffer(url, standing if who == "viewer" else None, fault, seconds))
                    rows.append(_row(fault, who, outcome))
    return HEADER, rows


async def _suffer(url: str, session: str | None, fault: Fault, seconds: float) -> Outcome:
    relay = Relay(Weather())
    try:
        if session is not None:
            async with Player(url, session, relay=relay) as player:
                return await _weather(player.arrivals, relay, fault.weather, seconds)
        async with _session(url, relay) as arrivals:
            return await _weather(arrivals, relay, fault.weather, seconds)
    finally:
        relay.close()


async def _weather(arrivals: list[float], relay: Relay, weather: Weather, seconds: float) -> Outcome:
    await _come(arrivals, WARM_PICTURES)
    relay.weather, began = weather, time.monotonic()
    await asyncio.sleep(seconds)
    relay.weather, ended = Weather(), time.monotonic()
    await _come(arrivals, len(arrivals) + AFTER_PICTURES)
    return Outcome.of(arrivals, began, ended)


async def _come(arrivals: list[float], count: int) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while len(arrivals) < count:  # noqa: ASYNC110 (once in a while is enough)
            await asyncio.sleep(0.05)


@asynccontextmanager
async def _session(url: str, relay: Relay) -> AsyncIterator[list[float]]:
    """A client with a camera that follows one object, all its packets through the relay; its pictures."""
    camera = Camera(Swing(SIZE, 3600.0, 1))
    camera.roll()
    client, arrivals = LiveClient(camera), list[float]()
    try:
        body = {"type": "offer", "sdp": await relay.rewrite(await client.offer())}
        answer = await asyncio.to_thread(_post, urljoin(url, "/sessions"), body)
        client.location = urljoin(url, f"/sessions/{answer['id']}")
        await client.accept(await relay.rewrite(answer["sdp"]))
        watching = asyncio.create_task(_watch(client, arrivals))
        await client.prompt(CLICK, PATIENCE_SECONDS)
        yield arrivals
        watching.cancel()
    finally:
        camera.stop()
        await client.close()


async def _watch(client: LiveClient, arrivals: list[float]) -> None:
    with suppress(MediaStreamError):
        while True:
            await client.video.recv()
            arrivals.append(time.monotonic())


def _post(url: str, body: dict[str, str]) -> dict[str, str]:
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(url, json.dumps(body).encode(), headers, method="POST")
    with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as response:
        return dict(json.load(response))


def _row(fault: Fault, who: str, outcome: Outcome) -> Sequence[str]:
    kept = outcome.longest <= fault.freeze and outcome.back <= fault.back
    return (
        fault.name,
        who,
        f"{outcome.rate:.1f}",
        f"{len(outcome.freezes)}, {sum(outcome.freezes):.1f} s in all",
        f"{outcome.longest:.2f}",
        f"{outcome.back:.2f}",
        f"{fault.freeze:g} s, {fault.back:g} s",
        "yes" if kept else "no",
    )
