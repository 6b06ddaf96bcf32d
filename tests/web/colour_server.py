"""The service around an engine that finds colours; it can be stopped and started again on its port."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from types import SimpleNamespace

import uvicorn
from colours import StoryEngine

from engine.types import Frame, MaskSet, Prompt
from signaling.app import create_app
from signaling.settings import Settings


class ColourLane:
    """One session's objects, as `engine.worker.Lane` offers them; remembers the frames it was given."""

    def __init__(self) -> None:
        self.engine = StoryEngine()
        self.frames: dict[int, Frame] = {}
        self._thread = ThreadPoolExecutor(1)

    def spare(self) -> bool:
        return False

    def prepare(self, frame: Frame) -> None:
        pass

    def submit(self, frame: Frame, prompts: list[Prompt], live: bool = True) -> Future[MaskSet]:
        self.frames[frame.index] = frame
        return self._thread.submit(lambda: asyncio.run(self.engine.step(frame, prompts)))

    def preview(self, prompts: Sequence[Prompt]) -> Future[MaskSet]:
        return self._thread.submit(lambda: asyncio.run(self.engine.preview(prompts)))

    def close(self) -> None:
        self._thread.shutdown(wait=False)


class ColourWorker:
    """`engine.worker.Worker` without a model."""

    ready = True
    error: str | None = None
    model = SimpleNamespace(name="colours", why="the engine of the tests")

    def __init__(self) -> None:
        self.lanes: list[ColourLane] = []

    def start(self) -> None: ...

    def stop(self) -> None: ...

    def open(self, **options: float) -> ColourLane:
        self.lanes.append(ColourLane())
        return self.lanes[-1]


class Server:
    """The service in a thread of its own."""

    def __init__(self, **settings: object) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self._settings = {"port": self.port, "offers_per_second": 100.0, **settings}
        self.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    def start(self) -> None:
        self.worker = ColourWorker()
        app = create_app(Settings(**self._settings), self.worker)  # type: ignore[arg-type]
        self._server = uvicorn.Server(
            uvicorn.Config(app, port=self.port, log_level="warning", timeout_graceful_shutdown=1)
        )
        self._thread = threading.Thread(target=self._server.run, daemon=True)
        self._thread.start()
        deadline = time.monotonic() + 20
        while not self._server.started:
            assert time.monotonic() < deadline, "the service did not start"
            time.sleep(0.02)

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join(timeout=20)
        assert not self._thread.is_alive(), "the service did not stop"
