"""The main job in Firefox: start, click, and the mask is where the click was, on the frame clicked."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from colour_server import Server
from driver import GREEN_AT, RED_ON_CANVAS, SCENE, WIRETAP, laid_out, red_of
from firefox import MISSING, PATH, Firefox

from engine.masks import rle_to_mask

pytestmark = [pytest.mark.browser, pytest.mark.skipif(PATH is None, reason=MISSING)]

# Firefox's own fake camera changes its colour all the time; this one films the scene of the other tests.
CAMERA = f"""
navigator.mediaDevices.getUserMedia = async () => {{
  const canvas = document.createElement("canvas"), context = canvas.getContext("2d");
  [canvas.width, canvas.height] = [{SCENE.width}, {SCENE.height}];
  const square = (colour, x, y) => {{
    context.fillStyle = `rgb(${{colour}})`;
    context.fillRect(x, y, {SCENE.side}, {SCENE.side});
  }};
  let index = 0;
  setInterval(() => {{
    context.fillStyle = "rgb(128, 128, 128)";
    context.fillRect(0, 0, canvas.width, canvas.height);
    square("200, 40, 40", {SCENE.speed} * index++ % (canvas.width - {SCENE.side}), {SCENE.red(0)[1]});
    square("40, 190, 60", {SCENE.green(0)[0]}, {SCENE.green(0)[1]});
  }}, 66);
  return canvas.captureStream(15);
}};
"""
ANSWERED = "wire.received.find((m) => m.type === 'ack' && m.request_id === {!r})"
CLICKED = "wire.sent.filter((m) => 'prompts' in m)[{}]"
CLICKS = 5


@pytest.fixture(scope="module")
def firefox(tmp_path_factory: pytest.TempPathFactory, server: Server) -> Iterator[Firefox]:
    with Firefox.open(tmp_path_factory.mktemp("firefox")) as firefox:
        firefox.before_each_page(WIRETAP + CAMERA)
        yield firefox


def start(firefox: Firefox, server: Server, button: str) -> None:
    firefox.goto(server.url)
    firefox.evaluate(f"document.getElementById('{button}').click()")
    firefox.until("document.body.dataset.condition === 'live'", "the page is live")


def test_a_click_masks_what_is_under_it_on_the_frame_clicked(firefox: Firefox, server: Server) -> None:
    start(firefox, server, "start-camera")
    for option in ("mirror", "numbers", "glyphs"):
        firefox.evaluate(f"document.querySelector('#{option}:checked')?.click()")
    firefox.evaluate("document.getElementById('mode-plain').click()")
    box = firefox.evaluate("document.getElementById('overlay').getBoundingClientRect().toJSON()")
    (left, top), (right, bottom) = (laid_out(box, at, at, (SCENE.width, SCENE.height)) for at in (0.0, 1.0))
    look = f"({RED_ON_CANVAS})({[left - box['x'], right - left, bottom - top]})"
    frames = server.worker.lanes[-1].frames
    for number in range(CLICKS):
        at = laid_out(box, *GREEN_AT, (SCENE.width, SCENE.height))
        seen = firefox.press(*at, lambda: firefox.evaluate(look))
        message = firefox.until(CLICKED.format(number), "the click was sent")
        ack = firefox.until(ANSWERED.format(message["request_id"]), "it was answered")
        used = frames[ack["applied_frame_index"]]
        assert (used.rtp_timestamp, ack["reanchored"]) == (message["rtp_timestamp"], False)
        assert seen * SCENE.width == pytest.approx(red_of(used), abs=1.9), f"click {number}"
    newest = firefox.until(
        "wire.received.findLast((m) => m.type === 'result' && m.objects[0]?.box)", "a mask"
    )
    x, y = SCENE.green(0)
    truth = np.zeros((SCENE.height, SCENE.width), bool)
    truth[y : y + SCENE.side, x : x + SCENE.side] = True
    mask = rle_to_mask(newest["objects"][0]["rle"])
    assert (mask & truth).sum() > 0.9 * (mask | truth).sum()


def test_the_sample_needs_no_camera(firefox: Firefox, server: Server) -> None:
    """Without leave for a camera Firefox hides its addresses, and the two find each other all the same."""
    start(firefox, server, "start-sample")
    assert firefox.evaluate("wire.connections[0].localDescription.sdp.includes('.local ')")
    assert firefox.until("document.getElementById('returned').videoWidth", "the masked video comes") == 640
