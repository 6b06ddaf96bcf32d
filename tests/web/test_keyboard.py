"""What has no key of its own is reached by Tab and works by the keys that people know."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from acts import add_green, answered, applied, seen_frame, server_state, until_tinted
from colour_server import Server
from driver import GREEN_AT, SCENE, Studio
from PIL import Image
from playwright.sync_api import Locator

from engine.types import Pin, Restart

pytestmark = [pytest.mark.browser, pytest.mark.usefixtures("clean")]


def press(live: Studio, control: Locator | str, key: str = "Enter") -> None:
    """Focus, as Tab does, and a key."""
    place = live.page.locator(control) if isinstance(control, str) else control
    place.focus()
    live.page.keyboard.press(key)


def crosshair_to_green(live: Studio) -> None:
    """From the middle of the picture, where it begins, by steps of a 160th of the width, and ten of them."""
    live.page.focus("#overlay")
    live.page.keyboard.press("Escape")
    across, down = (GREEN_AT[0] - 0.5) * 160, (GREEN_AT[1] - 0.5) * 160 * SCENE.height / SCENE.width
    for steps, key in ((across, "ArrowRight"), (down, "ArrowDown")):
        for _ in range(round(steps) // 10):
            live.page.keyboard.press(f"Shift+{key}")
        for _ in range(round(steps) % 10):
            live.page.keyboard.press(key)


def test_a_point_is_made_and_removed_at_the_crosshair(live: Studio) -> None:
    crosshair_to_green(live)
    live.page.keyboard.press("Enter")
    live.until_object(1)
    (point,) = live.sent("prompts")[-1]["prompts"]
    assert (point["x"], point["y"]) == pytest.approx((GREEN_AT[0] * 320, GREEN_AT[1] * 240), abs=2.1)
    live.until(answered(live, live.sent("prompts")[-1]), "the server has it")
    live.page.keyboard.press("ArrowUp")
    live.page.keyboard.press("Enter")
    live.until(lambda: live.objects() == [], "the only point is taken back, and with it the object")
    assert "undo" in live.sent("undo")[-1]


def test_the_sign_of_a_click_is_chosen_by_arrow_keys(live: Studio) -> None:
    press(live, "#include", "ArrowRight")
    assert live.page.locator("#exclude").get_attribute("aria-checked") == "true"
    press(live, "#exclude", "ArrowLeft")
    assert live.page.locator("#include").get_attribute("aria-checked") == "true"


def test_a_view_is_remembered_and_an_object_started_again(live: Studio, server: Server) -> None:
    add_green(live)
    for word, key, kind in (
        ("Remember this view", "pin", Pin),
        ("Forget and start again from here", "restart", Restart),
    ):
        press(live, live.page.locator("#objects li").get_by_role("button", name=word))
        message = live.until(lambda key=key: live.sent(key), f"{key} is told to the server")[-1]
        live.until(answered(live, message), "done")
        assert applied(server)[-1] == (kind(1, seen_frame(live, message)), seen_frame(live, message))


def test_all_are_cleared(live: Studio) -> None:
    add_green(live)
    press(live, "#reset-all")
    live.until(lambda: live.newest_result()["objects"] == [], "the server has none")
    assert live.objects() == []


def test_objects_are_saved_on_nothing(live: Studio, tmp_path: Path) -> None:
    add_green(live)
    until_tinted(live)
    press(live, "#snapshot-menu summary")
    live.page.keyboard.press("Tab")
    live.page.keyboard.press("Tab")
    with live.page.expect_download() as download:
        live.page.keyboard.press("Enter")
    download.value.save_as(tmp_path / "objects.png")
    alpha = np.asarray(Image.open(tmp_path / "objects.png").convert("RGBA"))[..., 3]
    assert (alpha > 0).sum() == pytest.approx(SCENE.side**2, rel=0.15)


def test_the_slider_of_before_and_after(live: Studio) -> None:
    press(live, "#compare")
    slider = live.page.locator("#compare-slider")
    live.until(slider.is_visible, "it is there")
    press(live, slider, "End")
    assert slider.input_value() == "100"
    live.page.keyboard.press("ArrowLeft")
    assert slider.input_value() == "99"
    press(live, "#compare")
    live.until(lambda: server_state(live)["apply_mask"] is True, "the server draws again")


def test_how_the_picture_is_shown(live: Studio) -> None:
    """Theme, mirror, turn, patterns."""
    theme = live.page.evaluate("document.documentElement.dataset.theme")
    press(live, "#theme")
    assert live.page.evaluate("document.documentElement.dataset.theme") != theme
    press(live, "#theme")
    press(live, "#source-section summary")
    for _ in range(2):
        before = live.settings()["mirror"]
        press(live, "#mirror", " ")
        assert live.settings()["mirror"] is not before
    for turn in (90, 180, 270, 0):
        press(live, "#turn")
        assert live.settings()["turn"] == turn
    press(live, "#source-section summary")
    press(live, live.page.locator("summary", has_text="View"))
    press(live, "#patterns", " ")
    live.until(lambda: server_state(live)["apply_mask"] is False, "patterns are painted here")
    press(live, "#patterns", " ")
    live.until(lambda: server_state(live)["apply_mask"] is True, "the server draws again")
    press(live, live.page.locator("summary", has_text="View"))


def test_the_source_is_chosen(live: Studio) -> None:
    """Size and rate go to the camera; the session goes on."""
    press(live, "#source-section summary")
    asked = "document.getElementById('local').srcObject.getVideoTracks()[0].getConstraints()"
    for control, key, wish, value in (
        ("#size", "ArrowDown", "width", 960),
        ("#size", "ArrowUp", "width", 640),
        ("#rate", "ArrowUp", "frameRate", 24),
        ("#rate", "ArrowDown", "frameRate", 30),
    ):
        press(live, control, key)
        live.until(
            lambda wish=wish, value=value: live.page.evaluate(asked)[wish] == value,
            f"the camera is asked for {wish} {value}",
        )
    live.until_condition("live")
    assert len(live.received("ready")) == 1
    press(live, "#source-section summary")


def test_the_camera_is_started_stopped_and_the_sample_started(studio: Studio) -> None:
    press(studio, "#start-camera")
    studio.until_condition("live")
    press(studio, "#source-section summary")
    press(studio, "#stop")
    studio.until_condition("idle")
    press(studio, "#start-sample")
    studio.until_condition("live")
    assert studio.page.locator("#instant").is_disabled()
