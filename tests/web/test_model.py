"""The whole of Livemask: `livemask serve` with the bundled model, a browser, a camera, a click, its mask."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import chromium
import numpy as np
import pytest
from driver import Studio
from playwright.sync_api import Playwright

from engine.masks import rle_to_mask
from engine.synthetic import SyntheticClip
from signaling.demo.score import iou

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


def overlap(mask: np.ndarray, truth: np.ndarray) -> float:
    """Intersection over union; a browser that is short of time may have sent smaller pictures."""
    rows, columns = (np.arange(n) * m // n for n, m in zip(truth.shape, mask.shape, strict=True))
    return iou(mask[rows[:, None], columns], truth)


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
                assert overlap(mask, truth[object_id]) > 0.6, f"object {object_id}"
                at = int(spot[1]), int(spot[0])
                studio.until(lambda at=at: tinted(before, studio.pixels(), at), "the video shows the mask")
                studio.page.keyboard.press("n")
            take_back_and_bring_back(studio, max(truth))
            _, x, y = CLIP.clicks()[1]
            again = click_after_a_long_look(studio, studio.place(x, y, size=(640, 480)))
            assert overlap(again, truth[1]) > 0.6
            assert studio.problems == []
    finally:
        browser.close()


def take_back_and_bring_back(studio: Studio, object_id: int) -> None:
    """Each deed of the panel, its effect in the results: the object made last goes and comes as before."""
    page = studio.page
    page.keyboard.press(str(object_id))
    whole = rle_to_mask(studio.until_object(object_id)["rle"])

    def gone() -> bool:
        return studio.object_result(object_id) is None

    def as_before() -> bool:
        found = studio.object_result(object_id)
        mask = rle_to_mask(found["rle"]) if found else np.zeros_like(whole)
        return bool((mask & whole).sum() > 0.8 * (mask | whole).sum())

    for key, holds, what in (
        ("Delete", gone, "removed"),
        ("ControlOrMeta+z", as_before, "restored"),
        ("ControlOrMeta+z", gone, "the click undone"),
        ("ControlOrMeta+Shift+z", as_before, "the click done again"),
    ):
        page.locator("#overlay").focus()
        page.keyboard.press(key)
        studio.until(holds, what, 40)
    row = page.locator("#objects li").filter(has=page.get_by_label(f"Name of object {object_id}"))
    for deed, key in (("Remember this view", "pin"), ("Forget and start again from here", "restart")):
        row.get_by_role("button", name=deed).click()
        (sent,) = studio.until(lambda key=key: studio.sent(key), f"{key} was sent")
        studio.until(lambda sent=sent: acknowledged(studio, sent), f"{key} was carried out", 40)
        studio.until(as_before, f"{key}: the object goes on", 40)


def acknowledged(studio: Studio, message: dict[str, Any]) -> bool:
    told = [ack for ack in studio.received("ack") if ack["request_id"] == message["request_id"]]
    return bool(told) and told[0]["rejected"] == []


def click_after_a_long_look(studio: Studio, spot: tuple[float, float]) -> np.ndarray:
    """A new object, clicked on a picture frozen for longer than frames are kept; its mask once it is here."""
    page = studio.page
    page.keyboard.press("n")
    page.locator("#overlay").focus()
    page.keyboard.press(" ")
    studio.until_condition("frozen")
    kept = studio.until(lambda: studio.sent("keep"), "the server is asked to keep the picture")[-1]
    frozen_at = studio.newest_result()

    def long_past() -> bool:
        newest = studio.newest_result()
        frames = newest["frame_index"] - frozen_at["frame_index"]
        return bool(newest["pts"] > frozen_at["pts"] + 3 and frames > 20)

    studio.until(long_past, "the frame is beyond the history", 120)
    clicks = len(studio.sent("prompts"))
    page.mouse.click(*spot)
    (sent,) = studio.until(lambda: studio.sent("prompts")[clicks:], "the click was sent")
    assert sent["rtp_timestamp"] == kept["rtp_timestamp"]
    studio.until(lambda: acknowledged(studio, sent), "it was carried out", 40)
    (ack,) = [ack for ack in studio.received("ack") if ack["request_id"] == sent["request_id"]]
    assert ack["reanchored"] is False
    page.keyboard.press(" ")
    return rle_to_mask(studio.until_object(sent["prompts"][0]["object_id"])["rle"])


def tinted(before: np.ndarray, after: np.ndarray, at: tuple[int, int]) -> bool:
    """Whether the few pixels around a spot changed colour."""
    patch = np.s_[at[0] - 4 : at[0] + 5, at[1] - 4 : at[1] + 5]
    change = np.abs(before[patch].astype(float).mean((0, 1)) - after[patch].astype(float).mean((0, 1)))
    return bool(change.max() > 15)
