"""The one thread that runs the network, for every stream there is.

It loads the model, warms it up, and then works in rounds: a round takes at most one step of every stream,
so nobody waits for more than one step of each other, and runs them as one batch. Knows no asyncio; whoever
submits gets a `concurrent.futures.Future`.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import TypeVar

import numpy as np

from engine import threads
from engine.ahead import Ahead, Sight, look_ahead
from engine.history import SECONDS
from engine.models import Model
from engine.requests import Piece, PreviewRequest, StepRequest, choose
from engine.rounds import Answer, Job, answer_many, settle
from engine.tracker import PATIENCE, Tracker
from engine.types import EngineError, Frame, MaskSet, Point, Points, Prompt

log = logging.getLogger(__name__)
T = TypeVar("T")

PREVIEWS = 4  # of one stream that may wait
WARM_UP_S = 5.0


class Lane:
    """One stream's place at the worker; made by `Worker.open`."""

    def __init__(self, worker: Worker, tracker: Tracker) -> None:
        self._worker = worker
        self._newest: Future[MaskSet] | None = None
        self._tracker: Tracker | None = tracker
        self._prepared: Sight | None = None

    def spare(self) -> bool:
        """Whether a live stream gains by `prepare`: there is a core for it, and no other stream waits."""
        return self._worker._spare(self)

    def prepare(self, frame: Frame) -> None:
        """Say which frame the next step will be of, so that its picture is encoded meanwhile.

        Does nothing where others would have to wait for it, and once the stream is closed. A frame that was
        prepared before and not submitted is let go.
        """
        self._worker._prepare(self, frame)

    def submit(self, frame: Frame, prompts: Sequence[Prompt] = (), live: bool = True) -> Future[MaskSet]:
        """Ask for one step; the answer to the one before must have come.

        Args:
            live: somebody is watching: goes before steps that are not.

        Returns:
            the step's `MaskSet`, or the exception of this step alone.

        Raises:
            EngineError: BUSY while a step is under way, CLOSED after `close` or `Worker.stop`.
        """
        return self._worker._submit(self, frame, prompts, live)

    def preview(self, prompts: Sequence[Prompt]) -> Future[MaskSet]:
        """Ask what `prompts` would give on the frame that they name (`Tracker.preview`); goes before steps.

        Raises:
            EngineError: BUSY while PREVIEWS of this stream wait, CLOSED after `close` or `Worker.stop`.
        """
        return self._worker._preview(self, prompts)

    def close(self) -> None:
        """Cancel the step that waits, if any, and forget the objects. May be called twice."""
        self._worker._close(self)


class Worker:
    """The engine thread.

    Args:
        load: makes the model; called once, in the thread.
    """

    def __init__(self, load: Callable[[], Model]) -> None:
        self._load = load
        self._wake = threading.Condition()
        self._waiting: deque[StepRequest] = deque()
        self._pieces: deque[Piece] = deque()
        self._previews: deque[PreviewRequest] = deque()
        self._lanes: set[Lane] = set()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
        self._model: Model | None = None
        self._ahead: Ahead | None = None
        self.ready = False
        self.error: str | None = None

    @property
    def model(self) -> Model:
        """The model, once it is loaded.

        Raises:
            EngineError: NOT_READY before that, or when loading failed.
        """
        if self._model is None:
            raise EngineError("NOT_READY", self.error or "the model is still loading")
        return self._model

    def start(self) -> None:
        """Begin to load and warm up, in the thread; `ready` or `error` tells the outcome."""
        self._thread.start()

    def open(
        self,
        *,
        max_cond_frames: int = 4,
        pin_first: bool = True,
        max_objects: int = 16,
        patience: int = PATIENCE,
        history: float = SECONDS,
    ) -> Lane:
        """A new stream with a tracker of its own; the options are the tracker's.

        Raises:
            EngineError: NOT_READY, CLOSED.
        """
        tracker = Tracker(
            self.model,
            max_cond_frames=max_cond_frames,
            pin_first=pin_first,
            max_objects=max_objects,
            patience=patience,
            history=history,
        )
        lane = Lane(self, tracker)
        with self._wake:
            if self._stopping:
                raise EngineError("CLOSED", "the engine has been stopped")
            self._lanes.add(lane)
        return lane

    def call(self, work: Callable[[Model], T]) -> Future[T]:
        """Run something else with the model, in the thread: one such piece before a round of steps.

        Like background steps it goes behind live ones, for `BACKGROUND_WAIT_S` at most. Keep a piece short;
        who comes while it runs waits for it.

        Raises:
            EngineError: CLOSED after `stop`.
        """
        future: Future[T] = Future()
        with self._wake:
            if self._stopping:
                raise EngineError("CLOSED", "the engine has been stopped")
            self._pieces.append(Piece(work, future, time.monotonic()))
            self._wake.notify_all()
        return future

    def stop(self) -> None:
        """Cancel what waits, finish the round under way, end the thread. May be called twice."""
        with self._wake:
            self._stopping = True
            cancelled: list[StepRequest | Piece | PreviewRequest] = [
                *self._waiting,
                *self._pieces,
                *self._previews,
            ]
            self._waiting.clear()
            self._pieces.clear()
            self._previews.clear()
            self._lanes.clear()
            self._wake.notify_all()
        for request in cancelled:
            request.cancel()
        if self._thread.is_alive():
            self._thread.join()
        self.ready = False

    def _submit(self, lane: Lane, frame: Frame, prompts: Sequence[Prompt], live: bool) -> Future[MaskSet]:
        future: Future[MaskSet] = Future()
        with self._wake:
            if lane not in self._lanes or lane._tracker is None:
                raise EngineError("CLOSED", "this stream has been closed")
            if lane._newest is not None and not lane._newest.done():
                raise EngineError("BUSY", "a step of this stream is under way")
            lane._newest = future
            job = Job(lane._tracker, frame, tuple(prompts), self._sight(lane, frame))
            self._waiting.append(StepRequest(lane, job, live, time.monotonic(), future))
            self._wake.notify_all()
        return future

    def _spare(self, lane: Lane) -> bool:
        with self._wake:
            return self._ahead is not None and self._ahead.roomy and self._alone(lane)

    def _prepare(self, lane: Lane, frame: Frame) -> None:
        with self._wake:
            if lane not in self._lanes:
                return
            _drop(lane)
            if self._ahead is not None and (self._ahead.roomy or self._alone(lane)):
                lane._prepared = self._ahead.begin(frame)

    def _alone(self, lane: Lane) -> bool:
        others = (other._newest for other in self._lanes if other is not lane)
        return all(newest is None or newest.done() for newest in others)

    def _sight(self, lane: Lane, frame: Frame) -> Sight | None:
        """The picture of a frame as it has been prepared, or else from now on where there is room."""
        prepared = lane._prepared
        if prepared is not None and prepared.frame is frame:
            lane._prepared = None
            return prepared
        _drop(lane)
        return self._ahead.begin(frame) if self._ahead is not None and self._ahead.roomy else None

    def _preview(self, lane: Lane, prompts: Sequence[Prompt]) -> Future[MaskSet]:
        future: Future[MaskSet] = Future()
        with self._wake:
            if lane not in self._lanes or lane._tracker is None:
                raise EngineError("CLOSED", "this stream has been closed")
            if sum(waiting.lane is lane for waiting in self._previews) >= PREVIEWS:
                raise EngineError("BUSY", f"{PREVIEWS} previews of this stream wait already")
            self._previews.append(PreviewRequest(lane, lane._tracker, tuple(prompts), future))
            self._wake.notify_all()
        return future

    def _close(self, lane: Lane) -> None:
        with self._wake:
            self._lanes.discard(lane)
            lane._tracker = None
            cancelled: list[StepRequest | PreviewRequest] = [r for r in self._waiting if r.lane is lane]
            cancelled += [r for r in self._previews if r.lane is lane]
            self._waiting = deque(r for r in self._waiting if r.lane is not lane)
            self._previews = deque(r for r in self._previews if r.lane is not lane)
            _drop(lane)
        for request in cancelled:
            request.cancel()

    # In the thread.

    def _run(self) -> None:
        try:
            threads.share()
            model = self._load()
            warm_up(model)
        except Exception as error:
            self.error = str(error) or repr(error)
            log.exception("the engine could not start")
            return
        log.info("engine ready: %s", model.why)
        self._model = model
        self._ahead = look_ahead(model)
        self.ready = True
        try:
            while self._round(model):
                pass
        finally:
            self.ready = False
            with self._wake:
                ahead, self._ahead = self._ahead, None
            if ahead is not None:
                ahead.stop()

    def _next_round(self) -> list[StepRequest] | None:
        """Wait for requests and take a round of them; None when the worker stops."""
        with self._wake:
            while not (self._waiting or self._pieces or self._previews or self._stopping):
                self._wake.wait()
            if self._stopping:
                return None
            chosen = choose(self._waiting, time.monotonic())
            self._waiting = deque(r for r in self._waiting if r not in chosen)
        return [request for request in chosen if request.future.set_running_or_notify_cancel()]

    def _round(self, model: Model) -> bool:
        """Answer one round of requests; False when the worker stops. What it took is let go on return."""
        requests = self._next_round()
        if requests is None:
            return False
        self._show_previews()
        self._piece(model, requests)
        try:
            answers = answer_many(model, [request.job for request in requests]) if requests else []
        except BaseException as error:
            for request in requests:
                request.future.set_exception(error)
            raise
        for request, answer in zip(requests, answers, strict=True):
            if isinstance(answer, Exception):
                request.future.set_exception(answer)
            else:
                request.future.set_result(answer.masks)
        for failure in settle(model, [answer for answer in answers if isinstance(answer, Answer)]):
            if failure is not None:
                log.error("a frame was followed but could not be remembered", exc_info=failure)
        return True

    def _show_previews(self) -> None:
        with self._wake:
            previews, self._previews = self._previews, deque()
        for preview in previews:
            if preview.future.set_running_or_notify_cancel():
                try:
                    preview.future.set_result(preview.tracker.preview(preview.prompts))
                except Exception as error:
                    preview.future.set_exception(error)

    def _piece(self, model: Model, requests: Sequence[StepRequest]) -> None:
        with self._wake:
            if not self._pieces or not self._pieces[0].may_go(requests, time.monotonic()):
                return
            piece = self._pieces.popleft()
        if not piece.future.set_running_or_notify_cancel():
            return
        try:
            with model.working():
                piece.future.set_result(piece.work(model))
        except Exception as error:
            piece.future.set_exception(error)


def _drop(lane: Lane) -> None:
    prepared, lane._prepared = lane._prepared, None
    if prepared is not None:
        prepared.drop()


def warm_up(model: Model) -> None:
    """Run the network over grey pictures until its memory is full, so that the first stream finds it warm."""
    tracker = Tracker(model)
    grey = np.full((480, 640, 3), 128, dtype=np.uint8)
    started = time.monotonic()
    for index in range(model.net.num_maskmem + 2):
        prompts = (Points(1, (Point(0.5, 0.5),)),) if index == 0 else ()
        tracker.step(Frame(index, grey), prompts)
        if time.monotonic() - started > WARM_UP_S:
            break
