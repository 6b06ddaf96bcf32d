"""Which spot of the picture a click means: letterbox, mirror, turn, scale, touch."""

from __future__ import annotations

import pytest
from colour_server import Server
from driver import GREEN_AT, SCENE, Studio, X, Y
from playwright.sync_api import Browser

pytestmark = pytest.mark.browser

TWO_REFRESHES = "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"


def clicked(studio: Studio) -> tuple[float, float]:
    message = studio.until(lambda: studio.sent("prompts"), "a prompt was sent")[-1]
    assert (message["width"], message["height"]) == (SCENE.width, SCENE.height)
    return message["prompts"][0]["x"], message["prompts"][0]["y"]


def test_a_click_lands_where_it_was_made(studio: Studio) -> None:
    studio.start_camera()
    for number, (width, height, mirror) in enumerate(
        ((1300, 560, True), (1000, 900, False), (390, 844, True))
    ):
        studio.page.set_viewport_size({"width": width, "height": height})
        studio.tick("Mirror", mirror)
        studio.page.evaluate(
            "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
        )
        if width == 1300:
            left, top = studio.place(0, 0.5)
            studio.page.mouse.click(left - 8, top)  # beside the picture nothing happens
        studio.page.mouse.click(*studio.place(*GREEN_AT, mirror=mirror))
        studio.until(lambda sent=number + 1: len(studio.sent("prompts")) == sent, "a prompt was sent")
        assert clicked(studio) == pytest.approx((X, Y), abs=1.0)
        assert studio.until_object(number + 1)["box"][:2] == pytest.approx(GREEN_AT, abs=0.03)
        studio.page.keyboard.press("n")


def test_a_turned_picture(studio: Studio) -> None:
    studio.start_camera()
    studio.page.locator("details.section").first.locator("summary").click()
    for turn in (90, 180, 270):
        studio.page.click("#turn")
        studio.page.mouse.click(*studio.place(*GREEN_AT, turn=turn))
        studio.until(lambda turn=turn: len(studio.sent("prompts")) == turn // 90, "a prompt was sent")
        assert clicked(studio) == pytest.approx((X, Y), abs=1.0)
        studio.until_object(turn // 90)
        studio.page.keyboard.press("n")


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
