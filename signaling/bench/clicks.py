"""The clicks' rows: a real session on a clip in which something crosses, clicked by a person far away.

The network is two delays: a picture is seen one later, and a click arrives another one after that, always at
the place where the thing was on the picture seen. Time is the clip's, so that it does not matter how fast
this machine is: every picture is processed, and what would have come meanwhile comes. Only previews are timed
by the clock.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass

import av
import numpy as np
from numpy.typing import NDArray

from engine.models import DTYPES, Model, load_model
from engine.types import Frame, MaskSet, Prompt
from engine.worker import Lane, Worker
from signaling.bench.crossing import Crossing
from signaling.command import CommandError
from signaling.opening import EngineStep
from stream.outputs.output import Shown
from stream.picture import Picture
from stream.prompt_message import PromptMessage, read_prompt_message
from stream.replies import Ack
from stream.session import Session
from stream.wire import Message, WireError

HEADER = (
    "model",
    "clicks",
    "right object",
    "IoU",
    "furthest from the same click without delay",
    "frames until it shows",
    "preview ms p50 / max",
)
CLICKED = 3  # the frame that the person clicks
RIGHT = 0.5  # mean IoU from which on it is the object that was meant
SPEED, DELAY = 600.0, 0.3  # pixels a second; seconds each way


@dataclass(frozen=True, slots=True)
class Try:
    """One click and what came of it.

    Attributes:
        masks: what was shown of the object, by frame.
        shown: the first frame that shows it.
        preview: seconds from the click's arrival to the preview; None where there was none.
    """

    masks: dict[int, NDArray[np.bool_]]
    shown: int
    preview: float | None


class Followed(EngineStep):
    """Tells when a frame's step has begun: what comes then waits for the next."""

    def __init__(self, lane: Lane) -> None:
        super().__init__(lane)
        self._begun = -1
        self._more = asyncio.Event()

    async def __call__(self, frame: Frame, prompts: Sequence[Prompt]) -> MaskSet:
        self._begun = frame.index
        self._more.set()
        return await super().__call__(frame, prompts)

    async def begun(self, index: int) -> None:
        while self._begun < index:
            self._more.clear()
            await self._more.wait()


class ClipSource:
    """The clip, at the engine's pace; `before` is called with a frame's number before it comes."""

    name = "crossing"

    def __init__(self, clip: Crossing, step: Followed, before: Callable[[int], None]) -> None:
        self._clip, self._step, self._before = clip, step, before

    async def frames(self) -> AsyncIterator[Picture]:
        for index in range(len(self._clip)):
            await self._step.begun(index - 1)
            self._before(index)
            rgb, _ = self._clip.frame(index)
            video = av.VideoFrame.from_ndarray(rgb, format="rgb24")
            yield Picture(video, index / self._clip.fps, index / self._clip.fps)

    async def close(self) -> None: ...


class Person:
    """Sees pictures, clicks once, and keeps what becomes of it."""

    def __init__(self) -> None:
        self.stamps: dict[int, int | None] = {}
        self.masks: dict[int, NDArray[np.bool_]] = {}

    def put(self, shown: Shown) -> None:
        self.stamps[shown.frame.index] = shown.frame.rtp_timestamp
        for found in shown.masks.objects:
            self.masks[shown.frame.index] = found.mask

    def close(self) -> None: ...


def measure(arguments: argparse.Namespace) -> tuple[Sequence[str], list[Sequence[str]]]:
    """The header and the rows.

    Raises:
        CommandError: a model that cannot be loaded.
    """

    def load() -> Model:
        dtype = DTYPES[arguments.dtype] if arguments.dtype else None
        return load_model(arguments.model, device=arguments.device, dtype=dtype)

    worker = Worker(load)
    worker.start()
    try:
        while not worker.ready:
            if worker.error:
                raise CommandError(worker.error)
            time.sleep(0.02)
        return HEADER, rows(worker, arguments.tries)
    finally:
        worker.stop()


def rows(worker: Worker, tries: int) -> list[Sequence[str]]:
    """One row without delay, one with delay, one with delay and nothing to make up for it."""
    near, far, blind = [], [], []
    for seed in range(tries):
        clip = Crossing(seed, speed=SPEED)
        print(f"click {seed + 1} of {tries} ...", flush=True)
        near.append((clip, asyncio.run(click(worker, clip, 0.0, history=2.0))))
        far.append((clip, asyncio.run(click(worker, clip, DELAY, history=2.0))))
        blind.append((clip, asyncio.run(click(worker, clip, DELAY, history=0.0))))
    late = round(2 * DELAY * 1000)
    return [
        _row(worker, "without delay", near, near),
        _row(worker, f"{late} ms late, on the frame seen", far, near),
        _row(worker, f"{late} ms late, on the newest frame", blind, near),
    ]


async def click(worker: Worker, clip: Crossing, delay: float, *, history: float) -> Try:
    """Play the clip through a session and click once.

    Args:
        delay: seconds each way.
        history: of the tracker; 0 makes up for nothing.
    """
    lane = worker.open(history=history)
    person = Person()
    answers: list[asyncio.Future[Ack]] = []
    previews: list[asyncio.Future[float | None]] = []
    arrival = CLICKED + round(2 * delay * clip.fps)

    def before(index: int) -> None:
        if index == arrival:
            stamp = person.stamps.get(CLICKED) if history and delay else None
            message = _message(clip, stamp)
            answers.append(session.submit(message))
            previews.append(asyncio.ensure_future(_timed(session.preview(message) if stamp else None)))

    step = Followed(lane)
    session = Session(ClipSource(clip, step, before), step, [person], rle=False, on_demand=True)
    try:
        await session.run()
        return Try(person.masks, _shown(answers[0], len(clip)), await previews[0])
    finally:
        lane.close()


def _message(clip: Crossing, stamp: int | None) -> PromptMessage:
    x, y = clip.centre(CLICKED)
    seen = {} if stamp is None else {"rtp_timestamp": stamp}
    size = {"width": clip.width, "height": clip.height}
    return read_prompt_message({"prompts": [{"x": x, "y": y}], "preview": True, **size, **seen})


async def _timed(preview: Awaitable[Message] | None) -> float | None:
    began = time.perf_counter()
    if preview is None:
        return None
    await preview
    return time.perf_counter() - began


def _shown(answer: asyncio.Future[Ack], frames: int) -> int:
    try:
        return answer.result().frame_index
    except WireError:
        return frames


def _row(
    worker: Worker, label: str, ours: Sequence[tuple[Crossing, Try]], near: Sequence[tuple[Crossing, Try]]
) -> Sequence[str]:
    mine = [agreement(clip, each, each.shown) for clip, each in ours]
    theirs = [agreement(clip, other, each.shown) for (clip, each), (_, other) in zip(ours, near, strict=True)]
    apart = max(abs(a - b) for a, b in zip(mine, theirs, strict=True))
    previews = [1000 * each.preview for _, each in ours if each.preview is not None]
    lag = [each.shown - CLICKED for _, each in ours]
    timed = f"{statistics.median(previews):.0f} / {max(previews):.0f}" if previews else ""
    right = sum(iou >= RIGHT for iou in mine)
    model = worker.model
    name = f"{model.name} at {model.image_size}, {model.precision}"
    return (
        name,
        label,
        f"{right} of {len(ours)}",
        f"{statistics.mean(mine):.3f}",
        f"{apart:.3f}",
        f"{statistics.median(lag):.0f}",
        timed,
    )


def agreement(clip: Crossing, each: Try, since: int) -> float:
    """Mean IoU of what was shown with what crosses, from frame `since` on."""
    scores = []
    for index in range(since, len(clip)):
        truth, mask = clip.mask(index), each.masks.get(index)
        found = 0.0 if mask is None else float((mask & truth).sum() / (mask | truth).sum())
        scores.append(found)
    return statistics.mean(scores) if scores else 0.0
