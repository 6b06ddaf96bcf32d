"""Objects of one picture: none takes what is another's, and what is one thing may have two names."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray
from test_filters import RED, filter_of, placed

from engine.models import Model
from engine.synthetic import SyntheticClip
from engine.tracker import Tracker
from engine.training.heldout import prompt
from engine.types import Box, Frame, MaskSet, Prompt, Remove

PASSING = (1.0, 4.5)  # seconds of the built-in clip in which its first thing passes before the second


def boxed(object_id: int, x: int, y: int) -> Box:
    """What is placed at `x`, `y`."""
    return Box(object_id, *((place + by) / 256 for by in (-24, 24) for place in (x, y)))


def followed(
    model: Model, pictures: Sequence[NDArray[np.uint8]], prompts: dict[int, Sequence[Prompt]]
) -> list[MaskSet]:
    tracker = Tracker(model)
    return [tracker.step(Frame(t, picture), prompts.get(t, ())) for t, picture in enumerate(pictures)]


def iou(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    return float((a & b).sum() / max(1, (a | b).sum()))


def test_what_passes_before_an_object_does_not_become_it(pico: Model) -> None:
    clip = SyntheticClip(320, 240, fps=30)
    start, stop = (round(second * clip.fps) for second in PASSING)
    image, masks = clip.frame(start)
    tracker, overlaps = Tracker(pico), []
    prompts = [prompt(k, masks[k], "click") for k in (1, 2)]
    for t in range(start, stop):
        image, masks = clip.frame(t)
        first, second = tracker.step(Frame(t, image), prompts if t == start else ()).objects
        assert iou(first.mask, second.mask) < 0.5
        assert iou(first.mask, masks[1]) > 0.85
        overlaps.append(iou(second.mask, masks[2]))
    assert np.mean(overlaps[-10:]) > 0.9
    assert np.mean(overlaps) > 0.75


def test_what_was_lost_does_not_take_what_looks_the_same(pico: Model) -> None:
    """One of two that are alike goes away, and comes back."""
    both = [placed((RED, 60, 60), (RED, 190, 190))] * 4
    one = [placed((RED, 190, 190))] * 10
    back = [placed((RED, 190, 60), (RED, 190, 190))] * 12
    said = followed(pico, both + one + back, {0: (boxed(1, 60, 60), boxed(2, 190, 190))})
    for result in said[6:14]:
        gone, stays = result.objects
        assert not gone.mask.any()
        assert stays.box is not None
    places = [result.box for result in said[-1].objects]
    for box, place in zip(places, ((190, 60), (190, 190)), strict=True):
        assert box is not None
        assert (box[0] * 256, box[1] * 256) == pytest.approx(place, abs=6)


def test_one_thing_may_be_two_objects(pico: Model) -> None:
    """Also when it has been away."""
    pictures = [placed((RED, 60, 60))] * 6 + [placed()] * 6 + [placed((RED, 180, 190))] * 10
    said = followed(pico, pictures, {0: (boxed(1, 60, 60),), 2: (boxed(2, 60, 60),)})
    for result in (*said[2:6], said[-1]):
        assert all(found.mask.any() for found in result.objects)


def test_of_objects_that_were_taken_away_nothing_is_kept(pico: Model) -> None:
    """However many there have been beside one that stays."""
    tracker, picture = Tracker(pico), placed((RED, 60, 60), (RED, 190, 190))
    met = []
    for t in range(12):
        other = boxed(2, 190, 190) if t % 3 == 0 else Remove(2)
        prompts = [boxed(1, 60, 60), other] if t == 0 else [other] if t % 3 != 1 else []
        tracker.step(Frame(t, picture), prompts)
        met.append(len(filter_of(tracker, 1).met))
    assert max(met) == 1
