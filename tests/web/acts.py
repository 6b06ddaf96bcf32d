"""What a person does on a live page, and what comes of it, for the tests of its controls."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from colour_server import Server
from driver import GREEN_AT, Studio
from scene import GREEN

from engine.types import Prompt


def click_green(live: Studio, dx: float = 0, dy: float = 0) -> None:
    live.page.mouse.click(*live.place(GREEN_AT[0] + dx, GREEN_AT[1] + dy))


def add_green(live: Studio, object_id: int = 1) -> None:
    click_green(live)
    live.until_object(object_id)
    live.until(lambda: f"Object {object_id}" in live.objects(), "the card is there")


def until_tinted(live: Studio) -> None:
    """The moving picture on the screen shows the mask; what is foretold on a frozen one does not count."""
    near = live.place(GREEN_AT[0] + 0.04, GREEN_AT[1] + 0.05)

    def tinted() -> bool:
        return live.condition == "live" and bool(np.abs(live.color_at(*near) - GREEN).max() > 40)

    live.until(tinted, "the mask is in the picture")


def fake_screen(live: Studio) -> None:
    """Whatever is shared from now on is a canvas of 400 x 200."""
    live.page.evaluate("""() => {
      const canvas = document.createElement("canvas");
      [canvas.width, canvas.height] = [400, 200];
      setInterval(() => canvas.getContext("2d").fillRect(Math.random() * 400, 0, 9, 200), 50);
      navigator.mediaDevices.getDisplayMedia = async () => canvas.captureStream(20);
    }""")


def server_state(live: Studio) -> dict[str, object]:
    return live.received("state")[-1]


def answered(live: Studio, message: dict[str, Any]) -> Callable[[], bool]:
    return lambda: any(ack["request_id"] == message["request_id"] for ack in live.received("ack"))


def seen_frame(live: Studio, message: dict[str, Any]) -> int:
    """The number of the frame whose timestamp a message names."""
    stamps = {result["rtp_timestamp"]: result["frame_index"] for result in live.received("result")}
    return int(stamps[message["rtp_timestamp"]])


def applied(server: Server) -> list[tuple[Prompt, int]]:
    return server.worker.lanes[-1].engine.applied
