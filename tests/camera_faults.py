"""How long a camera's fault freezes the video, and how soon pictures are back. Prints the rows of
docs/reliability.md; nothing is faked but the wire:

    .venv/bin/python tests/camera_faults.py [PART OF A NAME ...]

Limits and pauses between attempts are those of a camera that the configuration says nothing more about.
"""

from __future__ import annotations

import asyncio
import itertools
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from rtsp import RtspCamera as Camera
from rtsp import answering, free_port, rtsp_camera
from rtsp_proxy import Change, Wire, corrupted, lost, shifted, spoiled, unchanged, wrapping

from stream.picture import Picture
from stream.sources.address import read_address
from stream.sources.rtsp import RtspCamera, RtspSource

WARM_SECONDS, PATIENCE_SECONDS = 3.0, 60.0
MOVED = b"RTSP/1.0 302 Moved\r\nLocation: rtsp://127.0.0.1:1/x\r\n\r\n"


class Viewing:
    """A source that is read all the time: when its pictures and its notices of an outage came."""

    def __init__(self, url: str) -> None:
        self.source = RtspSource("gate", RtspCamera(read_address(url, ("rtsp",))))
        self.arrivals: list[float] = []
        self.notices: list[float] = []
        self.widths: list[int] = []
        self._task = asyncio.create_task(self._read())

    async def _read(self) -> None:
        async for item in self.source.frames():
            if isinstance(item, Picture):
                self.arrivals.append(time.monotonic())
                self.widths.append(item.video.width)
            else:
                self.notices.append(time.monotonic())

    async def until(self, holds: Callable[[], object]) -> float:
        """Wait for a state; when it was reached."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not holds():  # noqa: ASYNC110 (a hundredth of a second is near enough)
                await asyncio.sleep(0.01)
        return time.monotonic()

    async def after(self, moment: float) -> float:
        """Wait for the first picture after that moment, and a second more for what comes with it."""
        await self.until(lambda: self.arrivals and self.arrivals[-1] > moment)
        await asyncio.sleep(1.0)
        return next(at for at in self.arrivals if at > moment)

    async def stop(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await self.source.close()


@dataclass(frozen=True, slots=True)
class Suffered:
    """When a fault began and when the camera was well again, monotonic seconds."""

    began: float
    well: float


Fault = Callable[[Camera, Wire, Viewing], Awaitable[Suffered]]


def away(seconds: float, *options: str) -> Fault:
    """Killed, and started again with other options."""

    async def happen(camera: Camera, wire: Wire, viewing: Viewing) -> Suffered:
        began = time.monotonic()
        await camera.kill()
        await asyncio.sleep(seconds)
        await camera.start(*options)
        return Suffered(began, time.monotonic())

    return happen


def stalled(seconds: float) -> Fault:
    async def happen(camera: Camera, wire: Wire, viewing: Viewing) -> Suffered:
        began = time.monotonic()
        camera.stall()
        await asyncio.sleep(seconds)
        camera.resume()
        return Suffered(began, time.monotonic())

    return happen


def over_the_wire(change: Callable[[], Change], seconds: float) -> Fault:
    async def happen(camera: Camera, wire: Wire, viewing: Viewing) -> Suffered:
        began, wire.change = time.monotonic(), change()
        await asyncio.sleep(seconds)
        if seconds:
            wire.change = unchanged
        return Suffered(began, time.monotonic())

    return happen


async def resized(camera: Camera, wire: Wire, viewing: Viewing) -> Suffered:
    began = time.monotonic()
    camera.resize("480x360")
    await viewing.until(lambda: viewing.widths[-1] == 480)
    return Suffered(began, began)


async def garbage(camera: Camera, wire: Wire, viewing: Viewing) -> Suffered:
    wire.garbage = bytes(range(256)) * 20
    return Suffered(time.monotonic(), time.monotonic())


FAULTS: dict[str, Fault] = {
    "nothing": over_the_wire(lambda: unchanged, 3.0),
    "stalls for 3 s": stalled(3.0),
    "stalls for 10 s": stalled(10.0),
    "killed, back after 3 s": away(3.0),
    "killed, back after 20 s": away(20.0),
    "comes back as H265": away(1.0, "--codec", "h265"),
    "comes back as MJPEG": away(1.0, "--codec", "mjpeg"),
    "new picture size": resized,
    "clock an hour ahead": over_the_wire(lambda: shifted(3600), 0.0),
    "clock an hour back": over_the_wire(lambda: shifted(-3600), 0.0),
    "clock wraps": over_the_wire(lambda: wrapping(0.5), 0.0),
    "each 3rd packet corrupt for 3 s": over_the_wire(lambda: corrupted(3), 3.0),
    "each 3rd packet lost for 3 s": over_the_wire(lambda: lost(3), 3.0),
    "5 KB of garbage between packets": garbage,
}


async def suffer(name: str, fault: Fault) -> None:
    wire = Wire()
    async with rtsp_camera() as camera, spoiled(camera.port, wire) as url:
        viewing = Viewing(url)
        try:
            await viewing.until(lambda: viewing.arrivals)
            await asyncio.sleep(WARM_SECONDS)
            suffered = await fault(camera, wire, viewing)
            back = await viewing.after(suffered.well)
            seen = [at for at in viewing.arrivals if at <= back or at <= suffered.began + 1.0]
            gaps = [late - early for early, late in itertools.pairwise(seen) if late > suffered.began]
            slates = [at for at in viewing.notices if at > suffered.began]
            slate = f"{slates[0] - suffered.began:.1f}" if slates else "none"
            connections = viewing.source.status()["connections"]
            print(
                f"| {name} | {max(gaps):.1f} | {back - suffered.well:.1f} | {slate} | {connections} |",
                flush=True,
            )
        finally:
            await viewing.stop()


async def told(name: str, url: str) -> None:
    """A camera that cannot be had: how soon it is said."""
    begun = time.monotonic()
    viewing = Viewing(url)
    try:
        at = await viewing.until(lambda: viewing.source.status()["error_type"])
        print(f"| {name} | {viewing.source.status()['error_type']} | {at - begun:.2f} |", flush=True)
    finally:
        await viewing.stop()


async def main(wanted: list[str]) -> None:
    def asked(name: str) -> bool:
        return not wanted or any(part in name for part in wanted)

    print("| fault | longest freeze s | back after s | slate after s | connections |\n|---|---|---|---|---|")
    for name, fault in FAULTS.items():
        if asked(name):
            await suffer(name, fault)
    print("\n| camera | named as | after s |\n|---|---|---|")
    async with (
        rtsp_camera("--user", "viewer", "--password", "right") as camera,
        answering(lambda request: None) as (silent, _),
        answering(lambda request: b"RTSP/1.0 302 Moved\r\nLocation: rtsp://127.0.0.1:1/x\r\n\r\n") as (
            moved,
            _,
        ),
    ):
        for name, url in {
            "wrong password": camera.url.replace("://", "://viewer:wrong@"),
            "no password": camera.url,
            "no such path": camera.url.replace("://", "://viewer:right@") + "x",
            "refuses the connection": f"rtsp://127.0.0.1:{free_port()}/cam",
            "accepts and says nothing": f"rtsp://127.0.0.1:{silent}/cam",
            "302 to another port of loopback": f"rtsp://127.0.0.1:{moved}/cam",
        }.items():
            if asked(name):
                await told(name, url)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
