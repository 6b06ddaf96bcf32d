"""Score a follower on real clips: box IoU on frames where a person drew the box.

An object's score is the mean over its later frames where it can be seen; a follower that calls it absent
there scores 0. Frames where it cannot be seen are counted apart, as false alarms.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from engine.training.annotations import Annotated, iou
from engine.training.followers import Follower, Seen
from engine.training.footage import Image, find_clip, play

Watch = Callable[[str, int, Image, Mapping[str, Seen]], None]


@dataclass(frozen=True, slots=True)
class ObjectScore:
    """One object. `first` is the IoU on the frame it was prompted on, `later` by frame."""

    clip: str
    name: str
    first: float
    later: Mapping[int, float]
    absent: int
    false_alarms: int

    @property
    def mean(self) -> float:
        return fmean(self.later.values())


@dataclass(frozen=True, slots=True)
class Report:
    """All objects of a run, and the time of a step: with all objects of its clip, and per object."""

    objects: tuple[ObjectScore, ...]
    ms_per_frame: float
    ms_per_object: float

    @property
    def mean(self) -> float:
        return fmean(score.mean for score in self.objects)

    @property
    def first(self) -> float:
        return fmean(score.first for score in self.objects)

    def as_json(self) -> dict[str, Any]:
        return {
            "mean_iou": self.mean,
            "first_iou": self.first,
            "ms_per_frame": self.ms_per_frame,
            "ms_per_object": self.ms_per_object,
            "objects": [
                {
                    "clip": s.clip,
                    "name": s.name,
                    "mean": s.mean,
                    "first": s.first,
                    "later": dict(s.later),
                    "absent": s.absent,
                    "false_alarms": s.false_alarms,
                }
                for s in self.objects
            ],
        }


def score_clips(
    folder: Path,
    annotated: Sequence[Annotated],
    make: Callable[[], Follower],
    every: int = 1,
    watch: Watch | None = None,
) -> Report:
    """Follow all objects of every clip at once, with a fresh follower per clip.

    Args:
        every: show only every so many frames, besides those with boxes; as a slow computer would see.
        watch: called on the frames with boxes.

    Raises:
        FileNotFoundError: a clip is not below `folder`, or is shorter than its annotations.
    """
    scores: list[ObjectScore] = []
    clock = _Clock()
    for clip in dict.fromkeys(a.clip for a in annotated):
        objects = [a for a in annotated if a.clip == clip]
        follower = make()
        seen: dict[int, Mapping[str, Seen]] = {}
        for index, rgb in _shown(find_clip(folder, clip), objects, every):
            starts = {a.name: a.start for a in objects if a.first == index}
            with clock:
                found = follower.step(rgb, starts)
            clock.objects += len(found)
            if any(index in a.boxes for a in objects):
                seen[index] = {name: Seen(s.box) for name, s in found.items()}
                if watch is not None:
                    watch(clip, index, rgb, found)
        scores += [_score(a, seen) for a in objects]
    return Report(tuple(scores), *clock.milliseconds())


def _shown(path: Path, objects: Sequence[Annotated], every: int) -> Iterator[tuple[int, Image]]:
    """The frames that are shown, from the first object's start to the last box."""
    first, last = min(a.first for a in objects), max(a.last for a in objects)
    wanted = {frame for a in objects for frame in a.boxes}
    index = -1
    for index, rgb in enumerate(play(path)):
        if index > last:
            return
        if index in wanted or (index >= first and index % every == 0):
            yield index, rgb
    if index < last:
        raise FileNotFoundError(f"{path} has {index + 1} frames, the annotations go on to {last}")


def _score(annotated: Annotated, seen: Mapping[int, Mapping[str, Seen]]) -> ObjectScore:
    said = {frame: seen[frame][annotated.name].box for frame in annotated.boxes}
    overlaps = {f: iou(said[f], box) for f, box in annotated.boxes.items() if box is not None}
    first = overlaps.pop(annotated.first)
    absent = [f for f, box in annotated.boxes.items() if box is None]
    alarms = sum(said[f] is not None for f in absent)
    return ObjectScore(annotated.clip, annotated.name, first, overlaps, len(absent), alarms)


class _Clock:
    """Adds up the time spent inside `with`."""

    def __init__(self) -> None:
        self.seconds, self.steps, self.objects = 0.0, 0, 0
        self._began = 0.0

    def __enter__(self) -> None:
        self._began = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self.seconds += time.perf_counter() - self._began
        self.steps += 1

    def milliseconds(self) -> tuple[float, float]:
        """Per step and per object."""
        return 1e3 * self.seconds / max(1, self.steps), 1e3 * self.seconds / max(1, self.objects)
