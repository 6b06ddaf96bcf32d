"""Prompts on past frames, undo and the rest: what comes of them is what would have been, to the last bit.

Every lane runs as a batch of its own here, as in the tests of parity: batches round differently.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from scripted import CLICK, FPS, MORE, OTHER, Run, Script, assert_same, frame, run, small_model, tensors

from engine import history, lanes, rounds
from engine.memory import Memory
from engine.models import Model
from engine.stages import Stages
from engine.tracker import Tracker
from engine.types import (
    Mask,
    MaskSet,
    Pin,
    Point,
    Points,
    Prompt,
    Redo,
    Remove,
    Reset,
    Restart,
    Restore,
    Undo,
)


@pytest.fixture(autouse=True)
def one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lanes, "MAX_BATCH", 1)
    monkeypatch.setattr(lanes, "LEAST_ROUNDS", lanes.MOST_ROUNDS)  # whatever else this machine does


@pytest.fixture(scope="module")
def model() -> Model:
    return small_model()


@pytest.mark.parametrize("late", [1, 5, 30])
def test_an_object_added_late_is_as_one_added_on_time(model: Model, late: int) -> None:
    then, now = 3, 3 + late
    prompt = replace(CLICK, frame_index=then)
    ours = run(model, {0: [OTHER], now: [prompt]}, now + 35)
    theirs = run(model, {0: [OTHER], then: [CLICK]}, now + 35)
    landed = ours.landed(prompt, now)
    assert now <= landed <= now + late
    for index, result in enumerate(ours.results):  # it appears when it is right, not before
        assert [o.object_id for o in result.objects] == ([1, 2] if index >= landed else [2])
    assert_same(ours, theirs, landed)
    assert_same(ours, theirs, 0, objects=[2])
    logits = ours.tracks[-1][1].answer.logits
    assert logits.min() > -1024
    assert logits.std() > 1e-3


@pytest.mark.parametrize("late", [1, 5, 30])
def test_a_correction_made_late_is_as_one_made_on_time(model: Model, late: int) -> None:
    then, now = 8, 8 + late
    prompt = replace(MORE, frame_index=then)
    ours = run(model, {0: [CLICK, OTHER], now: [prompt]}, now + 35)
    theirs = run(model, {0: [CLICK, OTHER], then: [MORE]}, now + 35)
    without = run(model, {0: [CLICK, OTHER]}, now + 35)
    landed = ours.landed(prompt, now)
    assert now <= landed <= now + late
    for before in range(landed):  # the masks that it had go on until then
        assert_same(replace(ours, results=ours.results[: before + 1]), without, before)
    assert_same(ours, theirs, landed)
    assert_same(ours, theirs, 0, objects=[2])
    assert not torch.equal(ours.tracks[-1][1].answer.logits, without.tracks[-1][1].answer.logits)


def test_many_prompts_at_different_times_on_different_frames(model: Model) -> None:
    """Clicks on one still picture add up; one on a later frame that came earlier is done again."""
    late: Script = {
        20: [replace(CLICK, frame_index=10)],
        21: [replace(MORE, frame_index=10)],
        24: [Points(1, (Point(0.5, 0.5),), frame_index=14)],
        25: [Points(1, (Point(0.3, 0.3),), frame_index=4)],
        40: [Mask(1, np.eye(8, dtype=bool), frame_index=36), MORE],
    }
    on_time: Script = {
        4: [Points(1, (Point(0.3, 0.3),))],
        10: [CLICK, MORE],
        14: [Points(1, (Point(0.5, 0.5),))],
        36: [Mask(1, np.eye(8, dtype=bool))],
        40: [MORE],
    }
    ours, theirs = run(model, late, 60), run(model, on_time, 60)
    assert all(not result.rejected for result in ours.results)
    assert not ours.results[-1].pending
    last = max(i for i, result in enumerate(ours.results) if result.pending) + 1
    assert 40 <= last < 50
    assert_same(ours, theirs, last)


def test_a_correction_where_the_past_has_been_changed_before(model: Model) -> None:
    late = {20: [replace(CLICK, frame_index=2)], 45: [replace(MORE, frame_index=20)]}
    ours, theirs = run(model, late, 75), run(model, {2: [CLICK], 20: [MORE]}, 75)
    assert_same(ours, theirs, 74)


@pytest.mark.parametrize("rounds", [2, 4])
def test_a_step_makes_up_for_few_frames(model: Model, monkeypatch: pytest.MonkeyPatch, rounds: int) -> None:
    monkeypatch.setattr(lanes, "LEAST_ROUNDS", 2)
    monkeypatch.setattr(lanes, "MOST_ROUNDS", rounds)
    replayed: list[int] = []
    remember = lanes.remember

    def counted(stages: Stages, some: Sequence[lanes.Lane]) -> dict[int, Memory]:
        replayed.append(len(some))
        return remember(stages, some)

    monkeypatch.setattr(lanes, "remember", counted)
    tracker, prompt = Tracker(model), replace(CLICK, frame_index=0)
    for index in range(80):
        replayed.clear()
        result = tracker.step(frame(index), [prompt] if index == 30 else [])
        # Later on its one live lane is remembered as well.
        assert sum(replayed) <= lanes.MOST_ROUNDS + (index > 30 and not result.pending)
        if index >= 30 and not result.pending:
            break
    assert 30 + 30 // rounds <= index <= 60
    assert tracker.object_ids == (1,)


def test_a_frame_that_has_left_is_refused_or_taken_for_the_newest(model: Model) -> None:
    old, anyway = replace(CLICK, frame_index=5), Points(3, CLICK.points, frame_index=5, reanchor=True)
    ours = run(model, {0: [OTHER], 60: [old, anyway, replace(OTHER, object_id=4, frame_index=61)]}, 62)
    assert ours.refused(60) == ["FRAME_EXPIRED", "BAD_FRAME"]
    reason = str(ours.results[60].rejected[0][1])
    assert "frame 5 is 2.7 s and 54 frames old; kept are the last 2.0 s, from frame 20 on" in reason
    assert ours.results[60].reanchored == (anyway,)
    assert [o.object_id for o in ours.results[60].objects] == [2, 3]
    without = run(model, {3: [replace(CLICK, frame_index=2)]}, 4, history=0)
    assert without.refused(3) == ["FRAME_EXPIRED"]


def test_history_is_bounded_in_time_and_number_and_counted(model: Model) -> None:
    tracker, slow = Tracker(model, history=1.0), Tracker(model, history=1.0)
    still = Tracker(model, history=1.0)
    for index in range(75):
        tracker.step(frame(index))
        slow.step(replace(frame(index), captured_at=index * 0.3))
        still.step(replace(frame(index), captured_at=0.0))
    assert (tracker.oldest, slow.oldest, still.oldest) == (54, 75 - history.LEAST, 75 - history.RATE)
    frames = tracker.nbytes() / (75 - 54), slow.nbytes() / history.LEAST, still.nbytes() / history.RATE
    (size,) = set(frames)  # bytes of one frame's features
    assert size == 4 * (32 * 2 * 2 + 8 * 4 * 4 + 4 * 8 * 8)
    assert still.step(replace(frame(75), captured_at=0.0)).memory_bytes == size * history.RATE
    assert Tracker(model, history=0).nbytes() == 0


def test_a_replay_goes_on_though_the_source_has_paused(model: Model) -> None:
    """Its frames are kept for as long as it needs them."""
    prompt = replace(CLICK, frame_index=3)
    ours, theirs = Run(Tracker(model)), Run(Tracker(model))
    for index in range(50):
        shown = replace(frame(index), captured_at=index / FPS + (9.0 if index > 30 else 0.0))
        for each, at, what in ((ours, 30, prompt), (theirs, 3, CLICK)):
            each.results.append(each.tracker.step(shown, [what] if index == at else []))
            each.tracks.append(dict(each.tracker.tracks))
    assert ours.results[31].pending == (prompt,)
    assert_same(ours, theirs, ours.landed(prompt, 30))
    assert ours.tracker.oldest == 31


def test_a_preview_is_the_mask_to_come_and_changes_nothing(model: Model) -> None:
    tracker, theirs = Tracker(model), run(model, {2: [CLICK], 8: [MORE]}, 12)
    for index in range(12):
        tracker.step(frame(index), [CLICK] if index == 2 else [])
    held = tracker.nbytes()
    shown = tracker.preview([replace(MORE, frame_index=8)])
    new = tracker.preview([Points(5, MORE.points, frame_index=8), Undo(1)])
    assert tracker.nbytes() == held
    assert tracker.object_ids == (1,)
    (ours,), (expected,) = shown.objects, theirs.results[8].objects
    assert (shown.frame_index, ours.score, ours.box) == (8, expected.score, expected.box)
    assert np.array_equal(ours.mask, expected.mask)
    first = run(model, {8: [replace(MORE, object_id=5)]}, 9).results[8].objects
    assert np.array_equal(new.objects[0].mask, first[0].mask)
    gone = tracker.preview([replace(CLICK, frame_index=99)])
    assert [error.code for _, error in gone.rejected] == ["FRAME_EXPIRED"]
    bad = tracker.preview([Points(7, (Point(0.5, 0.5, positive=False),), frame_index=8)])
    assert [error.code for _, error in bad.rejected] == ["BAD_PROMPT"]
    assert bad.objects == ()


def test_undo_and_redo_are_as_never_done_and_never_undone(model: Model) -> None:
    undo, redo = Undo(1), Redo(1)
    base: dict[int, Sequence[Prompt]] = {0: [OTHER], 2: [CLICK], 10: [MORE]}
    ours = run(model, {**base, 16: [undo], 30: [redo]}, 45)
    never, always = run(model, {0: [OTHER], 2: [CLICK]}, 45), run(model, base, 45)
    undone, redone = ours.landed(undo, 16), ours.landed(redo, 30)
    assert undone < 30
    assert_same(replace(ours, results=ours.results[:30]), never, undone)
    assert_same(ours, always, redone)
    assert_same(ours, always, 0, objects=[2])


def test_undoing_what_made_an_object_takes_it_away_and_redo_brings_it_back(model: Model) -> None:
    ours = run(model, {3: [CLICK], 6: [Undo(1)], 9: [Redo(1)], 30: [Undo(1), Undo(1)]}, 32)
    theirs = run(model, {3: [CLICK]}, 30)
    assert all(1 not in tracks for tracks in ours.tracks[6:9])
    landed = next(i for i in range(9, 20) if 1 in ours.tracks[i])
    assert_same(replace(ours, results=ours.results[:30]), theirs, landed)
    assert ours.refused(30) == ["UNKNOWN_OBJECT"]
    assert 1 not in ours.tracks[30]
    nothing = run(model, {0: [OTHER, Redo(2), Undo(9), Redo(9), Undo(2), CLICK, Undo(1)]}, 1)
    assert nothing.refused(0) == ["NOTHING_TO_REDO", "UNKNOWN_OBJECT", "UNKNOWN_OBJECT"]
    assert nothing.tracker.object_ids == ()


def test_undo_before_the_prompt_has_landed(model: Model) -> None:
    prompt, undo = replace(MORE, frame_index=2), Undo(1)
    ours, never = run(model, {0: [CLICK], 30: [prompt], 31: [undo]}, 40), run(model, {0: [CLICK]}, 40)
    assert ours.results[30].pending == (prompt,)
    assert ours.results[31].pending == ()
    assert_same(ours, never, 0)


def test_undo_of_what_lies_beyond_the_history_goes_on_with_what_was_remembered_then(model: Model) -> None:
    ours = run(model, {0: [CLICK], 5: [MORE], 30: [Undo(1)], 50: [Redo(1)]}, 60, history=0.5)
    assert [result.rejected for result in ours.results] == [()] * 60
    assert [e.frame for e in ours.tracks[29][1].memory.bank] == [0, 5]
    assert [e.frame for e in ours.tracks[30][1].memory.bank] == [0]
    assert [e.frame for e in ours.tracks[30][1].memory.ring] == [30]
    assert [e.frame for e in ours.tracks[50][1].memory.bank] == [0, 5]


def test_a_removed_object_comes_back_as_if_it_had_never_been_away(model: Model) -> None:
    restore = Restore(1)
    script: Script = {0: [CLICK, OTHER], 5: [MORE], 10: [Remove(1)], 18: [restore, Restore(2), Restore(3)]}
    ours, theirs = run(model, script, 40), run(model, {0: [CLICK, OTHER], 5: [MORE]}, 40)
    assert ours.refused(18) == ["NOTHING_TO_RESTORE"] * 2
    assert all(1 not in tracks for tracks in ours.tracks[10:18])
    assert_same(ours, theirs, ours.landed(restore, 18))
    assert_same(ours, theirs, 0, objects=[2])
    late = run(model, {0: [CLICK], 10: [Remove(1)], 70: [Restore(1)]}, 71)
    assert [e.frame for e in late.tracks[70][1].memory.bank] == [0]
    anew = run(model, {0: [CLICK], 4: [Remove(1)], 6: [CLICK], 7: [Restore(1)]}, 8)
    assert anew.refused(7) == ["NOTHING_TO_RESTORE"]
    reset = run(model, {0: [CLICK], 4: [Remove(1)], 6: [Reset()], 7: [Restore(1), Redo(1)]}, 8)
    assert reset.refused(7) == ["NOTHING_TO_RESTORE", "UNKNOWN_OBJECT"]


def test_restart_forgets_all_but_the_mask_of_one_frame(model: Model) -> None:
    ours = run(model, {0: [CLICK], 5: [MORE], 20: [Restart(1)]}, 40)
    bank = ours.tracks[20][1].memory.bank
    assert [e.frame for e in bank] == [20]
    assert ours.tracks[20][1].memory.ring == ()
    before = run(model, {0: [CLICK], 5: [MORE]}, 21).results[20].objects[0].mask
    assert np.array_equal(ours.results[20].objects[0].mask, before)
    late = run(model, {0: [CLICK], 5: [MORE], 30: [Restart(1, frame_index=20)]}, 40)
    assert_same(late, ours, 39)
    undone = run(model, {0: [CLICK], 5: [MORE], 20: [Restart(1)], 30: [Undo(1)]}, 40)
    assert_same(undone, run(model, {0: [CLICK], 5: [MORE]}, 40), 39)


def test_a_pinned_view_is_remembered_and_is_the_last_to_go(model: Model) -> None:
    click: Sequence[Prompt] = [CLICK]
    clicks = dict.fromkeys(range(20, 60, 5), click)
    ours = run(model, {0: click, 5: [Pin(1)], **clicks}, 60)
    assert [e.frame for e in ours.tracks[10][1].memory.bank] == [0, 5]
    assert [e.frame for e in ours.tracks[59][1].memory.bank] == [0, 5, 50, 55]
    late = run(model, {0: click, 12: [Pin(1, frame_index=5)], **clicks}, 60)
    assert_same(late, ours, 59)
    assert run(model, {0: [Pin(1), CLICK, Pin(1)]}, 1).refused(0) == ["UNKNOWN_OBJECT"]


def test_what_is_not_seen_cannot_be_pinned_or_started_from(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracker = Tracker(model)
    tracker.step(frame(0), [CLICK])
    decode = model.stages.decode
    monkeypatch.setattr(
        type(model.stages),
        "decode",
        lambda self, *a, **k: replace(decode(*a, **k), score=torch.full((1, 1), -5.0)),
    )
    result = tracker.step(frame(1), [Pin(1), Restart(1), Pin(1, frame_index=0)])
    assert [error.code for _, error in result.rejected[:2]] == ["NOT_VISIBLE"] * 2
    assert [e.frame for e in tracker.tracks[1].memory.bank] == [0]


def test_a_refused_correction_leaves_the_object_as_it_was(model: Model) -> None:
    bad = Points(1, tuple(Point(i / 80, 0.5) for i in range(65)), frame_index=4)
    unborn = Points(3, (Point(0.5, 0.5, positive=False),), frame_index=4)
    early = Pin(1, frame_index=1)
    ours = run(model, {2: [CLICK], 10: [bad, unborn, early]}, 20)
    assert sorted(ours.refused(10)) == ["BAD_PROMPT", "BAD_PROMPT", "UNKNOWN_OBJECT"]
    assert all(not result.pending for result in ours.results)
    assert_same(ours, run(model, {2: [CLICK]}, 20), 2)
    assert ours.tracker.object_ids == (1,)


def test_as_many_objects_as_there_may_be_however_late(model: Model) -> None:
    late = [Points(i, CLICK.points, frame_index=2) for i in (1, 2, 3)]
    ours = run(model, {20: late}, 40, max_objects=2)
    assert ours.refused(20) == ["TOO_MANY_OBJECTS"]
    assert ours.tracker.object_ids == (1, 2)


def test_streams_that_replay_leave_each_other_alone(model: Model) -> None:
    """One batch: a stream whose object catches up, one that is prompted wrongly, one that just goes on."""
    trackers = [Tracker(model) for _ in range(3)]
    scripts: list[Script] = [
        {20: [replace(CLICK, frame_index=4)]},
        {0: [OTHER], 20: [Undo(7), replace(CLICK, object_id=5, frame_index=3, points=())]},
        {0: [OTHER]},
    ]
    for index in range(35):
        jobs = [rounds.Job(t, frame(index), s.get(index, ())) for t, s in zip(trackers, scripts, strict=True)]
        assert all(isinstance(result, MaskSet) for result in rounds.step_many(model, jobs))
    for tracker, script in zip(trackers, scripts, strict=True):
        alone = run(model, script, 35).tracker
        assert tracker.object_ids == alone.object_ids
        for i in tracker.object_ids:
            for a, b in zip(tensors(tracker.tracks[i]), tensors(alone.tracks[i]), strict=True):
                assert torch.equal(a, b)
