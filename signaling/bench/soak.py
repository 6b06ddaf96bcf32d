"""The soak: people who come and go, and frames without end, at one real server; what it holds must not grow.

An hour of a 30 frames/second camera is 108,000 frames. They are run as fast as the engine goes, on the
smallest whole network (`engine.tiny`), for it is the service that is soaked, not the model.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
import time
import urllib.request
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import av

from engine.synthetic import SyntheticClip
from signaling.bench.client import Swing
from signaling.bench.held import Held, growing, look
from signaling.bench.player import Player
from signaling.bench.relay import Relay, Weather
from signaling.command import CommandError
from signaling.demo.camera import Camera
from signaling.serverprocess import server_process
from stream.client import LiveClient

HEADER = ("what", "when", "memory MiB", "descriptors", "threads", "tasks", "grows")
FLAT = "nothing"
SIZE, PICTURES = (160, 120), 60
PER_VISIT = 5  # pictures that everybody waits for
VANISHES = 5  # every so manieth viewer goes without a word
PATIENCE_SECONDS = 180.0
SETTLED_SECONDS = 60.0
FREED_SECONDS = 2.0  # threads and sockets end a little after their owners
LOOK_SECONDS = 2.0
CLICK = {"prompts": [{"x": 80, "y": 60, "object_id": 1}], "width": SIZE[0], "height": SIZE[1]}


def measure(arguments: argparse.Namespace) -> tuple[Sequence[str], list[Sequence[str]]]:
    """The header and the rows.

    Raises:
        CommandError: somebody got no picture, or the server did not stay up.
    """
    from engine import tiny  # brings torch

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        weights, config = tiny.write(folder)
        film(folder / "clip.mp4")
        flags = ["--checkpoint", str(weights), "--config", str(config), "--device", "cpu"]
        flags += ["--media-dir", name, "--offers-per-second", "100", "--log-level", "warning"]
        with server_process(flags) as url:
            visits = asyncio.run(_visits(url, arguments.cycles))
            frames = _frames(url, arguments.soak_frames, arguments.soak_seconds)
    done = frames[-1].frames - frames[0].frames
    return HEADER, [
        _row(f"{arguments.cycles} sessions and viewers come and go", visits),
        _row(f"{done} frames of one session", frames),
    ]


def film(path: Path, size: tuple[int, int] = SIZE, fps: int = 30) -> None:
    """The beginning of the built-in clip as a file."""
    clip = SyntheticClip(*size)
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=fps, options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        for index in range(PICTURES):
            picture = av.VideoFrame.from_ndarray(clip.frame(index)[0], format="rgb24")
            picture.pts, picture.time_base = index, Fraction(1, fps)
            out.mux(stream.encode(picture))
        out.mux(stream.encode(None))


async def _visits(url: str, cycles: int) -> list[Held]:
    """Let people come and go; a look after each."""
    standing = await asyncio.to_thread(start, url, {"file": "clip.mp4", "loop": True})
    await _visit(url, standing, vanishes=True)  # what is made once stays
    looks = [await _settled(url)]
    for cycle in range(cycles):
        await _visit(url, standing, vanishes=cycle % VANISHES == VANISHES - 1)
        looks.append(await _settled(url))
        print(f"cycle {cycle + 1}: {_shown(looks[-1])}", flush=True)
    await asyncio.to_thread(stop, url, standing)
    return looks


async def _visit(url: str, standing: str, vanishes: bool) -> None:
    """One person opens a session with a camera and clicks; another watches the one that runs."""
    relay = Relay(Weather())
    camera = Camera(Swing(SIZE, 3600.0, 1))
    camera.roll()
    try:
        async with Player(url, standing, relay=relay) as player:
            live = await LiveClient.connect(url, camera)
            try:
                await live.prompt(CLICK, PATIENCE_SECONDS)
                for _ in range(PER_VISIT):
                    await asyncio.wait_for(live.video.recv(), PATIENCE_SECONDS)
                await player.until(PER_VISIT, PATIENCE_SECONDS)
            finally:
                await live.close()
                camera.stop()
            if vanishes:
                relay.weather.dark = True
                await player.vanish()
    except TimeoutError:
        raise CommandError(f"a visitor waited {PATIENCE_SECONDS:g} s in vain") from None
    finally:
        relay.close()


async def _settled(url: str) -> Held:
    """A look when all who left are forgotten and what they used has been freed, as far as it ever is.

    Raises:
        CommandError: somebody who left is still there.
    """
    deadline = time.monotonic() + SETTLED_SECONDS
    while (await asyncio.to_thread(look, url)).people > 1:
        if time.monotonic() > deadline:
            raise CommandError(f"{SETTLED_SECONDS:g} s after the last visitor left somebody is still there")
        await asyncio.sleep(0.5)
    await asyncio.sleep(FREED_SECONDS)
    return await asyncio.to_thread(look, url)


def _frames(url: str, wanted: int, seconds: float) -> list[Held]:
    """One session as fast as it goes until so many frames are done, or so much time has passed."""
    began = look(url)
    session = start(url, {"file": "clip.mp4", "loop": True, "realtime": False}, prompts=[CLICK])
    looks: list[Held] = []
    deadline = time.monotonic() + seconds
    while not looks or (looks[-1].frames - began.frames < wanted and time.monotonic() < deadline):
        time.sleep(LOOK_SECONDS)
        looks.append(look(url))
        if len(looks) % 15 == 0:
            print(f"frame {looks[-1].frames - began.frames}: {_shown(looks[-1])}", flush=True)
        if looks[-1].people == 0:
            raise CommandError("the session ended before its time")
    stop(url, session)
    return looks


def start(url: str, source: object, **fields: object) -> str:
    """Open a session that nobody watches; its id."""
    body = json.dumps({"source": source, **fields}).encode()
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(urljoin(url, "/sessions"), body, headers, method="POST")
    with urllib.request.urlopen(request, timeout=60) as response:
        answer: dict[str, Any] = json.load(response)
    return str(answer["id"])


def stop(url: str, session: str) -> None:
    """End a session."""
    request = urllib.request.Request(urljoin(url, f"/sessions/{session}"), method="DELETE")
    urllib.request.urlopen(request, timeout=60).close()


def _row(what: str, looks: Sequence[Held]) -> Sequence[str]:
    first, last = looks[len(looks) // 2], looks[-1]
    return (
        what,
        "half-way -> end",
        f"{first.memory / 2**20:.1f} -> {last.memory / 2**20:.1f}",
        f"{first.descriptors} -> {last.descriptors}",
        f"{first.threads} -> {last.threads}",
        f"{first.tasks} -> {last.tasks}",
        ", ".join(growing(looks)) or FLAT,
    )


def _shown(held: Held) -> str:
    return (
        f"{held.memory / 2**20:.1f} MiB, {held.descriptors} descriptors, {held.threads} threads, "
        f"{held.tasks} tasks"
    )
