"""The page's modules without the page: run lengths, geometry, keys, conditions, clocks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from colour_server import Server
from playwright.sync_api import Browser, Page

from engine.masks import mask_to_rle, rle_to_mask
from engine.palette import COLOURS, hex_colour

pytestmark = pytest.mark.browser

Evaluate = Callable[..., Any]


@pytest.fixture(scope="module")
def blank(browser: Browser, server: Server) -> Iterator[Page]:
    """An empty page of the service's origin, from which its modules can be imported."""
    page = browser.new_page()
    page.goto(server.url + "icon.svg")
    yield page
    page.close()


@pytest.fixture
def js(blank: Page) -> Evaluate:
    """Runs `(module, argument) => ...` with a module of the page."""

    def evaluate(module: str, function: str, argument: object = None) -> Any:
        script = f"async ([module, argument]) => ({function})(await import(module), argument)"
        return blank.evaluate(script, [f"/{module}", argument])

    return evaluate


@pytest.mark.parametrize("density", [0.0, 0.01, 0.5, 1.0])
def test_run_lengths_are_those_of_the_engine(js: Evaluate, density: float) -> None:
    mask = np.random.default_rng(3).random((37, 23)) < density
    rle = mask_to_rle(mask)
    decoded = js("rle.js", "(m, rle) => Array.from(m.decode(rle))", rle)
    assert np.array_equal(np.array(decoded, bool).reshape(37, 23), mask)
    flat = mask.astype(int).reshape(-1).tolist()
    encoded = js("rle.js", "(m, flat) => m.encode(Uint8Array.from(flat), 23, 37)", flat)
    assert np.array_equal(rle_to_mask(encoded), mask)
    assert encoded == rle
    assert js("rle.js", "(m, rle) => m.area(rle)", rle) == mask.sum()


@pytest.mark.parametrize("counts", ["\x10", "z" * 30, "0ZZZ9"])
def test_broken_run_lengths_are_refused(js: Evaluate, counts: str) -> None:
    attempt = "(m, rle) => { try { m.decode(rle); return 'decoded'; } catch (error) { return error.name; } }"
    assert js("rle.js", attempt, {"size": [4, 4], "counts": counts}) == "RangeError"


@pytest.mark.parametrize("turn", [0, 90, 180, 270])
@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize("box", [(800, 300), (300, 800)])
def test_a_spot_maps_to_the_screen_and_back(
    js: Evaluate, turn: int, mirror: bool, box: tuple[int, int]
) -> None:
    function = """(m, {box, how, spot}) => {
      const view = new m.View({width: 640, height: 480}, {width: box[0], height: box[1]}, how);
      const on = view.toBox(spot);
      const [a, b, c, d, e, f] = view.matrix(2);
      const drawn = {x: a * spot.x + c * spot.y + e, y: b * spot.x + d * spot.y + f};
      return {on, back: view.toPicture(on), drawn};
    }"""
    spot = {"x": 0.2, "y": 0.9}
    found = js("geometry.js", function, {"box": box, "how": {"turn": turn, "mirror": mirror}, "spot": spot})
    u, v = spot["x"], spot["y"]
    for _ in range(turn // 90):
        u, v = 1 - v, u
    width, height = (640, 480) if turn % 180 == 0 else (480, 640)
    scale = min(box[0] / width, box[1] / height)
    x = (box[0] - width * scale) / 2 + (1 - u if mirror else u) * width * scale
    y = (box[1] - height * scale) / 2 + v * height * scale
    assert found["on"] == pytest.approx({"x": x, "y": y})
    assert found["back"] == pytest.approx({**spot, "inside": True})
    assert found["drawn"] == pytest.approx({"x": 2 * x, "y": 2 * y})


def test_beside_the_picture_is_outside(js: Evaluate) -> None:
    function = """(m) => new m.View({width: 100, height: 100}, {width: 300, height: 100})
      .toPicture({x: 99, y: 50}).inside"""
    assert js("geometry.js", function) is False


def test_colours_are_those_of_the_engine(js: Evaluate) -> None:
    ids = list(range(1, len(COLOURS) + 3))
    assert js("palette.js", "(m, ids) => ids.map(m.objectColor)", ids) == [hex_colour(i) for i in ids]


@pytest.mark.parametrize(
    ("key", "held", "focus", "command"),
    [
        ("z", {"ctrlKey": True}, {}, "undo"),
        ("z", {"metaKey": True}, {}, "undo"),
        ("Z", {"ctrlKey": True, "shiftKey": True}, {}, "redo"),
        ("n", {}, {}, "new"),
        ("n", {}, {"typing": True}, None),
        ("7", {}, {}, "select"),
        ("ArrowLeft", {}, {"picture": True}, "move"),
        ("ArrowLeft", {}, {"control": True}, None),
        ("Enter", {}, {"control": True}, None),
        ("Enter", {}, {"picture": True}, "include"),
        (" ", {}, {"control": True}, None),
        (" ", {}, {}, "freeze"),
        ("-", {}, {}, "exclude"),
        ("?", {"shiftKey": True}, {}, "help"),
        ("r", {"ctrlKey": True}, {}, None),
        ("h", {"altKey": True}, {}, None),
    ],
)
def test_keys(
    js: Evaluate, key: str, held: dict[str, bool], focus: dict[str, bool], command: str | None
) -> None:
    function = """(m, {key, held, focus}) => m.orderOf(new KeyboardEvent("keydown", {key, ...held}),
      {typing: false, control: false, picture: false, ...focus})?.command ?? null"""
    assert js("shortcuts.js", function, {"key": key, "held": held, "focus": focus}) == command


@pytest.mark.parametrize(
    ("facts", "name"),
    [
        ({}, "idle"),
        ({"asking": True}, "asking"),
        ({"why": "CAMERA_BLOCKED"}, "CAMERA_BLOCKED"),
        ({"connection": "connecting"}, "connecting"),
        ({"connection": "connecting", "why": "MODEL_LOADING"}, "MODEL_LOADING"),
        ({"connection": "connecting", "why": "SERVER_FULL"}, "SERVER_FULL"),
        ({"connection": "live"}, "connecting"),
        ({"connection": "live", "pictured": True}, "live"),
        ({"connection": "live", "pictured": True, "stalled": True}, "stalled"),
        ({"connection": "live", "pictured": True, "stalled": True, "frozen": True}, "frozen"),
        ({"connection": "live", "pictured": True, "lost": True}, "SOURCE_LOST"),
        ({"connection": "reconnecting", "pictured": True, "why": "UNREACHABLE"}, "reconnecting"),
    ],
)
def test_what_is_the_case(js: Evaluate, facts: dict[str, object], name: str) -> None:
    nothing = {
        "connection": "closed",
        "why": None,
        "asking": False,
        "frozen": False,
        "stalled": False,
        "pictured": False,
        "lost": False,
    }
    assert js("states.js", "(m, facts) => m.judge(facts)", {**nothing, **facts}) == name
    told = js("states.js", "(m, name) => m.condition(name)", name)
    assert told["word"]
    if "title" in told:
        assert told["text"], "a card says what to do next"


def test_backoff_doubles_up_to_its_ceiling(js: Evaluate) -> None:
    function = """(m) => {
      const wait = new m.Backoff({first: 0.5, most: 8, random: () => 0.5});
      const found = [1, 2, 3, 4, 5, 6].map(() => wait.next());
      wait.reset();
      return [...found, wait.next(), wait.next(30)];
    }"""
    assert js("backoff.js", function) == [0.5, 1, 2, 4, 8, 8, 0.5, 30]


def test_a_lost_result_is_replaced_by_the_one_before(js: Evaluate) -> None:
    function = """(m) => {
      const frames = new m.Frames();
      const near = 2 ** 32 - 1000;
      [near, (near + 3000) % 2 ** 32, (near + 12000) % 2 ** 32].forEach((rtp_timestamp, frame_index) =>
        frames.add({rtp_timestamp, frame_index, objects: []}));
      const of = (rtp) => frames.of(rtp % 2 ** 32)?.frame_index ?? null;
      return [0, 3000, 6000, 12000, 90000, -3000].map((ticks) => of(near + ticks));
    }"""
    assert js("frames.js", function) == [0, 1, 1, 2, None, None]


@pytest.mark.parametrize(("jitter", "delay", "seen"), [(0, 0, 1), (0, 7, 0.8), (6, 0, 0.5), (6, 12, 0.5)])
def test_results_find_the_capture_of_their_picture(
    js: Evaluate, jitter: float, delay: float, seen: float
) -> None:
    """A camera of 30 fps (jittering or not), stamped a little late; page and engine each see a part of it."""
    function = """(m, [jitter, delay, seen]) => {
      const clock = new m.CameraClock();
      let seed = 1;
      const random = () => (seed = (seed * 16807) % 2147483647) / 2147483647;
      const zero = performance.now(), epoch = Date.now() - performance.now();
      const captures = [];
      for (let i = 0; i < 240; i++) captures.push(zero + i * 33.3 + jitter * (2 * random() - 1));
      const errors = [];
      captures.forEach((capture, i) => {
        if (random() <= seen) clock.captured(capture);
        if (i < 5 || random() > seen) return;
        const wall = Math.round(captures[i - 3] + delay + epoch) / 1000;
        const result = {capture_time: i < 20 ? null : wall};
        clock.readResult(result);
        const found = clock.captureOf(result);
        if (i > 120) errors.push(found === null ? null : Math.abs(found - captures[i - 3]));
      });
      return errors;
    }"""
    errors = js("camera-clock.js", function, [jitter, delay, seen])
    assert len(errors) > 40
    assert all(error is not None and error < 3 for error in errors)


def test_clocks_that_do_not_agree_give_no_answer(js: Evaluate) -> None:
    """The wall clock was set by half a minute while the session ran."""
    function = """(m) => {
      const clock = new m.CameraClock();
      const wall = Date.now() + 30000, zero = performance.now();
      return [...Array(200).keys()].map((i) => {
        clock.captured(zero + i * 33.3);
        const result = {capture_time: (wall + i * 33.3) / 1000};
        clock.readResult(result);
        return clock.captureOf(result);
      }).every((found) => found === null);
    }"""
    assert js("camera-clock.js", function) is True


def test_undo_and_redo(js: Evaluate) -> None:
    function = """async (m) => {
      const history = new m.History();
      const said = [];
      const say = (word) => async () => said.push(word);
      const deed = (name) => ({id: name.length, undo: say("-" + name), redo: say("+" + name)});
      history.push(deed("a"));
      history.push(deed("b"));
      await history.undo();
      await history.undo();
      await history.undo();
      await history.redo();
      history.push(deed("c"));
      await history.redo();
      await history.undo();
      history.push(deed("dd"));
      history.push(deed("e"));
      const found = await Promise.all([history.undo(2), history.undo(2)]);
      return [said, found, history.canUndo, history.canRedo];
    }"""
    said = ["-b", "-a", "+a", "-c", "-dd"]
    assert js("history.js", function) == [said, [True, False], True, True]


def test_a_clicked_point_keeps_its_place_in_the_object(js: Evaluate) -> None:
    """It was clicked on a picture of before, and the object has moved on when the first result comes."""
    function = """(m) => {
      const objects = new m.ObjectList();
      const mark = {x: 0.3, y: 0.5, label: 1, within: null, open: true};
      objects.ensure(1);
      objects.update(1, {marks: [mark]});
      const found = (x) => [{object_id: 1, state: "tracking", score: 1, box: [x, 0.5, 0.2, 0.2]}];
      objects.readResult({frame_index: 7, objects: found(0.6)});
      objects.readPreview({objects: found(0.3)});
      objects.settleMarks(1);
      objects.readResult({frame_index: 8, objects: found(0.7)});
      const late = {...mark, within: null, open: false};
      objects.update(1, {marks: [mark, late]});
      objects.readResult({frame_index: 9, objects: found(0.8)});
      const {box} = objects.get(1);
      return [m.markNow(mark, box).x, m.markNow(late, box).x];
    }"""
    assert js("objects.js", function) == pytest.approx([0.8, 0.3])


def test_a_preview_that_comes_after_the_answer_is_told(js: Evaluate) -> None:
    function = """async (m) => {
      const requests = new m.Requests();
      const sent = [], told = [];
      const made = requests.make({}, (message) => sent.push(message), (preview) => told.push(preview));
      requests.answered({request_id: sent[0].request_id});
      const ack = await made;
      for (let i = 0; i < 2; i++) requests.previewed({request_id: ack.request_id});
      return told;
    }"""
    assert js("requests.js", function) == [{"request_id": "r1"}]
