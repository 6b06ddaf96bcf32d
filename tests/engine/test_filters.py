"""Correlation filters on the tracker's way: begun, taught, replayed, counted and let go of as memory is."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from official import small_model, small_net
from sam2.modeling.sam2_base import NO_OBJ_SCORE

from engine.correlation import CorrelationFilter
from engine.features import Features
from engine.filters import NEWER
from engine.lanes import SPARSE
from engine.models import Model
from engine.regressor import Ends
from engine.synthetic import SyntheticClip
from engine.tracker import Tracker
from engine.types import Box, Frame, MaskSet, Point, Points, Prompt


def click(clip: SyntheticClip, object_id: int, frame: int | None = None) -> Points:
    _, x, y = clip.clicks()[object_id]
    return Points(object_id, (Point(x, y),), frame_index=frame)


def play(tracker: Tracker, clip: SyntheticClip, start: int, stop: int, *prompts: Prompt) -> Iterator[MaskSet]:
    for t in range(start, stop):
        yield tracker.step(Frame(t, clip.frame(t)[0], t / clip.fps), prompts if t == start else ())


def filter_of(tracker: Tracker, object_id: int) -> CorrelationFilter:
    found = tracker.tracks[object_id].memory.filter
    assert found is not None
    return found


def test_a_filter_begins_with_a_prompt_and_stays_on_its_object(pico: Model, clip: SyntheticClip) -> None:
    tracker = Tracker(pico)
    for result in play(tracker, clip, 0, 30, click(clip, 2)):
        mask = clip.frame(result.frame_index)[1][2]
        rows, columns = np.nonzero(mask)
        middle = (columns.mean() / clip.width, rows.mean() / clip.height)
        assert filter_of(tracker, 2).box[:2].tolist() == pytest.approx(middle, abs=0.04)
        assert filter_of(tracker, 2).lost == 0


def test_a_correction_begins_a_new_one_and_looking_on_does_not(pico: Model, clip: SyntheticClip) -> None:
    tracker = Tracker(pico)
    list(play(tracker, clip, 0, 10, click(clip, 2)))
    before = filter_of(tracker, 2)
    list(play(tracker, clip, 10, 11))
    taught = filter_of(tracker, 2)
    assert taught.mean is before.mean, "taught, not begun"
    assert not torch.equal(taught.numerator, before.numerator)
    list(play(tracker, clip, 11, 12, click(clip, 2)))
    assert filter_of(tracker, 2).mean is not before.mean


def test_a_late_click_gives_the_filter_that_one_in_time_gives(pico: Model, clip: SyntheticClip) -> None:
    late, on_time = Tracker(pico), Tracker(pico)
    list(play(late, clip, 0, 12, click(clip, 1)))
    list(play(late, clip, 12, 24, click(clip, 2, frame=4)))
    list(play(on_time, clip, 0, 4, click(clip, 1)))
    list(play(on_time, clip, 4, 24, click(clip, 2)))
    ours, theirs = filter_of(late, 2), filter_of(on_time, 2)
    torch.testing.assert_close(ours.box, theirs.box, atol=0.01, rtol=0)
    torch.testing.assert_close(ours.numerator, theirs.numerator, atol=1.0, rtol=0.05)


def test_what_leaves_and_comes_back_elsewhere_is_found(pico: Model, clip: SyntheticClip) -> None:
    """Object 2 goes behind the post and comes out on its other side, turned."""
    tracker = Tracker(pico)
    overlaps = []
    for result in play(tracker, clip, 0, 12 * int(clip.fps), click(clip, 2)):
        truth, said = clip.frame(result.frame_index)[1][2], result.objects[0].mask
        if truth.sum() > 200:
            overlaps.append((truth & said).sum() / (truth | said).sum())
    assert np.mean(overlaps[-int(clip.fps) :]) > 0.5


WALL = np.random.default_rng(5).integers(90, 130, (8, 8, 3), np.uint8).repeat(32, 0).repeat(32, 1)


def thing(low: int, high: int) -> NDArray[np.uint8]:
    """A patchwork of 48 x 48 pixels, red from `low` and blue from `high` on."""
    chance = np.random.default_rng(2)
    least = np.array((low, 60, high))
    return chance.integers(least, least + 75, (6, 6, 3), np.uint8).repeat(8, 0).repeat(8, 1)


RED, BLUE = thing(170, 10), thing(10, 170)


def placed(*things: tuple[NDArray[np.uint8], int, int]) -> NDArray[np.uint8]:
    """A picture of a wall with things and where their middles are."""
    picture = WALL.copy()
    for each, x, y in things:
        picture[y - 24 : y + 24, x - 24 : x + 24] = each
    return picture


BOXED = Box(1, 36 / 256, 36 / 256, 84 / 256, 84 / 256)  # what is at 60, 60


def followed(tracker: Tracker, pictures: Sequence[NDArray[np.uint8]]) -> list[tuple[float, ...] | None]:
    """Boxes of what is boxed on the first picture."""
    steps = [tracker.step(Frame(t, p), [] if t else [BOXED]) for t, p in enumerate(pictures)]
    return [step.objects[0].box for step in steps]


def test_what_comes_back_in_another_place_is_followed_there(pico: Model) -> None:
    away = [placed((RED, 60, 60))] * 4 + [placed()] * 6 + [placed((RED, 180, 190))] * 8
    seen = followed(Tracker(pico), away)
    assert all(box is None for box in seen[6:10])
    last = seen[-1]
    assert last is not None
    assert (last[0] * 256, last[1] * 256) == pytest.approx((180, 190), abs=6)


def test_the_same_pattern_in_other_colours_is_not_what_was_lost(pico: Model) -> None:
    away = [placed((RED, 60, 60))] * 4 + [placed()] * 4 + [placed((BLUE, 180, 190))] * 8
    assert all(box is None for box in followed(Tracker(pico), away)[-4:])


def test_what_was_lost_to_another_thing_is_followed_where_it_is(pico: Model) -> None:
    """Another thing comes to its place while it moves away too fast to be followed."""
    both = [placed((RED, 60, 60))] * 4 + [placed((BLUE, 60, 60), (RED, 180, 190))] * 12
    last = followed(Tracker(pico), both)[-1]
    assert last is not None
    assert (last[0] * 256, last[1] * 256) == pytest.approx((180, 190), abs=6)


def test_what_comes_before_an_object_is_not_taken_for_it(pico: Model, clip: SyntheticClip) -> None:
    """A screen of another colour stands before it for a second, and goes away."""
    tracker, (hidden, shown) = Tracker(pico), (range(15, 30), range(35, 45))
    screen = np.random.default_rng(3).integers(
        (30, 120, 40), (90, 180, 100), (clip.height, clip.width, 3), np.uint8
    )
    empty, overlaps = [], []
    for t in range(shown.stop):
        image, masks = clip.frame(t)
        if t in hidden:
            rows, columns = (np.flatnonzero(masks[2].any(axis)) for axis in (1, 0))
            near = np.s_[max(0, rows[0] - 8) : rows[-1] + 9, max(0, columns[0] - 8) : columns[-1] + 9]
            image = image.copy()
            image[near] = screen[near]
        (found,) = tracker.step(Frame(t, image, t / clip.fps), [click(clip, 2)] if t == 0 else ()).objects
        if t in hidden:
            empty.append(not found.mask.any())
        if t in shown:
            overlaps.append((masks[2] & found.mask).sum() / (masks[2] | found.mask).sum())
    assert np.mean(empty) > 0.9
    assert np.mean(overlaps) > 0.7


def test_memory_keeps_what_was_seen_before_an_object_went_away(pico: Model, clip: SyntheticClip) -> None:
    """SAM 2's own memory fills with absence, and then takes nothing for the object any more."""
    tracker, nothing = Tracker(pico), np.zeros((clip.height, clip.width, 3), np.uint8)
    list(play(tracker, clip, 0, 12, click(clip, 2)))
    before = tracker.tracks[2].memory
    for t in range(12, 30):
        result = tracker.step(Frame(t, nothing, t / clip.fps))
        assert not result.objects[0].mask.any()
    after = tracker.tracks[2].memory
    assert [e.features.data_ptr() for e in after.ring] == [e.features.data_ptr() for e in before.ring]
    assert [e.frame for e in after.ring] == [e.frame + 18 for e in before.ring]


def test_of_what_a_filter_is_sure_of_few_frames_are_remembered(pico: Model, clip: SyntheticClip) -> None:
    """However far apart the frames are that are followed."""
    tracker, kept = Tracker(pico), []
    for t in range(0, 48, 2):
        tracker.step(Frame(t, clip.frame(t)[0], t / clip.fps), [click(clip, 1)] if t == 0 else [])
        kept.append({e.features.data_ptr() for e in tracker.tracks[1].memory.ring})
    new = [bool(after - before) for before, after in itertools.pairwise(kept)]
    assert new[0], "the first is, whatever the filter says"
    assert sum(new[1:]) == pytest.approx(len(new[1:]) / SPARSE, abs=1)


@torch.inference_mode()
def test_what_looks_other_than_at_first_is_compared_once_a_frame(
    pico: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With its newest look; with its first one now and then, to see whether it looks so again."""
    regress, asked = pico.stages.bounds.regress, []

    def watched(
        features: Sequence[Features], filters: Sequence[CorrelationFilter], newest: bool = True
    ) -> Ends:
        asked.append(newest)
        ends = regress(features, filters, newest)
        return ends if newest else replace(ends, there=torch.full_like(ends.there, 0.6))

    monkeypatch.setattr(pico.stages.bounds, "regress", watched)
    tracker, frames = Tracker(pico), 2 * NEWER + 1
    for t in range(frames):
        tracker.step(Frame(t, placed((RED, 60 + t, 60))), [] if t else [BOXED])
    assert filter_of(tracker, 1).turned
    assert asked.count(True) == frames - 1
    assert asked.count(False) == 1 + (frames - 1) // NEWER


@torch.inference_mode()
def test_what_a_filter_is_sure_of_is_there_whatever_the_network_says(
    pico: Model, clip: SyntheticClip
) -> None:
    tracker = Tracker(pico)
    list(play(tracker, clip, 0, 12, click(clip, 2)))
    (empty,) = pico.stages.encode(torch.zeros(1, 3, pico.image_size, pico.image_size))
    recalled = pico.stages.recall([empty], [tracker.tracks[2].memory], [12])
    unasked = pico.stages.decode(recalled, [empty])
    told = pico.stages.decode(recalled, [empty], certain=torch.tensor([True]))
    assert float(unasked.score) <= 0
    assert unasked.logits.unique().tolist() == [NO_OBJ_SCORE]
    assert float(told.score) > 0
    assert told.logits.unique().numel() > 100


def test_filters_are_counted_and_let_go_of(pico: Model, clip: SyntheticClip) -> None:
    tracker = Tracker(pico, history=0)
    list(play(tracker, clip, 0, 40, click(clip, 2)))
    held = tracker.nbytes()
    assert held > sum(t.nbytes for t in filter_of(tracker, 2).tensors())
    list(play(tracker, clip, 40, 60))
    assert tracker.nbytes() == held


def test_a_preset_without_has_none(clip: SyntheticClip) -> None:
    tracker = Tracker(small_model(small_net()))
    list(play(tracker, clip, 0, 3, click(clip, 2)))
    assert tracker.tracks[2].memory.filter is None


BOXES = (
    Box(1, 0.0, 0.0, 1.0, 1.0),
    Box(2, 0.02, 0.03, 0.98, 0.99),
    Box(3, 0.0, 0.4, 1.0, 0.5),  # as wide as the picture
    Box(4, 0.97, 0.98, 1.0, 1.0),  # in a corner
    Box(5, 0.5, 0.5, 0.5016, 0.5021),  # a pixel
)


def test_whatever_was_boxed_may_be_gone_at_a_cut(pico: Model, clip: SyntheticClip) -> None:
    """Every step answers, and what it says of a place is one."""
    tracker = Tracker(pico)
    list(play(tracker, clip, 0, 2, *BOXES))
    rng = np.random.default_rng(0)
    for t in range(2, 14):
        other = rng.integers(0, 256, (clip.height // 40, clip.width // 40, 3), np.uint8)
        result = tracker.step(Frame(t, other.repeat(40, axis=0).repeat(40, axis=1)))
        assert [o.object_id for o in result.objects] == [1, 2, 3, 4, 5]
        assert all(0 <= v <= 1 for o in result.objects for v in o.box or ())
