"""What a request leaves behind in memory for each frame, to be weighed in a process of its own."""

from __future__ import annotations

import tracemalloc
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import numpy as np

from engine.masks import mask_box
from engine.types import Frame, MaskSet, ObjectMask, ObjectState, Prompt
from signaling.fal.marks import Marks, placed_boxes
from signaling.fal.schemas import BoxPrompt
from signaling.fal.settings import FalSettings
from signaling.fal.sink import Wanted
from signaling.fal.video import segment_video
from signaling.fal.work import Task

WARM, END = 60, 210


class Answers:
    """A lane that finds a rectangle that wanders, and weighs the process when it is asked."""

    def __init__(self) -> None:
        self.weights: dict[int, int] = {}

    def prepare(self, frame: Frame) -> None:
        pass

    def submit(self, frame: Frame, prompts: Sequence[Prompt], live: bool = True) -> Future[MaskSet]:
        if frame.index in (WARM, END):
            self.weights[frame.index] = tracemalloc.get_traced_memory()[0]
        mask = np.zeros((frame.height, frame.width), bool)
        mask[10:30, frame.index % 20 : frame.index % 20 + 25] = True
        found = ObjectMask(1, mask, 0.9, mask_box(mask), ObjectState.TRACKING)
        answer: Future[MaskSet] = Future()
        answer.set_result(MaskSet(frame.index, (found,)))
        return answer

    def close(self) -> None:
        pass


def followed(clip: Path) -> tuple[int, Path | None, float]:
    """Frames, records, and bytes that each frame after the first ones left behind in Python's memory."""
    lane = Answers()
    task = Task(lambda: lane, _no_call, clip.parent, lambda _: None, lambda: False, FalSettings(clip.parent))
    box = BoxPrompt(x_min=2, y_min=10, x_max=25, y_max=30)
    tracemalloc.start()
    made = segment_video(task, clip, Marks([], placed_boxes([box])), Wanted(None, boxes_zip=True, rle=True))
    tracemalloc.stop()
    return made.frames, made.records, (lane.weights[END] - lane.weights[WARM]) / (END - WARM)


def _no_call(work: Any) -> Future[Any]:
    raise AssertionError("not used for videos")
