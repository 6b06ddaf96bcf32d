"""A real Chromium with a filmed camera, and the real service around an engine that finds colours.

Everything between the page and the engine is the product; the engine of `tests/stream/scene.py` stands in for
the model, so that these tests know exactly what a click must give. `test_model.py` uses the model itself.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import av
import chromium
import numpy as np
import pytest
from playwright.sync_api import Browser, Playwright, sync_playwright

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "stream")]
from colour_server import Server  # noqa: E402
from driver import SCENE, Studio  # noqa: E402

FPS = 15


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
    if chromium.PATH is None:
        pytest.skip(chromium.MISSING)
    with sync_playwright() as playwright:
        yield playwright


@pytest.fixture(scope="module")
def browser(playwright: Playwright, film: Path) -> Iterator[Browser]:
    camera = f"--use-file-for-fake-video-capture={film}"
    browser = playwright.chromium.launch(executable_path=chromium.PATH, args=[*chromium.FLAGS, camera])
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


@pytest.fixture(scope="module")
def live(browser: Browser, server: Server) -> Iterator[Studio]:
    """One page for the module, live; each test begins and ends without objects."""
    with Studio.open(browser, server.url, accept_downloads=True) as studio:
        studio.start_camera()
        yield studio
        assert studio.problems == []


@pytest.fixture
def clean(live: Studio) -> Iterator[None]:
    yield
    live.page.keyboard.press("Escape")
    if live.page.locator("#reset-all").is_visible():
        live.page.click("#reset-all")
    live.until(lambda: live.objects() == [], "no objects are left")
    live.until(lambda: live.newest_result()["objects"] == [], "the server has none")
