"""The page as a person has it: what is seen and where things lie, worked out independently of the page."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import Browser, Page
from scene import Scene, chroma

from engine.types import Frame

# What the browser's camera films: a red square that moves 4 pixels a frame, a green one that stands, on grey.
SCENE = Scene(speed=4)
X, Y = (corner + SCENE.side / 2 for corner in SCENE.green(0))
GREEN_AT = (X / SCENE.width, Y / SCENE.height)

# Keeps what travels on the data channels, for the tests to read.
WIRETAP = """
window.wire = {sent: [], received: [], connections: []};
const Real = RTCPeerConnection;
window.RTCPeerConnection = class extends Real {
  constructor(...args) { super(...args); wire.connections.push(this); }
  createDataChannel(...args) {
    const channel = super.createDataChannel(...args);
    const send = channel.send.bind(channel);
    channel.send = (data) => { wire.sent.push(JSON.parse(data)); send(data); };
    channel.addEventListener("message", ({data}) => {
      wire.received.push(JSON.parse(data));
      if (wire.received.length > 2000) wire.received.shift();
    });
    return channel;
  }
};
"""

# Middle of the red square on the canvas as it is painted, 0..1 of its upper half's width; null without one.
RED_ON_CANVAS = """async ([left, width, height]) => {
  for (let i = 0; i < 2; i++) await new Promise(requestAnimationFrame);
  const canvas = document.getElementById("overlay");
  const ratio = canvas.width / canvas.clientWidth;
  const [x, w, h] = [left * ratio, width * ratio, height * ratio].map(Math.round);
  const y = Math.round((canvas.height - h) / 2 + h / 4);  // a line through the square
  const {data} = canvas.getContext("2d").getImageData(x, y, w, 1);
  const red = [];
  for (let i = 0; i < w; i++) if (data[4 * i] > 100 && data[4 * i] - data[4 * i + 1] > 60) red.push(i);
  return red.length ? (red[0] + red.at(-1) + 1) / 2 / w : null;
}"""


class Studio:
    """One open page."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.problems: list[str] = []
        page.on("pageerror", lambda error: self.problems.append(str(error)))
        page.on("console", lambda line: line.type == "error" and self.problems.append(line.text))
        page.add_init_script(WIRETAP)

    @classmethod
    @contextmanager
    def open(cls, browser: Browser, url: str, **context: Any) -> Iterator[Self]:
        context.setdefault("viewport", {"width": 1100, "height": 760})
        profile = browser.new_context(**context)
        try:
            studio = cls(profile.new_page())
            studio.page.goto(url)
            yield studio
        finally:
            profile.close()

    # What the page says.

    @property
    def condition(self) -> str:
        return str(self.page.evaluate("document.body.dataset.condition"))

    def until(self, holds: Callable[[], Any], what: str, seconds: float = 60) -> Any:
        deadline = time.monotonic() + seconds
        while not (value := holds()):
            if time.monotonic() > deadline:
                toast = self.page.locator("#toast").text_content()
                raise AssertionError(
                    f"{what}: not within {seconds} s; {self.condition=} {toast=} {self.problems=}"
                )
            self.page.wait_for_timeout(30)
        return value

    def until_condition(self, name: str, seconds: float = 60) -> None:
        self.until(lambda: self.condition == name, f"the page is {name}", seconds)

    def start_camera(self, mirror: bool = False) -> None:
        """Through the page's own controls."""
        self.tick("Mirror", mirror)
        self.page.click("#start-camera")
        self.until_condition("live")

    def tick(self, label: str, on: bool) -> None:
        """A checkbox of the panel, in its section."""
        box = self.page.get_by_label(label, exact=True)
        section = self.page.locator("details.section").filter(has=box)
        if section.get_attribute("open") is None:
            section.locator("summary").click()
        box.set_checked(on)
        section.locator("summary").click()

    def received(self, kind: str) -> list[dict[str, Any]]:
        return list(self.page.evaluate("(kind) => wire.received.filter((m) => m.type === kind)", kind))

    def sent(self, key: str) -> list[dict[str, Any]]:
        return list(self.page.evaluate("(key) => wire.sent.filter((m) => key in m)", key))

    def newest_result(self) -> dict[str, Any]:
        found = self.page.evaluate("wire.received.findLast((m) => m.type === 'result') ?? null")
        return dict(found) if found else {"objects": []}

    def object_result(self, object_id: int) -> dict[str, Any] | None:
        objects = self.newest_result()["objects"]
        return next((entry for entry in objects if entry["object_id"] == object_id), None)

    def until_object(self, object_id: int) -> dict[str, Any]:
        """The object's part of a result, once there is one with a mask."""

        def masked() -> dict[str, Any] | None:
            found = self.object_result(object_id)
            return found if found and found["box"] else None

        found: dict[str, Any] = self.until(masked, f"object {object_id} has a mask")
        return found

    # Where things are.

    def place(
        self, x: float, y: float, *, size: tuple[int, int] = (320, 240), mirror: bool = False, turn: int = 0
    ) -> tuple[float, float]:
        """Page coordinates of the spot (x, y), 0..1 of the source picture, as the page should lay it out."""
        box = self.page.locator("#overlay").bounding_box()
        assert box is not None
        return laid_out(box, x, y, size, mirror, turn)

    def pixels(self) -> NDArray[np.uint8]:
        """The page as it looks, RGB uint8 [H, W, 3]."""
        return np.asarray(Image.open(io.BytesIO(self.page.screenshot())).convert("RGB"))

    def color_at(self, x: float, y: float) -> NDArray[np.int64]:
        """Mean colour of a few pixels around a spot of the page."""
        patch = self.pixels()[int(y) - 2 : int(y) + 3, int(x) - 2 : int(x) + 3]
        return patch.reshape(-1, 3).mean(axis=0).round().astype(np.int64)

    def objects(self) -> list[str]:
        return list(
            self.page.locator("#objects .name").evaluate_all("(all) => all.map((name) => name.value)")
        )

    def settings(self) -> dict[str, Any]:
        return dict(json.loads(self.page.evaluate("localStorage.getItem('livemask') ?? '{}'")))


def laid_out(
    box: Mapping[str, float], x: float, y: float, size: tuple[int, int], mirror: bool = False, turn: int = 0
) -> tuple[float, float]:
    """Where the spot (x, y), 0..1 of a picture of that size, is in a box that it fits into."""
    for _ in range(turn // 90):
        x, y = 1 - y, x
    width, height = size if turn % 180 == 0 else size[::-1]
    x = 1 - x if mirror else x
    scale = min(box["width"] / width, box["height"] / height)
    left = box["x"] + (box["width"] - width * scale) / 2
    top = box["y"] + (box["height"] - height * scale) / 2
    return left + x * width * scale, top + y * height * scale


def red_of(frame: Frame) -> float:
    """Middle of the red square, in pixels."""
    upper = chroma(frame)[1, : frame.height // 4]
    return 2 * (float(np.nonzero(upper > 150)[1].mean()) + 0.5)
