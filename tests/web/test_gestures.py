"""What the pointer does besides clicking: press and hold, keys with it, dragging, choosing in lists."""

from __future__ import annotations

import numpy as np
import pytest
from acts import add_green, click_green, fake_screen, server_state, until_tinted
from colour_server import Server
from driver import GREEN_AT, Studio
from scene import GREEN

pytestmark = [pytest.mark.browser, pytest.mark.usefixtures("clean")]

RESULTS = 130  # more than the page keeps


def test_a_press_freezes_and_its_end_resumes(live: Studio) -> None:
    live.page.mouse.move(*live.place(*GREEN_AT))
    live.page.mouse.down()
    live.until_condition("frozen")
    live.until(lambda: live.sent("prompts"), "a press that lasts is a click")
    live.until_object(1)
    stamp = live.sent("prompts")[-1]["rtp_timestamp"]
    passed = live.newest_result()["frame_index"]
    live.until(lambda: live.newest_result()["frame_index"] > passed + 5, "the stream goes on behind it")
    assert live.condition == "frozen"
    live.page.mouse.up()
    live.until_condition("live")
    assert [message["rtp_timestamp"] for message in live.sent("prompts")][-1] == stamp, "one click, not two"


def test_a_frozen_picture_keeps_its_masks(live: Studio) -> None:
    """Longer than results are kept, and where the page paints the masks itself."""
    add_green(live)
    until_tinted(live)
    live.page.click("#compare")
    live.page.locator("#compare-slider").fill("0")
    live.until(lambda: server_state(live)["apply_mask"] is False, "the server sends the plain picture")
    until_tinted(live)
    live.page.click("#freeze")
    live.until_condition("frozen")
    passed = live.newest_result()["frame_index"]
    live.until(lambda: live.newest_result()["frame_index"] > passed + RESULTS, "its result is long past")
    live.page.locator("#compare-slider").fill("1")  # paints again
    near = live.place(GREEN_AT[0] + 0.04, GREEN_AT[1] + 0.05)
    assert np.abs(live.color_at(*near) - GREEN).max() > 40
    live.page.locator("#compare-slider").fill("50")
    live.page.click("#compare")
    live.page.click("#freeze")
    live.until_condition("live")


@pytest.mark.parametrize("key", ["Alt", "Control", "Shift"])
def test_a_click_with_a_key_excludes(live: Studio, key: str) -> None:
    add_green(live)
    sent = len(live.sent("prompts"))
    live.page.keyboard.down(key)
    click_green(live, 0.07, 0.08)
    live.page.keyboard.up(key)
    live.until(lambda: len(live.sent("prompts")) == sent + 1, "it was sent")
    (point,) = live.sent("prompts")[-1]["prompts"]
    assert (point["label"], point["object_id"]) == (0, 1)


def test_escape_gives_a_drag_up(live: Studio) -> None:
    boxes = len(live.sent("box_prompts"))
    live.page.mouse.move(*live.place(0.2, 0.2))
    live.page.mouse.down()
    live.page.mouse.move(*live.place(0.5, 0.5), steps=3)
    live.until_condition("frozen")
    live.page.keyboard.press("Escape")
    live.until_condition("live")
    live.page.mouse.up()
    add_green(live)
    assert len(live.sent("box_prompts")) == boxes


def test_a_card_is_picked(live: Studio) -> None:
    add_green(live)
    live.page.click("#new-object")
    card = live.page.locator("#objects li").first
    assert "selected" not in (card.get_attribute("class") or "")
    card.locator(".pick").click()
    assert "selected" in (card.get_attribute("class") or "")


def test_a_name_is_clicked_and_typed(live: Studio) -> None:
    add_green(live)
    live.page.get_by_label("Name of object 1").click(click_count=3)
    live.page.keyboard.type("Ball")
    live.page.keyboard.press("Enter")
    live.until(lambda: live.objects() == ["Ball"], "it has its new name")


def test_before_and_after_is_dragged(live: Studio) -> None:
    live.page.click("#compare")
    slider = live.page.locator("#compare-slider")
    live.until(slider.is_visible, "it is there")
    live.page.mouse.move(*live.place(0.5, 0.5))
    live.page.mouse.down()
    live.page.mouse.move(*live.place(0.25, 0.5), steps=4)
    live.page.mouse.up()
    assert int(slider.input_value()) == pytest.approx(25, abs=4)
    live.page.click("#compare")
    live.until(lambda: server_state(live)["apply_mask"] is True, "the server draws again")


@pytest.mark.parametrize("way", ["pointer", "keyboard"])
def test_picture_in_picture(live: Studio, way: str) -> None:
    def toggle() -> None:
        live.page.click("#pip") if way == "pointer" else live.page.keyboard.press("p")

    live.page.focus("#overlay")
    toggle()
    live.until(lambda: live.page.evaluate("document.pictureInPictureElement?.id") == "returned", "it floats")
    live.page.evaluate("document.activeElement.blur()")
    toggle()
    live.until(lambda: live.page.evaluate("document.pictureInPictureElement") is None, "it is back")


def test_size_and_rate_are_chosen(live: Studio) -> None:
    live.page.click("#source-section summary")
    track = "document.getElementById('local').srcObject.getVideoTracks()[0]"
    asked = f"(({{width, frameRate}}) => [width, frameRate])({track}.getConstraints())"
    for size, rate in (("1280x720", "24"), ("640x480", "30")):
        live.page.select_option("#size", size)
        live.page.select_option("#rate", rate)
        wish = [int(size.split("x")[0]), int(rate)]
        live.until(lambda wish=wish: live.page.evaluate(asked) == wish, f"the camera is asked for {wish}")
    live.page.click("#source-section summary")


def test_the_screen_is_shared_from_the_card(studio: Studio, server: Server) -> None:
    fake_screen(studio)
    studio.page.click("#start-screen")
    studio.until_condition("live")
    studio.until(lambda: studio.newest_result().get("width") == 400, "the screen is what the server sees")
    assert server.worker.lanes[-1].frames
