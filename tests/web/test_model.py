"""The whole of Livemask: `livemask serve` with the bundled model, a browser, a camera, a click, its mask."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import av
import chromium
import numpy as np
import pytest
from driver import Studio
from playwright.sync_api import Playwright

from engine.masks import rle_to_mask
from engine.synthetic import SyntheticClip

pytestmark = pytest.mark.browser

CLIP = SyntheticClip(640, 480)


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address that a real `livemask serve` prints."""
    command = [sys.executable, "-m", "signaling.cli", "serve", "--port", "0", "--model", "pico"]
    own = {**os.environ, "LIVEMASK_FAL_DATA_DIR": str(tmp_path_factory.mktemp("data"))}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=own
    ) as process:
        assert process.stdout is not None
        said = ""
        for line in process.stdout:
            said += line
            if found := re.search(r"http://[\w.:\[\]]+/?", line):
                yield found[0].rstrip("/") + "/"
                break
        else:
            raise AssertionError(f"livemask serve printed no address:\n{said}")
        process.terminate()
        assert process.wait(timeout=30) == 0


@pytest.fixture(scope="module")
def still(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A camera that looks at the first frame of the built-in clip."""
    path = tmp_path_factory.mktemp("camera") / "still.mjpeg"
    picture, _ = CLIP.frame(0)
    with av.open(str(path), "w", format="mjpeg") as out:
        stream = out.add_stream("mjpeg", rate=15)
        stream.width, stream.height, stream.pix_fmt = CLIP.width, CLIP.height, "yuvj420p"
        stream.options = {"q:v": "2"}
        for _ in range(15):
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        out.mux(stream.encode(None))
    return path


def test_the_mask_is_where_the_click_was(playwright: Playwright, url: str, still: Path) -> None:
    camera = f"--use-file-for-fake-video-capture={still}"
    browser = playwright.chromium.launch(executable_path=chromium.PATH, args=[*chromium.FLAGS, camera])
    _, truth = CLIP.frame(0)
    try:
        with Studio.open(browser, url) as studio:
            studio.start_camera()
            studio.tick("Clicked points on the picture", False)
            before = studio.pixels()
            for object_id, (_, x, y) in CLIP.clicks().items():
                spot = studio.place(x, y, size=(640, 480))
                studio.page.mouse.click(*spot)
                mask = rle_to_mask(studio.until_object(object_id)["rle"])
                overlap = (mask & truth[object_id]).sum() / (mask | truth[object_id]).sum()
                assert overlap > 0.6, f"object {object_id}"
                at = int(spot[1]), int(spot[0])
                studio.until(lambda at=at: tinted(before, studio.pixels(), at), "the video shows the mask")
                studio.page.keyboard.press("n")
            assert studio.problems == []
    finally:
        browser.close()


def tinted(before: np.ndarray, after: np.ndarray, at: tuple[int, int]) -> bool:
    """Whether the few pixels around a spot changed colour."""
    patch = np.s_[at[0] - 4 : at[0] + 5, at[1] - 4 : at[1] + 5]
    change = np.abs(before[patch].astype(float).mean((0, 1)) - after[patch].astype(float).mean((0, 1)))
    return bool(change.max() > 15)
