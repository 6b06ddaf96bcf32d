"""The server's own cameras in the page: chosen, watched together, recorded, and gone dark."""

from __future__ import annotations

import json
import resource
import subprocess
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
from colour_server import Server
from driver import Studio
from playwright.sync_api import Browser
from rtsp import PYTHON, SCRIPT, free_port, need_gstreamer

FULL = 100_000  # bytes that a file may have: some seconds

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def camera() -> Iterator[str]:
    """The address of a camera that films colour bars."""
    need_gstreamer()
    port = free_port()
    with subprocess.Popen(
        [PYTHON, str(SCRIPT), str(port)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield f"rtsp://127.0.0.1:{port}/cam"
        process.kill()


@pytest.fixture(scope="module")
def service(camera: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Follows `gate` from its start on, and knows `yard`, and `dark`, where there is nothing."""
    folder = tmp_path_factory.mktemp("cameras")
    named = {"gate": camera, "yard": camera, "dark": f"rtsp://127.0.0.1:{free_port()}/none"}
    text = "\n".join(
        f'[[camera]]\nname = "{name}"\nurl = "{url}"\nautostart = {json.dumps(name == "gate")}\n'
        for name, url in named.items()
    )
    (folder / "cameras.toml").write_text(text)
    server = Server(cameras=str(folder / "cameras.toml"), recordings_dir=str(folder))
    yield server
    server.stop()


def fetch(server: Server, path: str) -> Any:
    with urllib.request.urlopen(server.url + path, timeout=10) as answer:
        return json.load(answer)


def choose(studio: Studio, name: str) -> None:
    if studio.page.locator("#source-section").get_attribute("open") is None:
        studio.page.locator("#source-section summary").click()
    studio.until(
        lambda: studio.page.locator(f'#camera option[value="server:{name}"]').count(), "the camera is listed"
    )
    studio.page.locator("#camera").select_option(f"server:{name}")


def test_a_running_camera_is_watched_by_several_and_recorded(browser: Browser, service: Server) -> None:
    with Studio.open(browser, service.url) as studio, Studio.open(browser, service.url) as other:
        for each in (studio, other):
            each.until(lambda: fetch(service, "cameras")["cameras"][0]["sessions"], "gate is followed")
            each.page.reload()
            choose(each, "gate")
            each.until_condition("live")
            assert "gate" in each.page.locator("#source-note").inner_text()
        (session,) = fetch(service, "sessions")["sessions"]
        assert session["viewers"] == 2
        studio.page.mouse.click(*studio.place(0.05, 0.3))
        studio.until_object(1)
        other.until(lambda: other.objects() == ["Object 1"], "what one clicks the other sees")
        studio.page.click("#record-there")
        chips = [each.page.locator("#chips") for each in (studio, other)]
        for chip in chips:
            studio.until(lambda chip=chip: "Recording on the server" in chip.inner_text(), "all are told")
        recording = f"sessions/{session['id']}/recording"
        studio.until(lambda: fetch(service, recording)["frames"] > 3, "it is recorded")
        studio.page.click("#record-there")
        for chip in chips:
            studio.until(lambda chip=chip: "Recording" not in chip.inner_text(), "it has ended")
        assert any(each["name"].endswith(".mp4") for each in fetch(service, "recordings")["recordings"])
        other.page.click("#stop")
        other.until_condition("idle")
        studio.until(lambda: fetch(service, "sessions")["sessions"][0]["viewers"] == 1, "one has left")
        assert studio.condition == "live", "the session goes on"


def test_the_page_says_when_a_recording_has_ended_by_itself(browser: Browser, service: Server) -> None:
    with Studio.open(browser, service.url) as studio:
        choose(studio, "gate")
        studio.until_condition("live")
        chips, toast = studio.page.locator("#chips"), studio.page.locator("#toast")
        whole = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (FULL, whole[1]))  # the server is in this process
        try:
            studio.page.click("#record-there")
            studio.until(lambda: "Recording on the server" in chips.inner_text(), "it begins")
            studio.until(lambda: "File too large" in (toast.text_content() or ""), "it says why it ended")
            assert "Recording" not in chips.inner_text()
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, whole)
        assert studio.condition == "live", "the session goes on"


def test_a_camera_that_nobody_follows_is_opened(browser: Browser, service: Server) -> None:
    with Studio.open(browser, service.url) as studio:
        choose(studio, "yard")
        studio.until_condition("live")
        assert "yard" in [each["name"] for each in fetch(service, "sessions")["sessions"]]
        assert studio.page.locator("#instant").is_disabled()


def test_a_camera_without_a_picture_says_so(browser: Browser, service: Server) -> None:
    with Studio.open(browser, service.url) as studio:
        choose(studio, "dark")
        studio.until_condition("silent")
        assert studio.page.get_by_role("status").inner_text() == "No signal from the camera"


def test_a_server_that_keeps_no_recordings_says_so(studio: Studio) -> None:
    studio.start_camera()
    studio.page.locator("#source-section summary").click()
    studio.page.click("#record-there")
    toast = studio.page.locator("#toast")
    studio.until(lambda: "recording is off" in (toast.text_content() or ""), "the refusal is shown")
    assert not studio.page.locator("#chips .recording").is_visible()
