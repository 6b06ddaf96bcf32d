"""What goes wrong, what the person is told, and how it comes right again."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from acts import fake_screen
from colour_server import Server
from driver import GREEN_AT, Studio
from playwright.sync_api import Browser

pytestmark = pytest.mark.browser


@pytest.fixture
def small() -> Iterator[Server]:
    """A service of this test's own, with room for one."""
    server = Server(max_sessions=1)
    yield server
    server.stop()


def test_objects_return_after_the_server_restarts(browser: Browser, small: Server) -> None:
    with Studio.open(browser, small.url) as studio:
        studio.start_camera()
        studio.page.mouse.click(*studio.place(*GREEN_AT))
        box = studio.until_object(1)["box"]
        studio.page.get_by_label("Name of object 1").fill("Green")
        studio.page.click("#mode-cutout")
        studio.until(
            lambda: studio.received("state")[-1]["output"]["mode"] == "cutout", "the server draws cutouts"
        )
        small.stop()
        studio.until_condition("reconnecting", 10)
        assert studio.objects() == ["Green"]
        studio.page.evaluate("wire.received.length = 0")
        small.start()
        studio.until_condition("live", 30)
        again = studio.until_object(1)["box"]
        assert again == pytest.approx(box, abs=0.03)
        assert studio.objects() == ["Green"]
        assert studio.received("state")[-1]["output"]["mode"] == "cutout"
        (lane,) = small.worker.lanes
        assert [type(prompt).__name__ for prompt in lane.engine.prompts] == ["Mask"]


def test_a_full_server_says_so_and_lets_in_later(browser: Browser, small: Server) -> None:
    with Studio.open(browser, small.url) as first, Studio.open(browser, small.url) as second:
        first.start_camera()
        second.page.click("#start-camera")
        second.until_condition("SERVER_FULL")
        assert second.page.get_by_role("heading", name="All places are taken").is_visible()
        first.page.locator("details.section").first.locator("summary").click()
        first.page.click("#stop")
        first.until_condition("idle")
        second.page.click("#retry")
        second.until_condition("live", 30)


def test_a_loading_model_is_waited_for(browser: Browser, small: Server) -> None:
    small.worker.ready = False
    with Studio.open(browser, small.url) as studio:
        studio.page.click("#start-camera")
        studio.until_condition("MODEL_LOADING")
        small.worker.ready = True
        studio.until_condition("live", 30)


def test_a_server_that_is_gone(browser: Browser, small: Server) -> None:
    with Studio.open(browser, small.url) as studio:
        small.stop()
        studio.page.click("#start-camera")
        studio.until_condition("UNREACHABLE")
        small.start()
        studio.until_condition("live", 30)


def test_a_key_is_asked_for(browser: Browser) -> None:
    server = Server(api_keys=("a-key-of-sixteen-characters",))
    try:
        with Studio.open(browser, server.url) as studio:
            studio.page.click("#start-camera")
            studio.until_condition("UNAUTHORIZED")
            studio.page.get_by_label("Access key").fill("a-key-of-sixteen-characters")
            studio.page.click("#retry")
            studio.until_condition("live", 30)
    finally:
        server.stop()


def test_a_source_that_ends_is_chosen_anew_and_objects_stay(studio: Studio) -> None:
    studio.start_camera()
    studio.page.mouse.click(*studio.place(*GREEN_AT))
    studio.until_object(1)
    studio.page.evaluate("""() => {
      const track = document.getElementById("local").srcObject.getVideoTracks()[0];
      track.stop();
      track.dispatchEvent(new Event("ended"));
    }""")
    studio.until_condition("SOURCE_LOST")
    studio.page.click("#start-camera")
    studio.until_condition("live")
    assert studio.objects() == ["Object 1"]
    assert len(studio.received("ready")) == 1, "the session went on"
    studio.page.locator("#source-section summary").click()
    studio.page.click("#stop")
    studio.until_condition("idle")
    assert studio.objects() == [], "a stopped page is as new"
    assert studio.page.evaluate("document.getElementById('local').srcObject") is None


def test_camera_errors_say_what_to_do(studio: Studio) -> None:
    for error, condition in (
        ("NotAllowedError", "CAMERA_BLOCKED"),
        ("NotFoundError", "NO_CAMERA"),
        ("NotReadableError", "CAMERA_BUSY"),
        ("SomethingElse", "CAMERA_FAILED"),
    ):
        studio.page.evaluate(
            """(name) => { navigator.mediaDevices.getUserMedia =
                 () => Promise.reject(new DOMException("", name)); }""",
            error,
        )
        studio.page.click("#start-camera")
        studio.until_condition(condition)
        assert studio.page.locator("#card-title").is_visible()
        assert studio.page.locator("#start-sample").is_visible()


def test_without_a_secure_page_there_is_the_sample(studio: Studio) -> None:
    studio.page.evaluate("() => Object.defineProperty(navigator, 'mediaDevices', {value: undefined})")
    studio.page.click("#start-camera")
    studio.until_condition("INSECURE")
    assert not studio.page.locator("#start-camera").is_visible()
    studio.page.click("#start-sample")
    studio.until_condition("live", 30)
    assert studio.page.locator("#instant").is_disabled()


def test_another_source_goes_over_the_same_session(studio: Studio) -> None:
    studio.start_camera()
    fake_screen(studio)
    studio.page.locator("details.section").first.locator("summary").click()
    studio.page.locator("#camera").select_option("screen")
    studio.until(lambda: studio.newest_result().get("width") == 400, "the screen is what the server sees")
    assert len(studio.received("ready")) == 1
    studio.page.locator("#camera").select_option(index=0)
    studio.until(lambda: studio.newest_result().get("width") == 320, "the camera is back")
