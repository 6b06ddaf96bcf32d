"""The frame that a prompt is carried out on is the frame that was clicked, however late the wire.

The camera's red square moves 4 pixels a frame: where it stands on the canvas tells which frame is seen, and
where it stands in the engine's frame which one was used. `LIVEMASK_CLICKS=100` makes it a soak.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from colour_server import Server
from driver import GREEN_AT, RED_ON_CANVAS, SCENE, Studio, red_of
from playwright.sync_api import Browser, Page, Route

from signaling.bench.relay import Relay, Weather

pytestmark = pytest.mark.browser

CLICKS = int(os.environ.get("LIVEMASK_CLICKS", "8"))

CANDIDATES = re.compile(r"(a=candidate:[^\r]*\r\n)+")
NOWHERE = "candidate:1 1 udp 2130706431 127.0.0.1 9 typ host"


@contextmanager
def far_away(page: Page, delay: float) -> Iterator[Relay]:
    """All of the page's media and data go through a relay that keeps each datagram for `delay` seconds."""
    loop, relay = asyncio.new_event_loop(), Relay(Weather(delay=delay))
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    def redirect(route: Route) -> None:
        offer = route.request.post_data_json
        # The server must not find the way past the relay: what the page offers leads nowhere.
        offer["sdp"] = CANDIDATES.sub(f"a={NOWHERE}\r\n", offer["sdp"])
        response = route.fetch(post_data=json.dumps(offer))
        answer = response.json()
        rewritten = asyncio.run_coroutine_threadsafe(relay.rewrite(answer["sdp"]), loop)
        route.fulfill(response=response, json={**answer, "sdp": rewritten.result(10)})

    page.route("**/sessions", redirect)
    yield relay
    loop.call_soon_threadsafe(relay.close)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)


@pytest.mark.parametrize(
    ("delay", "instant"),
    [(0.0, False), (0.2, False), (0.0, True)],
    ids=["near", "200 ms each way", "instant view"],
)
def test_the_frame_used_is_the_frame_clicked(
    browser: Browser, server: Server, delay: float, instant: bool
) -> None:
    with Studio.open(browser, server.url) as studio, far_away(studio.page, delay) as relay:
        for label in ("Numbers on the picture", "Clicked points on the picture"):
            studio.tick(label, False)
        studio.page.click("#mode-plain")
        studio.start_camera()
        if instant:
            studio.page.click("#instant")
            chips = studio.page.locator("#chips")
            studio.until(lambda: chips.text_content() == "Instant", "pictures and masks are matched", 30)
        engine, frames = server.worker.lanes[-1].engine, server.worker.lanes[-1].frames
        pause = random.Random(7)
        for number in range(CLICKS):
            studio.page.wait_for_timeout(pause.uniform(0, 120))
            seen, message = click_green(studio, number)
            (ack,) = studio.until(lambda sent=message: answers_to(studio, sent, "ack"), "the answer came")
            _, used = engine.applied[-1]
            (preview,) = studio.until(
                lambda sent=message: answers_to(studio, sent, "preview"), "the mask was foretold"
            )
            assert preview["rtp_timestamp"] == message["rtp_timestamp"]
            assert (ack["applied_frame_index"], ack["reanchored"]) == (used, False)
            assert frames[used].rtp_timestamp == message["rtp_timestamp"]
            assert seen == pytest.approx(red_of(frames[used]), abs=1.9), f"click {number}"
        assert len(engine.applied) == CLICKS
        assert relay.passed > 20 * CLICKS, "all of it came over the relay"


def click_green(studio: Studio, number: int) -> tuple[float, dict[str, Any]]:
    """Press on the green square, look where the red one is, release. Pixels of the source, the message."""
    page = studio.page
    page.mouse.move(*studio.place(*GREEN_AT))
    page.mouse.down()
    box = page.locator("#overlay").bounding_box()
    assert box is not None
    (left, top), (right, bottom) = studio.place(0, 0), studio.place(1, 1)
    at = page.evaluate(RED_ON_CANVAS, [left - box["x"], right - left, bottom - top])
    page.mouse.up()
    sent = studio.until(lambda: studio.sent("prompts")[number:], "the click was sent")
    assert at is not None, "the red square is on the canvas"
    return at * SCENE.width, sent[0]


def answers_to(studio: Studio, message: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    return [told for told in studio.received(kind) if told["request_id"] == message["request_id"]]
