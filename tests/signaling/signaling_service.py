"""The real service for tests: a Starlette application under uvicorn on a loopback port."""

from __future__ import annotations

import asyncio
import fractions
import gc
import os
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import av
import httpx
import numpy as np
import uvicorn
from aiortc import MediaStreamTrack

from engine.worker import Worker
from signaling.app import create_app
from signaling.metrics import POOL
from signaling.serve import listen
from signaling.sessions import Registry
from signaling.settings import Settings
from stream.client import LiveClient
from stream.wire import Message

WIDTH, HEIGHT = 160, 120


class Camera(MediaStreamTrack):
    """A camera: a bright square that wanders over a fixed texture, in real time."""

    kind = "video"

    def __init__(self, fps: int = 15) -> None:
        super().__init__()
        self._fps, self._index, self._started = fps, 0, time.monotonic()
        texture = np.random.default_rng(3).integers(40, 90, (HEIGHT, WIDTH, 3))
        self._wall = texture.astype(np.uint8)

    async def recv(self) -> av.VideoFrame:
        await asyncio.sleep(max(0.0, self._started + self._index / self._fps - time.monotonic()))
        picture = self._wall.copy()
        left = 20 + self._index % 60
        picture[30:70, left : left + 40] = (220, 180, 60)
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
        frame.pts, frame.time_base = self._index, fractions.Fraction(1, self._fps)
        self._index += 1
        return frame


@dataclass
class Viewer:
    """A client with a camera that takes in everything it is sent, as a page does."""

    client: LiveClient
    messages: list[Message]
    frames: list[int] = field(default_factory=list)
    task: asyncio.Task[None] | None = None

    async def watch(self) -> None:
        while True:
            self.frames.append(self.client.rtp_timestamp(await self.client.video.recv()))

    def of(self, kind: str) -> list[Message]:
        return [message for message in self.messages if message["type"] == kind]

    async def click(self, object_id: int = 1, x: float = 50, y: float = 50) -> Message:
        point = {"x": x, "y": y, "label": 1, "object_id": object_id}
        return await self.client.prompt({"prompts": [point], "width": WIDTH, "height": HEIGHT})

    async def close(self) -> None:
        if self.task is not None:
            self.task.cancel()
        await self.client.close()


@dataclass
class Service:
    """A running service and its address."""

    url: str
    registry: Registry
    http: httpx.AsyncClient

    @asynccontextmanager
    async def viewer(self, key: str | None = None, fps: int = 15, **options: object) -> AsyncIterator[Viewer]:
        messages: list[Message] = []
        client = await LiveClient.connect(
            self.url, Camera(fps), options=options, key=key, listener=messages.append
        )
        viewer = Viewer(client, messages)
        viewer.task = asyncio.create_task(viewer.watch())
        try:
            yield viewer
        finally:
            await viewer.close()

    async def sessions(self) -> list[Message]:
        return list((await self.http.get("/sessions")).json()["sessions"])


async def until(
    holds: Callable[[], object], seconds: float = 20.0, instead: Callable[[], object] = str
) -> None:
    """Wait for a condition, long enough for a busy machine; a failure says what there was instead."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"not within {seconds} s {instead()}"
        await asyncio.sleep(0.02)


def held() -> Counter[str]:
    """The open files, threads and tasks of this process, by what they are."""
    gc.collect()
    files = []
    for number in os.listdir("/proc/self/fd"):
        with suppress(FileNotFoundError):  # the listing's own
            files.append(os.readlink(f"/proc/self/fd/{number}").split(":")[0])
    # The pools of the event loop's threads and of the database's connections fill up to bounds of their own,
    # whenever two are wanted at once.
    files = [name for name in files if "livemask.db" not in name]
    # So does a session's, of two threads: that it is there its first one tells.
    threads = [t.name for t in threading.enumerate() if not t.name.startswith(POOL) and t.name != "session_1"]
    tasks = [str(task.get_coro()).split(" at ")[0] for task in asyncio.all_tasks()]
    return Counter(files + threads + tasks)


@asynccontextmanager
async def serving(settings: Settings, worker: Worker, ready: bool = True) -> AsyncIterator[Service]:
    """The application of `settings` on a free port, warm unless `ready` is False."""
    app = create_app(settings, worker)
    with listen(settings) as listener:
        config = uvicorn.Config(app, loop="asyncio", log_config=None, timeout_graceful_shutdown=3)
        server = uvicorn.Server(config)
        task = asyncio.create_task(server.serve(sockets=[listener]))
        await until(lambda: server.started)
        if ready:
            await until(lambda: worker.ready)
        host, at = listener.getsockname()[:2]
        url = f"http://[{host}]:{at}" if ":" in host else f"http://{host}:{at}"
        try:
            async with httpx.AsyncClient(base_url=url, timeout=30, trust_env=False) as http:
                yield Service(url, app.state.livemask.sessions, http)
        finally:
            server.should_exit = True
            await task
