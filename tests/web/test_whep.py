"""Chromium as a WHEP player that knows nothing of Livemask, beside the page whose session it watches."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import numpy as np
import pytest
from driver import GREEN_AT, Studio
from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.browser

PLAYER = Path(__file__).with_name("whep.html").read_text()


@contextmanager
def player(studio: Studio, session: str, lossy: bool = False) -> Iterator[Page]:
    """A page of the service's own origin that plays `session`; a lossy one loses pictures when told to."""
    browser = studio.page.context.browser
    assert isinstance(browser, Browser)
    profile = browser.new_context()
    try:
        page = profile.new_page()
        address = urljoin(studio.page.url, "/player.html")
        page.route(address, lambda route: route.fulfill(body=PLAYER, content_type="text/html"))
        page.goto(address)
        page.evaluate("([at, lossy]) => watch(at, lossy)", [urljoin(address, f"/whep/{session}"), lossy])
        yield page
    finally:
        profile.close()


def running(studio: Studio) -> dict[str, Any]:
    """The session of the studio's page, as the service tells it."""
    told = studio.page.request.get(urljoin(studio.page.url, "/sessions")).json()["sessions"]
    return next(each for each in told if each["state"] == "live" and each["source"] == "webrtc")


def seen(studio: Studio, page: Page, pictures: int) -> dict[str, Any]:
    """Wait for so many shown pictures; what Chromium counted."""
    what = f"{pictures} pictures in the player"
    studio.until(lambda: page.evaluate("pictures") >= pictures, what, 40)
    return dict(page.evaluate("inbound()"))


def colour(page: Page, x: float, y: float) -> np.ndarray:
    return np.array(page.evaluate("([x, y]) => colour(x, y)", [x, y]))


def test_a_player_shows_the_masked_picture_and_a_late_one_at_once(studio: Studio) -> None:
    studio.start_camera()
    session = running(studio)["id"]
    with player(studio, session) as early:
        counted = seen(studio, early, 10)
        assert (counted["width"], counted["height"]) == (320, 240)
        plain = colour(early, *GREEN_AT)
        studio.page.request.post(
            urljoin(studio.page.url, f"/sessions/{session}/prompts"),
            data={
                "prompts": [{"x": GREEN_AT[0] * 320, "y": GREEN_AT[1] * 240, "object_id": 1}],
                "width": 320,
                "height": 240,
            },
        )
        studio.until(
            lambda: np.abs(colour(early, *GREEN_AT) - plain).max() > 40, "the object is tinted in the player"
        )
        assert np.abs(colour(early, 0.9, 0.95) - 128).max() < 25, "the background is as it was"
        with player(studio, session) as late:
            began = seen(studio, late, 1)
            assert began["keys"] >= 1
            assert np.abs(colour(late, *GREEN_AT) - colour(early, *GREEN_AT)).max() < 25
            assert sum(each["viewers"] for each in running(studio)["encoders"]) == 3
            assert late.request.delete(late.evaluate("place")).status == 200
        before = early.evaluate("pictures")
        seen(studio, early, before + 10)  # nobody else's leaving is noticed
    assert studio.problems == []


def test_a_player_that_lost_pictures_asks_for_a_key_frame_and_gets_it(studio: Studio) -> None:
    studio.start_camera()
    with player(studio, running(studio)["id"], lossy=True) as page:
        before = seen(studio, page, 10)
        page.evaluate("lose = 1000")  # key frames, too, which come by themselves now and then
        studio.until(lambda: page.evaluate("inbound()")["plis"] > before["plis"], "Chromium sends a PLI", 40)
        page.evaluate("lose = 0")
        shown = page.evaluate("pictures")
        after = seen(studio, page, shown + 20)
        assert after["keys"] > before["keys"]
