"""One step of many trackers as one batch, in two halves: the masks, and then what is remembered of them.

Nobody has to wait for the second half but the next step. Nothing a tracker holds is changed before its end,
so that a step that fails leaves its tracker as it was.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from engine.ahead import Sight
from engine.features import Features
from engine.lanes import Step, catch_up, remember, track
from engine.memory import Memory
from engine.types import Frame, MaskSet, ObjectMask, Prompt

if TYPE_CHECKING:
    from engine.models import Model
    from engine.tracker import Tracker


@dataclass(frozen=True, slots=True, eq=False)
class Job:
    """One step of one tracker; `sight` is its picture where it has been asked for ahead."""

    tracker: Tracker
    frame: Frame
    prompts: Sequence[Prompt]
    sight: Sight | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """A step whose masks are known.

    Attributes:
        memories: of lanes that have one already, by `id` of the lane.
    """

    tracker: Tracker
    step: Step
    masks: MaskSet
    memories: dict[int, Memory]


def step_many(model: Model, jobs: Sequence[Job]) -> list[MaskSet | Exception]:
    """One step of each tracker, batched; a job that fails gives its exception and touches no other.

    All trackers must have been made with `model`, and each may occur once.
    """
    answers = answer_many(model, jobs)
    failures = iter(settle(model, [answer for answer in answers if isinstance(answer, Answer)]))
    return [next(failures) or a.masks if isinstance(a, Answer) else a for a in answers]


def answer_many(model: Model, jobs: Sequence[Job]) -> list[Answer | Exception]:
    """The first half of `step_many`."""
    with model.working():
        try:
            return list(_answer(model, jobs))
        except Exception as error:
            if len(jobs) == 1:
                return [error]
            return [answer for job in jobs for answer in answer_many(model, [job])]


def settle(model: Model, answers: Sequence[Answer]) -> list[Exception | None]:
    """The second half: every tracker takes its step's outcome as its new state.

    Returns:
        for each None, or why it could not be remembered: its tracker is as it was before the step.
    """
    started = time.perf_counter()
    with model.working():
        try:
            memories = _remembered(model, answers)
        except Exception as error:
            if len(answers) == 1:
                return [error]
            return [failure for answer in answers for failure in settle(model, [answer])]
        for answer in answers:
            answer.tracker.commit(answer.step, memories, time.perf_counter() - started)
    return [None] * len(answers)


def _remembered(model: Model, answers: Sequence[Answer]) -> dict[int, Memory]:
    known = {lane: memory for answer in answers for lane, memory in answer.memories.items()}
    lanes = [lane for answer in answers for lane in answer.step.lanes.values()]
    return known | remember(model.stages, [lane for lane in lanes if id(lane) not in known])


def _answer(model: Model, jobs: Sequence[Job]) -> list[Answer]:
    stages, clock = model.stages, _Clock()
    trackers = [job.tracker for job in jobs]
    for job in jobs:
        job.tracker.accept(job.frame)
    features = _encoded(model, jobs, clock)
    steps = [job.tracker.begin(job.frame, f) for job, f in zip(jobs, features, strict=True)]
    track(stages, [lane for step in steps for lane in step.lanes.values()])
    clock.lap("track")
    for job, step in zip(jobs, steps, strict=True):
        job.tracker.prompt(step, job.prompts)
    clock.lap("prompt")
    arrived = catch_up(stages, list(zip(trackers, steps, strict=True)), clock.total)
    clock.lap("replay")
    shown = [tracker.show(step) for tracker, step in zip(trackers, steps, strict=True)]
    clock.lap("masks")
    return [
        Answer(
            tracker,
            step,
            _masks(step, objects, clock.timings(tracker.remembered_in), tracker.memory_bytes),
            arrived,
        )
        for tracker, step, objects in zip(trackers, steps, shown, strict=True)
    ]


def _encoded(model: Model, jobs: Sequence[Job], clock: _Clock) -> list[Features]:
    """The features of every job's picture: those asked for ahead, the others as one batch."""
    waiting = [job.frame for job in jobs if job.sight is None]
    images = [model.pixels.read(frame) for frame in waiting]
    clock.lap("read")
    encoded = iter(model.stages.encode(torch.cat(images)) if images else ())
    clock.lap("encode")
    features = []
    for job in jobs:
        if job.sight is None:
            features.append(next(encoded))
        else:
            seen = job.sight.take()
            clock.beside("read", seen.read)
            clock.beside("encode", seen.encode)
            features.append(seen.features)
    if len(waiting) < len(jobs):
        clock.lap("wait")
    return features


def _masks(
    step: Step, objects: tuple[ObjectMask, ...], timings: dict[str, float], memory_bytes: int
) -> MaskSet:
    return MaskSet(
        step.frame.index,
        objects,
        timings,
        rejected=tuple(step.rejected),
        pending=tuple(prompt for replay in step.replays.values() for prompt in replay.waiting),
        reanchored=tuple(step.reanchored),
        memory_bytes=memory_bytes,
    )


class _Clock:
    """Seconds between laps, and what was done beside them."""

    def __init__(self) -> None:
        self._laps: dict[str, float] = {}
        self._beside: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, stage: str) -> None:
        now = time.perf_counter()
        self._laps[stage] = now - self._last
        self._last = now

    def beside(self, stage: str, seconds: float) -> None:
        """That took so long in another thread, which is no part of the total."""
        self._beside[stage] = self._beside.get(stage, 0.0) + seconds

    @property
    def total(self) -> float:
        return sum(self._laps.values())

    def timings(self, remember: float) -> dict[str, float]:
        """All laps and their total; remembering is the last step's, for this one's is still to come."""
        laps = {stage: seconds + self._beside.get(stage, 0.0) for stage, seconds in self._laps.items()}
        return {**laps, "remember": remember, "total": self.total + remember}
