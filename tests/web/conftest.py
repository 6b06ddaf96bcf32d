"""A real Chromium with a filmed camera, and the real service around an engine that finds colours.

Everything between the page and the engine is the product; the engine of `tests/stream/scene.py` stands in for
the model, so that these tests know exactly what a click must give. `test_model.py` uses the model itself.
"""

from __future__ import annotations

import asyncio
import shutil
import socket
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pytest
import uvicorn
from playwright.sync_api import Browser, Playwright, sync_playwright

from engine.types import Frame, MaskSet, Prompt
from signaling.app import create_app
from signaling.settings import Settings

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "stream")]
from colours import StoryEngine  # noqa: E402
from driver import SCENE, Studio  # noqa: E402

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --autoplay-policy=no-user-gesture-required "
    "--use-fake-ui-for-media-stream --use-fake-device-for-media-stream"
).split()
FPS = 15


class ColourLane:
    """One session's objects, as `engine.worker.Lane` offers them; remembers the frames it was given."""

    def __init__(self) -> None:
        self.engine = StoryEngine()
        self.frames: dict[int, Frame] = {}
        self._thread = ThreadPoolExecutor(1)

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
    """The service in a thread of its own, on one port for life: it can be stopped and started again."""

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


@pytest.fixture(scope="session")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`SCENE` as a file that the browser plays as its camera, round and round."""
    scene = SCENE
    path = tmp_path_factory.mktemp("camera") / "film.mjpeg"
    with av.open(str(path), "w", format="mjpeg") as out:
        stream = out.add_stream("mjpeg", rate=FPS)
        stream.width, stream.height, stream.pix_fmt = scene.width, scene.height, "yuvj420p"
        stream.options = {"q:v": "2"}
        for index in range((scene.width - scene.side) // scene.speed):
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(scene.paint(index)), format="rgb24")
            out.mux(stream.encode(picture))
        out.mux(stream.encode(None))
    return path


@pytest.fixture(scope="module")
def playwright() -> Iterator[Playwright]:
    # One per module, not per run: while it lives its event loop occupies the main thread.
    if CHROMIUM is None:
        pytest.skip("no chromium on PATH (Debian: apt-get install chromium)")
    with sync_playwright() as playwright:
        yield playwright


@pytest.fixture(scope="module")
def browser(playwright: Playwright, film: Path) -> Iterator[Browser]:
    camera = f"--use-file-for-fake-video-capture={film}"
    browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[*FLAGS, camera])
    yield browser
    browser.close()


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.stop()


@pytest.fixture
def studio(browser: Browser, server: Server) -> Iterator[Studio]:
    """The page, freshly opened in a profile of its own, nothing started."""
    with Studio.open(browser, server.url) as studio:
        yield studio
