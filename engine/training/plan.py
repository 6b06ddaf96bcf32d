"""What is taught when: stages of a training run and the learning rate. Plain values, no torch."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Stage:
    """A share of the run.

    Attributes:
        clips, frames, size: batch of clips, length of each and side of the pictures.
        first: chances of a click, a box and a mask as first prompt.
        clicks: chance that correction clicks follow on the first frame (1 to 3).
        correct: chance that a later frame is corrected by a click.
        pointed: chance of a later frame to be followed with a box, as the correlation filter gives it.
        anew: share in the loss of every frame asked as if it were the first.
        leave: share of objects that leave the picture.
        balance: class balance of the mask loss at the start and the end of the stage.
        told: chance that the network is told by the truth whether an object is there (its own verdict is
            taught all the same), so that a wrong one does not spoil what it remembers.
        freeze: batch norms keep their averages; for stages with too few clips at once to measure them.
        pace: least and most time that passes per frame, in frames.
        reels: share of the clips that stand on real pictures with a marked object.
        part: what learns, all else as it is: the `redrawer`, from what the network offers for clicks, the
            `look` of correlation filters, the `regressor` of boxes, or the `outliner` of what is in them;
            if none, everything but these.
        repeats: how often each batch of clips is used, with other colours and mirrored; kept on disk between.
    """

    name: str
    steps: int
    clips: int
    frames: int
    size: int
    first: tuple[float, float, float] = (0.4, 0.35, 0.25)
    clicks: float = 0.25
    correct: float = 0.0
    pointed: float = 0.0
    anew: float = 0.0
    leave: float = 0.2
    speed: float = 0.35
    balance: tuple[float, float] = (0.0, 0.0)
    told: float = 1.0
    freeze: bool = False
    pace: tuple[float, float] = (1.0, 1.0)
    reels: float = 0.35
    part: str = ""
    repeats: int = 1


STAGES: dict[str, Stage] = {
    "still": Stage("still", 1500, 8, 1, 192, first=(0.5, 0.5, 0.0), leave=0.0, balance=(1.0, 0.3)),
    "video": Stage("video", 12000, 2, 4, 192, correct=0.15, pointed=0.5, anew=0.35, balance=(0.3, 0.0)),
    "full": Stage(
        "full", 4000, 1, 8, 256, correct=0.2, pointed=0.5, anew=0.35, leave=0.3, told=0.5, freeze=True
    ),
    "long": Stage(
        "long",
        3000,
        1,
        16,
        256,
        correct=0.2,
        pointed=0.5,
        anew=0.35,
        leave=0.4,
        speed=0.25,
        told=0.3,
        freeze=True,
    ),
    "clicks": Stage("clicks", 4000, 8, 1, 256, leave=0.0, reels=0.6, part="redrawer"),
    "look": Stage("look", 1500, 8, 4, 256, leave=0.15, speed=0.25, pace=(0.5, 4.0), part="look"),
    "boxes": Stage(
        "boxes", 4000, 8, 6, 256, leave=0.15, speed=0.25, pace=(0.4, 4.0), part="regressor", repeats=3
    ),
    "outlines": Stage(
        "outlines", 2000, 8, 4, 256, leave=0.1, speed=0.25, pace=(0.4, 4.0), part="outliner", repeats=3
    ),
}


def parse_stages(text: str) -> tuple[Stage, ...]:
    """ "still:1200,video:8000" to stages with those numbers of steps.

    Raises:
        ValueError: an unknown stage or a number of steps that is not a positive integer.
    """
    stages = []
    for item in text.split(","):
        name, _, steps = item.partition(":")
        if name not in STAGES:
            raise ValueError(f"unknown stage {name!r}: expected one of {', '.join(STAGES)}")
        count = int(steps) if steps else STAGES[name].steps
        if count <= 0:
            raise ValueError(f"stage {name!r} needs a positive number of steps, got {count}")
        base = STAGES[name]
        stages.append(Stage(**{f: getattr(base, f) for f in Stage.__slots__ if f != "steps"}, steps=count))
    return tuple(stages)


def stage_at(stages: tuple[Stage, ...], step: int) -> tuple[Stage, int]:
    """The stage of a step and how many steps of it came before."""
    for stage in stages:
        if step < stage.steps:
            return stage, step
        step -= stage.steps
    return stages[-1], stages[-1].steps


def learning_rate(step: int, total: int, peak: float, warmup: int = 200, cooldown: float = 0.2) -> float:
    """Warm-up, plateau, and a cosine over the last share `cooldown` of the run."""
    if step < warmup:
        return peak * (step + 1) / warmup
    left = (total - step) / max(1.0, cooldown * total)
    return peak if left >= 1 else peak * (0.02 + 0.98 * 0.5 * (1 - math.cos(math.pi * max(left, 0.0))))
