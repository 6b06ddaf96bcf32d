"""Contenders side by side on one clip: time for each frame, memory held, and how far they agree.

They take turns on every frame, in an order that rotates, so that whatever else the machine does meets all of
them alike. Medians are over the frames after the memory has filled.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch

from engine.contest.contenders import Contender, Masks, Picture
from engine.models import Model
from engine.synthetic import SyntheticClip

Entrant = Callable[[Model, Sequence[Picture], Sequence[Masks]], Contender]

MIN_FRAMES: Final = 3  # measured ones, below which there is no row


@dataclass(frozen=True, slots=True)
class Result:
    """One contender in one race.

    Attributes:
        milliseconds: median for a frame.
        frames: over how many.
        held_mib: tensors held for the stream after the last frame.
        growth_kib: by how much that grows with each frame, once the memory is full.
        agreement: mean IoU of its masks with the first contender's; 1.0 for that one itself.
    """

    contender: str
    milliseconds: float
    frames: int
    held_mib: float
    growth_kib: float
    agreement: float


def race(
    model: Model,
    entrants: Sequence[Entrant],
    objects: int,
    *,
    frames: int,
    seconds: float,
    size: tuple[int, int] = (640, 480),
) -> list[Result]:
    """Let the entrants follow `objects` objects of the built-in clip.

    Args:
        entrants: makers of contenders; agreement is with the first.
        frames: measured at most, after as many as the memory takes to fill.
        seconds: stop after about this long, with at least `MIN_FRAMES` measured.
        size: width and height of the pictures.

    Returns:
        one result for each entrant; none when the memory did not fill within `seconds`.
    """
    warm = model.net.num_maskmem + 1
    pictures, masks = _scene(objects, warm + frames, size)
    contenders = [entrant(model, pictures, masks) for entrant in entrants]
    times: list[list[float]] = [[] for _ in contenders]
    agreed: list[list[float]] = [[] for _ in contenders]
    held: list[list[int]] = [[] for _ in contenders]
    deadline = time.perf_counter() + seconds
    for index in range(warm + frames):
        measured = index - warm
        if measured >= MIN_FRAMES and time.perf_counter() > deadline:
            break
        if measured < 0 and time.perf_counter() > deadline:
            return []
        found: dict[int, Masks] = {}
        for turn in range(len(contenders)):
            k = (index + turn) % len(contenders)
            elapsed, found[k] = _timed(contenders[k], index, model.device)
            if measured >= 0:
                times[k].append(elapsed)
                held[k].append(contenders[k].nbytes())
        if measured >= 0:
            for k in range(len(contenders)):
                agreed[k].append(_mean_iou(found[0], found[k]))
    return [
        Result(
            contender.name,
            1e3 * statistics.median(times[k]),
            len(times[k]),
            held[k][-1] / 2**20,
            (held[k][-1] - held[k][0]) / (len(held[k]) - 1) / 2**10,
            statistics.fmean(agreed[k]),
        )
        for k, contender in enumerate(contenders)
    ]


def _scene(objects: int, frames: int, size: tuple[int, int]) -> tuple[list[Picture], list[Masks]]:
    """Pictures, and the masks of as many objects on the first: the clip's four, over and over."""
    clip = SyntheticClip(*size)
    scene = [clip.frame(i) for i in range(frames)]
    first = list(scene[0][1].values())
    return [picture for picture, _ in scene], [first[i % len(first)] for i in range(objects)]


def _timed(contender: Contender, index: int, device: torch.device) -> tuple[float, Masks]:
    started = time.perf_counter()
    masks = contender.step(index)
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - started, masks


def _mean_iou(one: Masks, other: Masks) -> float:
    """Over objects; two empty masks agree."""
    both = (one & other).sum((1, 2))
    either = (one | other).sum((1, 2))
    return float(np.where(either == 0, 1.0, both / np.maximum(either, 1)).mean())
