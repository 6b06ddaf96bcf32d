"""The engine thread with the real tracker; only the network is small."""

from __future__ import annotations

import gc
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from typing import Any

import numpy as np
import pytest
from official import clip_frames, small_model

from engine import ahead, requests, rounds, worker
from engine.memory import Memory
from engine.models import Model
from engine.rounds import Answer, Job
from engine.tracker import Tracker
from engine.types import EngineError, Frame, Point, Points
from engine.worker import Worker

CLICK = (Points(1, (Point(0.4, 0.5),)),)
FRAMES = clip_frames(6)


@pytest.fixture(scope="module")
def model() -> Model:
    return small_model()


@pytest.fixture
def engine(model: Model) -> Iterator[Worker]:
    engine = Worker(lambda: model)
    engine.start()
    wait_for(lambda: engine.ready)
    yield engine
    engine.stop()


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)


class Gate:
    """Holds the engine inside a round, and writes down which frames each round took."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.rounds: list[list[int]] = []
        self.entered, self.open = threading.Event(), threading.Event()

        def gated(model: Model, jobs: Sequence[Job]) -> list[Answer | Exception]:
            self.rounds.append([job.frame.index for job in jobs])
            self.entered.set()
            assert self.open.wait(60)
            return rounds.answer_many(model, jobs)

        monkeypatch.setattr(worker, "answer_many", gated)


@pytest.fixture
def gate(engine: Worker, monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    gate = Gate(monkeypatch)
    yield gate
    gate.open.set()


def test_streams_get_the_masks_they_would_get_alone(engine: Worker, model: Model) -> None:
    alone = Tracker(model)
    expected = [alone.step(frame, CLICK if frame.index == 0 else ()) for frame in FRAMES]
    streams = [engine.open() for _ in range(3)]
    for frame, masks in zip(FRAMES, expected, strict=True):
        futures = [stream.submit(frame, CLICK if frame.index == 0 else ()) for stream in streams]
        for future in futures:
            result = future.result(60)
            assert result.frame_index == frame.index
            overlap = (result.objects[0].mask == masks.objects[0].mask).mean()
            assert overlap > 0.999


def test_a_round_takes_one_step_of_every_waiting_stream(engine: Worker, gate: Gate) -> None:
    streams = [engine.open() for _ in range(4)]
    first = streams[0].submit(FRAMES[0])
    assert gate.entered.wait(60)
    rest = [stream.submit(Frame(i, FRAMES[0].image)) for i, stream in enumerate(streams[1:], 1)]
    gate.open.set()
    for future in (first, *rest):
        future.result(60)
    assert gate.rounds == [[0], [1, 2, 3]]


def test_live_streams_go_before_background_ones_which_do_not_starve(
    engine: Worker, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    live, other, background = engine.open(), engine.open(), engine.open()
    holding = live.submit(Frame(0, FRAMES[0].image))
    assert gate.entered.wait(60)
    later = background.submit(Frame(2, FRAMES[0].image), live=False)
    sooner = other.submit(Frame(1, FRAMES[0].image))
    gate.open.set()
    for future in (holding, sooner, later):
        future.result(60)
    assert gate.rounds == [[0], [1], [2]]

    monkeypatch.setattr(requests, "BACKGROUND_WAIT_S", 0.0)
    gate.open.clear()
    gate.entered.clear()
    holding = live.submit(Frame(3, FRAMES[0].image))
    assert gate.entered.wait(60)
    later = background.submit(Frame(5, FRAMES[0].image), live=False)
    sooner = other.submit(Frame(4, FRAMES[0].image))
    gate.open.set()
    for future in (holding, sooner, later):
        future.result(60)
    assert gate.rounds[3:] == [[3], [5, 4]]


def test_live_streams_go_before_other_work_which_does_not_starve(
    engine: Worker, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    live, other = engine.open(), engine.open()

    def rounds_before_a_piece(frame: int) -> int:
        """One that comes while a live step is under way, just before another."""
        gate.open.clear()
        gate.entered.clear()
        holding = live.submit(Frame(frame, FRAMES[0].image))
        assert gate.entered.wait(60)
        piece = engine.call(lambda model: len(gate.rounds))
        following = other.submit(Frame(frame + 1, FRAMES[0].image))
        gate.open.set()
        for future in (holding, following):
            future.result(60)
        return piece.result(60)

    monkeypatch.setattr(requests, "BACKGROUND_WAIT_S", 60.0)
    assert rounds_before_a_piece(0) == 2, "after both"
    monkeypatch.setattr(requests, "BACKGROUND_WAIT_S", 0.0)
    assert rounds_before_a_piece(2) == 3, "before the last"


def test_a_failing_stream_touches_no_other(engine: Worker, gate: Gate) -> None:
    good, bad = engine.open(), engine.open()
    held = engine.open().submit(FRAMES[0])
    assert gate.entered.wait(60)
    fine = good.submit(FRAMES[0], CLICK)
    broken = bad.submit(Frame(0, np.zeros((5, 5), dtype=np.uint8)), CLICK)
    gate.open.set()
    held.result(60)
    assert [o.object_id for o in fine.result(60).objects] == [1]
    with pytest.raises(EngineError, match="I420"):
        broken.result(60)
    assert bad.submit(FRAMES[0], CLICK).result(60).objects[0].object_id == 1


def test_a_stream_that_breaks_inside_the_network_touches_no_other(
    engine: Worker, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    good, bad = engine.open(), engine.open()
    held = engine.open().submit(FRAMES[0])
    assert gate.entered.wait(60)
    fine, broken = good.submit(FRAMES[0], CLICK), bad.submit(FRAMES[0], CLICK)
    monkeypatch.setattr(bad._tracker, "show", lambda step: 1 // 0)
    gate.open.set()
    held.result(60)
    assert fine.result(60).objects[0].object_id == 1
    with pytest.raises(ZeroDivisionError):
        broken.result(60)
    assert bad._tracker.object_ids == ()


def test_one_step_at_a_time_and_none_after_closing(engine: Worker, gate: Gate) -> None:
    stream, waiting = engine.open(), engine.open()
    running = stream.submit(FRAMES[0])
    assert gate.entered.wait(60)
    with pytest.raises(EngineError) as busy:
        stream.submit(FRAMES[1])
    assert busy.value.code == "BUSY"
    queued = waiting.submit(FRAMES[0])
    waiting.close()
    waiting.close()
    assert queued.cancelled()
    gate.open.set()
    assert running.result(60).frame_index == 0
    with pytest.raises(EngineError) as closed:
        waiting.submit(FRAMES[1])
    assert closed.value.code == "CLOSED"


def test_stop_finishes_the_round_and_cancels_the_rest(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Worker(lambda: model)
    engine.start()
    wait_for(lambda: engine.ready)
    gate = Gate(monkeypatch)
    running = engine.open().submit(FRAMES[0])
    assert gate.entered.wait(60)
    queued = engine.open().submit(FRAMES[0])
    threading.Timer(0.05, gate.open.set).start()
    engine.stop()
    engine.stop()
    assert running.result(0).frame_index == 0
    with pytest.raises(CancelledError):
        queued.result(0)
    with pytest.raises(EngineError):
        engine.open()
    assert not engine.ready


def test_a_model_that_cannot_be_loaded_is_reported() -> None:
    def load() -> Model:
        raise EngineError("MISSING_WEIGHTS", "pico.safetensors is missing")

    engine = Worker(load)
    engine.start()
    wait_for(lambda: engine.error is not None)
    assert engine.error == "pico.safetensors is missing"
    assert not engine.ready
    with pytest.raises(EngineError) as caught:
        engine.open()
    assert caught.value.code == "NOT_READY"
    engine.stop()


def test_closing_frees_the_objects(engine: Worker) -> None:
    stream = engine.open()
    stream.submit(FRAMES[0], CLICK).result(60)
    tracker = weakref.ref(stream._tracker)
    stream.close()
    wait_for(lambda: gc.collect() >= 0 and tracker() is None)


def test_a_preview_goes_before_steps_and_changes_nothing(engine: Worker, gate: Gate, model: Model) -> None:
    streams = [engine.open(), engine.open()]
    holding = streams[0].submit(FRAMES[0])
    assert gate.entered.wait(60)
    step = streams[1].submit(FRAMES[0])
    previews = [streams[0].preview(CLICK) for _ in range(worker.PREVIEWS)]
    with pytest.raises(EngineError) as caught:
        streams[0].preview(CLICK)
    assert caught.value.code == "BUSY"
    gone = streams[1].preview(CLICK)
    streams[1].close()
    gate.open.set()
    assert holding.result(60).objects == ()
    shown = [preview.result(60).objects[0].mask for preview in previews]
    expected = Tracker(model).step(FRAMES[0], CLICK).objects[0].mask
    assert all(np.array_equal(mask, expected) for mask in shown)
    assert step.cancelled()
    assert gone.cancelled()
    assert streams[0].submit(FRAMES[1]).result(60).objects == ()
    with pytest.raises(EngineError) as caught:
        streams[1].preview(CLICK)
    assert caught.value.code == "CLOSED"


def test_masks_are_given_out_before_they_are_remembered(
    engine: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the next step, asked for meanwhile, finds them remembered."""
    answered = threading.Event()
    real = rounds.remember

    def patient(*arguments: Any) -> dict[int, Memory]:
        assert answered.wait(60)
        return real(*arguments)

    stream = engine.open()
    with monkeypatch.context() as patch:
        patch.setattr(rounds, "remember", patient)
        first = stream.submit(FRAMES[0], CLICK).result(60)
        second = stream.submit(FRAMES[1])
        answered.set()
        after = second.result(60)
    assert [found.object_id for found in first.objects] == [found.object_id for found in after.objects]
    assert first.timings["remember"] == 0 < after.timings["remember"]


def test_what_cannot_be_remembered_is_a_step_not_taken(
    engine: Worker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    stream = engine.open()
    stream.submit(FRAMES[0], CLICK).result(60)
    with monkeypatch.context() as patch:
        patch.setattr(rounds, "remember", lambda *_: 1 // 0)
        assert len(stream.submit(FRAMES[1]).result(60).objects) == 1
        engine.call(lambda model: None).result(60)
    assert "could not be remembered" in caplog.text
    assert len(stream.submit(FRAMES[2]).result(60).objects) == 1


@pytest.fixture(params=[True, False], ids=["roomy", "narrow"])
def roomy(request: pytest.FixtureRequest, engine: Worker, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether the engine has a core to spare for the pictures to come."""
    if engine._ahead is None:
        pytest.skip("one core encodes nothing ahead")
    monkeypatch.setattr(engine._ahead, "roomy", request.param)
    return bool(request.param)


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """Which thread encoded which frame ahead, or what was asked for ahead."""
    done: list[tuple[str, int]] = []
    real = ahead.see

    def see(model: Model, frame: Frame) -> ahead.Seen:
        found = real(model, frame)
        done.append((threading.current_thread().name.rstrip("_0123456789"), frame.index))
        return found

    monkeypatch.setattr(ahead, "see", see)
    return done


def occupied(engine: Worker) -> threading.Event:
    """Keep the thread that encodes ahead from it until the event is set."""
    busy, free = threading.Event(), threading.Event()
    assert engine._ahead is not None
    engine._ahead._pool.submit(lambda: busy.set() or free.wait(60))
    assert busy.wait(60)
    return free


def test_the_next_picture_is_encoded_while_a_step_is_under_way(
    engine: Worker, model: Model, gate: Gate, roomy: bool, seen: list[tuple[str, int]]
) -> None:
    alone = Tracker(model)
    expected = [alone.step(frame, CLICK if frame.index == 0 else ()) for frame in FRAMES[:2]]
    stream = engine.open()
    first = stream.submit(FRAMES[0], CLICK)
    assert gate.entered.wait(60)
    stream.prepare(FRAMES[1])
    wait_for(lambda: ("encoder", 1) in seen)
    gate.open.set()
    assert np.array_equal(first.result(60).objects[0].mask, expected[0].objects[0].mask)
    second = stream.submit(FRAMES[1]).result(60)
    assert np.array_equal(second.objects[0].mask, expected[1].objects[0].mask)
    assert sorted(index for _, index in seen) == [0, 1][not roomy :], "each once"
    assert second.timings["encode"] > 0
    assert second.timings["total"] > second.timings["track"]


def test_only_where_there_is_room_are_pictures_encoded_ahead_while_others_wait(
    engine: Worker, gate: Gate, roomy: bool, seen: list[tuple[str, int]]
) -> None:
    stream, other = engine.open(), engine.open()
    running = stream.submit(FRAMES[0])
    assert gate.entered.wait(60)
    assert stream.spare() == roomy
    assert not other.spare()
    other.prepare(FRAMES[1])
    assert (other._prepared is not None) == roomy
    gate.open.set()
    running.result(60)
    assert other.spare() == roomy


@pytest.mark.parametrize("roomy", [True], indirect=True)
def test_a_picture_that_nobody_has_begun_is_encoded_by_who_needs_it(
    engine: Worker, roomy: bool, seen: list[tuple[str, int]]
) -> None:
    free = occupied(engine)
    assert engine.open().submit(FRAMES[0], CLICK).result(60).objects
    free.set()
    assert seen == [("engine", 0)]


@pytest.mark.parametrize("roomy", [True], indirect=True)
def test_what_was_prepared_and_not_asked_for_is_let_go(
    engine: Worker, roomy: bool, seen: list[tuple[str, int]]
) -> None:
    free = occupied(engine)
    stream, other = engine.open(), engine.open()
    stream.prepare(FRAMES[0])
    stream.prepare(FRAMES[1])
    other.prepare(FRAMES[3])
    assert stream.submit(FRAMES[2]).result(60).frame_index == 2
    other.close()
    other.prepare(FRAMES[4])
    free.set()
    assert engine._ahead is not None
    engine._ahead._pool.submit(lambda: None).result(60)
    assert [index for _, index in seen] == [2]


def test_a_prepared_picture_that_cannot_be_read_fails_its_own_step(engine: Worker, roomy: bool) -> None:
    stream, other = engine.open(), engine.open()
    broken = Frame(0, np.zeros((5, 5), dtype=np.uint8))
    stream.prepare(broken)
    failed, fine = stream.submit(broken), other.submit(FRAMES[0], CLICK)
    with pytest.raises(EngineError, match="I420"):
        failed.result(60)
    assert fine.result(60).objects
    assert stream.submit(FRAMES[0], CLICK).result(60).objects
