"""Whole steps: a picture in, the masks of every object out at its size, with all that a model does for that.

What is measured takes turns, clip by clip, so that other load meets all of it alike; medians are of clips.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine import threads
from engine.ahead import Ahead
from engine.models import DTYPES, Model, load_model
from engine.rounds import Job, step_many
from engine.synthetic import SyntheticClip
from engine.tracker import Tracker
from engine.types import EngineError, Frame, Point, Points
from signaling.bench.command import numbers
from signaling.command import CommandError
from signaling.demo.score import iou

HEADER = ("model", "objects", "how", "ms/frame", "10 to 90 %", "frames", "IoU")
SIZE: Final = (640, 480)
TURNS: Final = 3
WARM: Final = 10  # frames of each clip that are not counted

Clip = Sequence[tuple[NDArray[np.uint8], dict[int, NDArray[np.bool_]]]]


@dataclass(frozen=True, slots=True)
class Way:
    """How a model computes: with so many threads, or so many for objects and as many for the next picture."""

    model: Model
    threads: int
    ahead: bool

    @property
    def name(self) -> str:
        several = f"{self.threads} thread{'s' * (self.threads > 1)}"
        return f"{several}, as many encode the next picture" if self.ahead else several


@dataclass(slots=True)
class _Times:
    """Of one way and number of objects: milliseconds of frames, clip by clip, and how well they were met."""

    clips: list[list[float]] = field(default_factory=list)
    agreement: float = 0.0


def measure(arguments: argparse.Namespace) -> tuple[Sequence[str], list[Sequence[str]]]:
    """The header and the rows.

    Raises:
        CommandError: an unknown model, no frames, or more objects than the clip has.
    """
    counts = numbers(arguments.step_objects, "--step-objects")
    if arguments.step_frames < 1:
        raise CommandError(f"--step-frames: expected 1 or more, got {arguments.step_frames}")
    source = SyntheticClip(*SIZE)
    if max(counts) > len(source.object_ids):
        raise CommandError(f"--step-objects: expected at most {len(source.object_ids)}, got {max(counts)}")
    clip = [source.frame(index) for index in range(arguments.step_frames + WARM)]
    clicks = [Points(i, (Point(x, y),)) for i, (_, x, y) in sorted(source.clicks().items())]
    before = threads.use(1)
    try:
        ways = list(_ways(arguments))
        found = {(way, count): _Times() for count in counts for way in ways}
        for turn in range(TURNS):
            for (way, count), times in found.items():
                print(f"{way.model.name}, {count} objects, {way.name}, {turn + 1} of {TURNS} ...", flush=True)
                milliseconds, times.agreement = _follow(way, clip, clicks[:count])
                times.clips.append(milliseconds)
    except EngineError as error:
        raise CommandError(f"{error} [{error.code}]") from None
    finally:
        threads.use(before)
    return HEADER, [_row(way, count, times) for (way, count), times in found.items()]


def _ways(arguments: argparse.Namespace) -> Iterator[Way]:
    """One thread and all there are, alone and beside what encodes; on accelerators threads are nothing."""
    dtype = DTYPES[arguments.dtype] if arguments.dtype else None
    for count in dict.fromkeys((1, threads.cores())):
        threads.use(count)
        model = load_model(arguments.model, device=arguments.device, dtype=dtype)
        yield Way(model, count, ahead=False)
        if model.device.type != "cpu":
            return
        if threads.cores() > 1:
            yield Way(model, count, ahead=True)


def _follow(way: Way, clip: Clip, clicks: Sequence[Points]) -> tuple[list[float], float]:
    """Milliseconds of each frame, and the mean IoU with the exact masks of what is to be seen."""
    threads.use(way.threads)
    tracker, ahead = Tracker(way.model), Ahead(way.model) if way.ahead else None
    frames = [Frame(index, picture) for index, (picture, _) in enumerate(clip)]
    times: list[float] = []
    met: list[float] = []
    next_sight = ahead.begin(frames[0]) if ahead else None
    for frame, (_, exact) in zip(frames, clip, strict=True):
        started = time.perf_counter()
        sight, next_sight = next_sight, None
        if ahead and frame.index + 1 < len(frames):
            next_sight = ahead.begin(frames[frame.index + 1])
        (result,) = step_many(way.model, [Job(tracker, frame, () if frame.index else clicks, sight)])
        if isinstance(result, Exception):
            raise result
        times.append(1e3 * (time.perf_counter() - started))
        met.extend(iou(o.mask, exact[o.object_id]) for o in result.objects if exact[o.object_id].any())
    if ahead:
        ahead.stop()
    return times[WARM:], statistics.fmean(met)


def _row(way: Way, count: int, times: _Times) -> Sequence[str]:
    frames = [milliseconds for clip in times.clips for milliseconds in clip]
    low, high = np.percentile(frames, (10, 90))
    model = way.model
    return (
        f"{model.name} at {model.image_size}, {model.precision}",
        str(count),
        way.name,
        f"{statistics.median(map(statistics.median, times.clips)):.1f}",
        f"{low:.1f} to {high:.1f}",
        str(len(frames)),
        f"{times.agreement:.3f}",
    )
