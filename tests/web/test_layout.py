"""Which spot and which frame a click means: letterbox, mirror, turn, scale, touch, a moving picture."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from conftest import Server
from driver import GREEN_AT, SCENE, Studio, X, Y
from numpy.typing import NDArray
from playwright.sync_api import Browser
from scene import RED, chroma

from engine.types import Frame

pytestmark = pytest.mark.browser


def clicked(studio: Studio) -> tuple[float, float]:
    message = studio.until(lambda: studio.sent("prompts"), "a prompt was sent")[-1]
    assert (message["width"], message["height"]) == (SCENE.width, SCENE.height)
    return message["prompts"][0]["x"], message["prompts"][0]["y"]


@pytest.mark.parametrize(
    ("viewport", "mirror"), [((1300, 560), True), ((1000, 900), False), ((390, 844), True)]
)
def test_a_click_lands_where_it_was_made(
    browser: Browser, server: Server, viewport: tuple[int, int], mirror: bool
) -> None:
    width, height = viewport
    with Studio.open(browser, server.url, viewport={"width": width, "height": height}) as studio:
        studio.start_camera(mirror)
        studio.page.mouse.click(*studio.place(*GREEN_AT, mirror=mirror))
        assert clicked(studio) == pytest.approx((X, Y), abs=1.0)
        box = studio.until_object(1)["box"]
        assert box[:2] == pytest.approx(GREEN_AT, abs=0.03)


def test_a_turned_picture(studio: Studio) -> None:
    studio.start_camera()
    studio.page.locator("details.section").first.locator("summary").click()
    for turn in (90, 180, 270):
        studio.page.click("#turn")
        studio.page.mouse.click(*studio.place(*GREEN_AT, turn=turn))
        studio.until(lambda turn=turn: len(studio.sent("prompts")) == turn // 90, "a prompt was sent")
        assert clicked(studio) == pytest.approx((X, Y), abs=1.0)
        studio.page.wait_for_timeout(150)
        studio.page.keyboard.press("n")


def test_beside_the_picture_nothing_happens(browser: Browser, server: Server) -> None:
    with Studio.open(browser, server.url, viewport={"width": 1300, "height": 560}) as studio:
        studio.start_camera()
        left, top = studio.place(0, 0.5)
        studio.page.mouse.click(left - 8, top)
        studio.page.mouse.click(*studio.place(*GREEN_AT))
        studio.until_object(1)
        assert len(studio.sent("prompts")) == 1


def test_touch_taps_include_and_the_toggle_excludes(browser: Browser, server: Server) -> None:
    phone = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "device_scale_factor": 2}
    with Studio.open(browser, server.url, **phone) as studio:
        studio.start_camera()
        studio.page.touchscreen.tap(*studio.place(*GREEN_AT))
        studio.until_object(1)
        studio.page.tap("#exclude")
        studio.page.touchscreen.tap(*studio.place(GREEN_AT[0] + 0.1, GREEN_AT[1]))
        studio.until(lambda: len(studio.sent("prompts")) == 2, "the second tap was sent")
        assert [message["prompts"][0]["label"] for message in studio.sent("prompts")] == [1, 0]


@pytest.mark.parametrize("instant", [False, True], ids=["returned", "instant"])
def test_a_click_names_the_picture_that_was_seen(studio: Studio, server: Server, instant: bool) -> None:
    """The square moves 4 pixels a frame: where it stood on the screen tells which frame was seen."""
    for label in ("Numbers on the picture", "Clicked points on the picture"):
        studio.tick(label, False)
    studio.page.click("#mode-plain")  # nothing on the picture but the picture
    studio.start_camera()
    if instant:
        studio.page.click("#instant")
        studio.until(lambda: studio.page.locator("#chips").text_content() == "Instant", "matched", 30)
    lane = server.worker.lanes[-1]
    left, top = studio.place(0, 0)
    right, bottom = studio.place(1, 0.5)
    spot = studio.place(0.9, 0.9)
    for attempt in range(8):
        studio.page.wait_for_timeout(37 * (attempt % 4))
        studio.page.mouse.move(*spot)
        studio.page.mouse.down()
        seen = studio.pixels()[int(top) : int(bottom), int(left) : int(right)]
        studio.page.mouse.up()
        studio.until(lambda n=attempt: len(studio.sent("prompts")) > n, "the click was sent")
        sent = studio.sent("prompts")[-1]
        ack = studio.until(lambda sent=sent: answer_to(studio, sent), "the click was answered")
        stamp = sent["rtp_timestamp"]
        named = [r["frame_index"] for r in studio.received("result") if r["rtp_timestamp"] == stamp]
        assert named == [ack["seen_frame_index"]], "the picture names a frame that the server knows"
        on_screen = middle_of_red(seen) / seen.shape[1] * SCENE.width
        assert on_screen == pytest.approx(middle_of_red_square(lane.frames[named[0]]), abs=1.9)
        studio.page.keyboard.press("n")  # another click on the same spot would take the point away


def answer_to(studio: Studio, message: dict[str, Any]) -> dict[str, Any] | None:
    answers = studio.received("ack")
    return next((ack for ack in answers if ack["request_id"] == message["request_id"]), None)


def middle_of_red(rgb: NDArray[np.uint8]) -> float:
    red = (rgb[..., 0].astype(int) - rgb[..., 1] > 60) & (rgb[..., 0] > RED[0] // 2)
    return float(np.nonzero(red)[1].mean()) + 0.5


def middle_of_red_square(frame: Frame) -> float:
    upper = chroma(frame)[1, : frame.height // 4]
    return 2 * (float(np.nonzero(upper > 150)[1].mean()) + 0.5)
