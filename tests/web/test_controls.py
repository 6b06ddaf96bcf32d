"""Every control of the page, by pointer and by keyboard, on a live picture."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from acts import add_green, answered, applied, click_green, seen_frame, server_state, until_tinted
from colour_server import Server
from driver import GREEN_AT, SCENE, Studio, X, Y
from PIL import Image
from scene import GREEN

from engine.types import Pin, Restart, Undo

pytestmark = [pytest.mark.browser, pytest.mark.usefixtures("clean")]

KEPT = 45  # frames that the engine keeps by itself, where that matters
MODES = ["overlay", "cutout", "blur", "mask", "plain"]


@pytest.mark.parametrize("way", ["pointer", "keyboard"])
def test_output_modes(live: Studio, way: str) -> None:
    add_green(live)
    for mode in [*MODES[1:], MODES[0]]:
        if way == "pointer":
            live.page.click(f"#mode-{mode}")
        else:
            live.page.keyboard.press("m")
        live.until(lambda mode=mode: server_state(live)["output"]["mode"] == mode, f"the server draws {mode}")
        assert live.page.locator(f"#mode-{mode}").get_attribute("aria-checked") == "true"


def test_arrow_keys_move_in_a_group_of_choices(live: Studio) -> None:
    live.page.focus("#mode-overlay")
    live.page.keyboard.press("ArrowRight")
    assert live.page.evaluate("document.activeElement.id") == "mode-cutout"
    live.page.keyboard.press("ArrowLeft")
    live.until(lambda: live.settings().get("mode") == "overlay", "back to overlay")


@pytest.mark.parametrize("way", ["pointer", "keyboard"])
def test_undo_and_redo(live: Studio, way: str) -> None:
    def undo() -> None:
        live.page.click("#undo") if way == "pointer" else live.page.keyboard.press("Control+z")

    def redo() -> None:
        live.page.click("#redo") if way == "pointer" else live.page.keyboard.press("Control+Shift+z")

    add_green(live)
    undo()
    live.until(lambda: live.objects() == [], "the object is gone")
    redo()
    live.until_object(1)
    assert live.objects() == ["Object 1"]


@pytest.mark.parametrize("way", ["pointer", "keyboard"])
def test_remove_and_bring_back(live: Studio, way: str) -> None:
    add_green(live)
    if way == "pointer":
        live.page.get_by_role("button", name="Remove", exact=True).click()
    else:
        live.page.keyboard.press("Delete")
    live.until(lambda: live.object_result(1) is None, "the object is gone")
    live.page.keyboard.press("Control+z")
    live.until_object(1)
    assert live.sent("restore")[-1]["object_id"] == 1


@pytest.mark.parametrize("way", ["pointer", "keyboard"])
def test_hide_and_solo(live: Studio, way: str) -> None:
    def act(button: str, key: str) -> None:
        if way == "pointer":
            live.page.locator("#objects li").nth(0).get_by_role("button", name=button, exact=True).click()
        else:
            live.page.keyboard.press("1")
            live.page.keyboard.press(key)

    def hidden() -> list[int]:
        return list(server_state(live)["output"]["hidden"])

    add_green(live)
    live.page.keyboard.press("n")
    live.page.mouse.click(*live.place(0.9, 0.95))
    live.until_object(2)
    act("Hide", "h")
    live.until(lambda: hidden() == [1], "object 1 is hidden")
    act("Show", "h")
    live.until(lambda: hidden() == [], "it is back")
    act("Show only this", "o")
    live.until(lambda: hidden() == [2], "only object 1 is drawn")
    act("Show all", "o")
    live.until(lambda: hidden() == [], "all are drawn")


def test_digits_and_new_select(live: Studio) -> None:
    add_green(live)
    live.page.keyboard.press("n")
    assert live.page.locator("#new-object").get_attribute("aria-pressed") == "true"
    live.page.keyboard.press("1")
    assert live.page.locator("#new-object").get_attribute("aria-pressed") == "false"
    assert "selected" in (live.page.locator("#objects li").first.get_attribute("class") or "")
    live.page.click("#new-object")
    assert live.page.locator("#new-object").get_attribute("aria-pressed") == "true"


def test_names_can_be_changed_and_typing_fires_nothing(live: Studio) -> None:
    add_green(live)
    name = live.page.get_by_label("Name of object 1")
    name.fill("")
    name.press_sequentially("n hissing 1")
    name.press("Enter")
    assert live.objects() == ["n hissing 1"]
    assert live.object_result(1) is not None
    assert server_state(live)["output"]["hidden"] == []


@pytest.mark.parametrize("way", ["pointer", "keyboard"])
def test_freeze_holds_the_picture_and_clicks_name_it(live: Studio, way: str) -> None:
    def toggle() -> None:
        live.page.click("#freeze") if way == "pointer" else live.page.keyboard.press(" ")

    live.page.focus("#overlay")
    toggle()
    live.until_condition("frozen")
    before = live.pixels()[100:600, 30:700]
    sent = len(live.sent("prompts"))
    click_green(live)
    live.until(foretold(live), "the mask is foretold, on the picture that is shown")
    near = live.place(GREEN_AT[0] + 0.04, GREEN_AT[1] + 0.05)
    live.until(lambda: np.abs(live.color_at(*near) - GREEN).max() > 40, "it is drawn on the frozen picture")
    live.until_object(1)
    click_green(live, 0.04)
    live.until(lambda: len(live.sent("prompts")) == sent + 2, "two clicks were sent")
    stamps = [message["rtp_timestamp"] for message in live.sent("prompts")[-2:]]
    assert stamps[0] == stamps[1], "both name the frozen picture"
    frames = [result["frame_index"] for result in live.received("result")[-2:]]
    assert frames[0] < frames[1], "the stream goes on behind it"
    after = live.pixels()[100:600, 30:700]
    same = (np.abs(before.astype(int) - after).max(axis=2) < 6).mean()
    assert same > 0.8, "the moving square stands still; only the preview was added"
    toggle()
    live.until_condition("live")


def test_a_click_on_a_point_removes_it(live: Studio) -> None:
    add_green(live)
    click_green(live, 0.06, 0.06)
    live.until(lambda: len(live.sent("prompts")[-1]["prompts"]) == 1, "the second point was sent")
    live.until(answered(live, live.sent("prompts")[-1]), "the server has it")
    undone = len(live.sent("undo"))
    click_green(live)
    again = live.until(
        lambda: live.sent("prompts")[-1] if len(live.sent("undo")) == undone + 2 else None, "undone"
    )
    live.until(answered(live, again), "the later point was given again")
    (point,) = again["prompts"]
    where = point["x"] / again["width"], point["y"] / again["height"]
    assert where == pytest.approx((GREEN_AT[0] + 0.06, GREEN_AT[1] + 0.06), abs=0.01)
    live.until_object(1)


def test_the_crosshair(live: Studio) -> None:
    page = live.page
    page.focus("#overlay")
    count = len(live.sent("prompts"))
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Shift+ArrowDown")
    page.keyboard.press("Enter")
    live.until(lambda: len(live.sent("prompts")) == count + 1, "Enter includes")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("-")
    live.until(lambda: len(live.sent("prompts")) == count + 2, "minus excludes")
    include, exclude = (message["prompts"][0] for message in live.sent("prompts")[-2:])
    step = 320 / 160
    assert (include["x"], include["y"]) == pytest.approx((160 + step, 120 + 10 * step), abs=0.5)
    assert (exclude["x"], exclude["label"]) == (pytest.approx(160, abs=0.5), 0)


def test_a_box_by_keyboard(live: Studio) -> None:
    page = live.page
    page.focus("#overlay")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("b")
    page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("Shift+ArrowDown")
    page.keyboard.press("b")
    live.until(lambda: live.sent("box_prompts"), "a box was sent")
    box = live.sent("box_prompts")[-1]["box_prompts"][0]
    assert (box["x_max"] - box["x_min"], box["y_max"] - box["y_min"]) == pytest.approx((20, 20), abs=0.5)


@pytest.mark.parametrize("way", ["pointer", "keyboard"])
def test_before_and_after(live: Studio, way: str) -> None:
    def toggle() -> None:
        live.page.click("#compare") if way == "pointer" else live.page.keyboard.press("c")

    add_green(live)
    live.page.evaluate("document.activeElement.blur()")
    toggle()
    live.until(lambda: server_state(live)["apply_mask"] is False, "the server sends the plain picture")
    near = live.place(GREEN_AT[0] + 0.04, GREEN_AT[1] + 0.05)
    slider = live.page.locator("#compare-slider")
    slider.fill("100")
    live.until(lambda: np.abs(live.color_at(*near) - GREEN).max() < 45, "all of it is before")
    slider.fill("0")
    live.until(lambda: np.abs(live.color_at(*near) - GREEN).max() > 45, "all of it is after")
    slider.fill("50")
    live.page.evaluate("document.activeElement.blur()")
    toggle()
    live.until(lambda: server_state(live)["apply_mask"] is True, "the server draws again")


@pytest.mark.parametrize("way", ["pointer", "keyboard"])
def test_instant_view(live: Studio, way: str) -> None:
    def toggle() -> None:
        live.page.click("#instant") if way == "pointer" else live.page.keyboard.press("i")

    add_green(live)
    toggle()
    chip = live.page.locator("#chips")
    live.until(lambda: chip.text_content() == "Instant", "pictures and masks are matched", 30)
    near = live.place(GREEN_AT[0] + 0.04, GREEN_AT[1] + 0.05)
    live.until(lambda: np.abs(live.color_at(*near) - GREEN).max() > 40, "the mask is painted here")
    toggle()
    live.until(lambda: chip.text_content() == "", "the server's video is back")


def test_live_numbers(live: Studio) -> None:
    live.page.click("#stats")
    hud = live.page.locator("#hud")
    live.until(lambda: "VP8" in hud.inner_text(), "the numbers come")
    live.until(lambda: "software" in hud.inner_text(), "who decodes")
    live.until(lambda: "libvpx" in hud.inner_text(), "who encodes")
    live.until(lambda: "≈" not in hud.inner_text().split("Camera")[0], "latency is measured, not guessed")
    live.page.evaluate("document.activeElement.blur()")
    live.page.keyboard.press("s")
    live.until(lambda: not hud.is_visible(), "off again")


@pytest.mark.parametrize("way", ["pointer", "keyboard"])
def test_pictures_are_saved(live: Studio, tmp_path: Path, way: str) -> None:
    add_green(live)
    with live.page.expect_download() as download:
        if way == "pointer":
            live.page.click("#snapshot-menu summary")
            live.page.click("#snapshot")
        else:
            live.page.keyboard.press("g")
    download.value.save_as(tmp_path / "shown.png")
    assert download.value.suggested_filename.endswith(".png")
    assert Image.open(tmp_path / "shown.png").size == (SCENE.width, SCENE.height)


def test_objects_are_saved_on_nothing(live: Studio, tmp_path: Path) -> None:
    add_green(live)
    until_tinted(live)
    live.page.click("#snapshot-menu summary")
    with live.page.expect_download() as download:
        live.page.click("#snapshot-alpha")
    download.value.save_as(tmp_path / "objects.png")
    alpha = np.asarray(Image.open(tmp_path / "objects.png").convert("RGBA"))[..., 3]
    assert alpha[int(Y), int(X)] == 255
    assert alpha[5, 5] == 0
    assert (alpha > 0).sum() == pytest.approx(SCENE.side**2, rel=0.15)


@pytest.mark.parametrize("way", ["pointer", "keyboard"])
def test_recording(live: Studio, tmp_path: Path, way: str) -> None:
    def toggle() -> None:
        live.page.click("#record") if way == "pointer" else live.page.keyboard.press("r")

    toggle()
    live.until(lambda: live.page.locator("#chips .recording").is_visible(), "it says so")
    frames = live.newest_result()["frame_index"]
    live.until(lambda: live.newest_result()["frame_index"] > frames + 12, "something is recorded")
    live.page.evaluate("document.activeElement.blur()")
    with live.page.expect_download() as download:
        toggle()
    path = tmp_path / "film"
    download.value.save_as(path)
    assert path.stat().st_size > 1000
    assert path.read_bytes()[:4] == b"\x1aE\xdf\xa3", "a Matroska (WebM) file"


def test_full_screen(live: Studio) -> None:
    for toggle in (lambda: live.page.click("#full"), lambda: live.page.keyboard.press("f")):
        toggle()
        live.until(lambda: live.page.evaluate("document.fullscreenElement?.id ?? null") == "stage", "full")
        live.page.evaluate("document.activeElement.blur()")
        live.page.keyboard.press("f")
        live.until(lambda: live.page.evaluate("document.fullscreenElement") is None, "not full")


def test_help_lists_the_shortcuts_and_keys_rest_behind_it(live: Studio) -> None:
    live.page.keyboard.press("?")
    assert live.page.locator("#shortcuts").is_visible()
    live.page.keyboard.press("h")
    live.page.keyboard.press("Escape")
    live.until(lambda: not live.page.locator("#shortcuts").is_visible(), "closed")
    live.page.click("#help")
    live.page.get_by_role("button", name="Close").click()
    assert not live.page.locator("#shortcuts").is_visible()


def test_theme_and_patterns(live: Studio) -> None:
    before = live.page.evaluate("document.documentElement.dataset.theme")
    live.page.click("#theme")
    assert live.page.evaluate("document.documentElement.dataset.theme") != before
    live.page.click("#theme")
    live.tick("Patterns as well as colours", True)
    live.until(lambda: server_state(live)["apply_mask"] is False, "patterns are painted here")
    live.tick("Patterns as well as colours", False)
    live.until(lambda: server_state(live)["apply_mask"] is True, "the server draws again")


def test_forget_and_start_again_from_here(live: Studio, server: Server) -> None:
    add_green(live)
    live.page.get_by_label("Name of object 1").fill("Ball")
    live.page.get_by_role("button", name="Forget and start again from here").click()
    live.until(lambda: live.sent("restart"), "told to the server")
    message = live.sent("restart")[-1]
    live.until(answered(live, message), "done")
    assert applied(server)[-1] == (Restart(1, seen_frame(live, message)), seen_frame(live, message))
    assert live.objects() == ["Ball"]
    live.page.keyboard.press("Escape")
    live.page.keyboard.press("Control+z")
    live.until(lambda: isinstance(applied(server)[-1][0], Undo), "taken back")
    assert live.objects() == ["Ball"]


def test_a_view_is_remembered(live: Studio, server: Server) -> None:
    add_green(live)
    pin = live.page.locator("#objects li").get_by_role("button", name="Remember this view")
    pin.click()
    live.until(lambda: live.page.get_by_role("button", name="View remembered").is_visible(), "it says so")
    message = live.sent("pin")[-1]
    assert applied(server)[-1] == (Pin(1, seen_frame(live, message)), seen_frame(live, message))
    live.page.evaluate("document.activeElement.blur()")
    live.page.keyboard.press("Control+z")
    live.until(lambda: pin.is_visible(), "taken back")


def test_a_picture_that_has_expired_is_said_and_the_newest_offered(live: Studio, server: Server) -> None:
    engine = server.worker.lanes[-1].engine
    tool = live.page.locator("#freeze")
    live.until(
        lambda: tool.is_enabled() and tool.get_attribute("aria-pressed") == "false", "it can be frozen"
    )
    live.page.focus("#overlay")  # Space on a button presses that
    live.page.keyboard.press(" ")
    live.until_condition("frozen")
    live.page.wait_for_timeout(200)  # nothing newer is on its way to the picture
    engine.past.clear()
    click_green(live)
    offer = live.page.get_by_role("button", name="Use the newest picture")
    live.until(offer.is_visible, "the newest is offered")
    assert "too old" in live.page.locator("#toast").inner_text()
    assert live.objects() == []
    offer.click()
    live.until_object(1)
    assert live.received("ack")[-1]["reanchored"] is True
    live.until_condition("live")


def far_behind(live: Studio, frame: int) -> None:
    """The engine keeps no frame as old as this by itself."""
    live.until(lambda: live.newest_result()["frame_index"] > frame + KEPT + 5, "the frame is long past")


@pytest.mark.parametrize("way", ["pointer", "keyboard"])
def test_a_picture_frozen_for_long_is_clicked_as_any(
    live: Studio, server: Server, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    engine = server.worker.lanes[-1].engine
    monkeypatch.setattr(engine, "kept", KEPT)
    live.page.focus("#overlay")
    live.page.click("#freeze") if way == "pointer" else live.page.keyboard.press(" ")
    live.until_condition("frozen")
    asked = live.until(lambda: live.sent("keep"), "the server is asked to keep the picture")[-1]
    live.until(answered(live, asked), "it does")
    assert engine.held == seen_frame(live, asked)
    far_behind(live, engine.held)
    click_green(live)
    live.until_object(1)
    _, used = applied(server)[-1]
    assert used == engine.held == seen_frame(live, live.sent("prompts")[-1])
    assert live.received("ack")[-1]["reanchored"] is False
    live.page.keyboard.press("Escape")
    live.until(lambda: engine.held is None, "the server may let it go")


def test_a_box_may_take_its_time(live: Studio, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = server.worker.lanes[-1].engine
    monkeypatch.setattr(engine, "kept", KEPT)
    live.page.mouse.move(*live.place(GREEN_AT[0] - 0.1, GREEN_AT[1] - 0.14))
    live.page.mouse.down()
    live.page.mouse.move(*live.place(*GREEN_AT), steps=3)
    held = live.until(lambda: engine.held, "the picture under the pointer is kept")
    far_behind(live, held)
    live.page.mouse.move(*live.place(GREEN_AT[0] + 0.1, GREEN_AT[1] + 0.14))
    live.page.mouse.up()
    live.until_object(1)
    assert applied(server)[-1][1] == held
    live.until(lambda: engine.held is None, "the server may let it go")


def foretold(live: Studio) -> Callable[[], bool]:
    sent = live.sent("preview")[-1]
    key = sent["request_id"], sent["rtp_timestamp"]
    return lambda: key in [(told["request_id"], told["rtp_timestamp"]) for told in live.received("preview")]
