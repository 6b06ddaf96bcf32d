"""A frame that a person holds: prompts on it after all its neighbours have been let go."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from scripted import CLICK, FPS, MORE, OTHER, Run, assert_same, run, small_model

from engine import history, lanes
from engine.models import Model
from engine.synthetic import SyntheticClip
from engine.tracker import Tracker
from engine.types import Frame, Keep, Point, Points, Prompt, Release, Reset, Undo

RING = 0.5  # seconds; at least the last 12 frames
HELD = 3


@pytest.fixture(autouse=True)
def one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lanes, "MAX_BATCH", 1)
    monkeypatch.setattr(lanes, "LEAST_ROUNDS", lanes.MOST_ROUNDS)


@pytest.fixture(scope="module")
def model() -> Model:
    return small_model()


def held(prompt: Points) -> Points:
    return replace(prompt, frame_index=HELD)


def refusals(ours: Run, index: int) -> list[tuple[str, str]]:
    return [(error.code, str(error)) for _, error in ours.results[index].rejected]


@pytest.mark.parametrize("released", [False, True], ids=["still held", "let go in the same message"])
def test_a_click_long_after_is_as_one_made_then(model: Model, released: bool) -> None:
    """As long as the way from the held frame to the others is whole: exact to the last bit."""
    now = HELD + 12 + history.WAY
    new, more = held(CLICK), held(replace(MORE, object_id=2))
    late: Sequence[Prompt] = [new, more, *([Release()] if released else [])]
    ours = run(model, {0: [OTHER], 5: [Keep(HELD)], now: late}, now + 30, history=RING)
    theirs = run(model, {0: [OTHER], HELD: [CLICK, replace(MORE, object_id=2)]}, now + 30)
    assert ours.refused(now) == []
    assert_same(ours, theirs, max(ours.landed(new, now), ours.landed(more, now)), objects=[1, 2])


def test_what_was_done_to_a_held_picture_is_undone_there(model: Model) -> None:
    first, more = held(CLICK), held(MORE)
    script = {4: [Keep(HELD)], 20: [first], 30: [more], 42: [Undo(1)]}
    ours = run(model, script, 70, history=RING)
    theirs = run(model, {HELD: [CLICK]}, 70)
    assert_same(ours, theirs, ours.landed(script[42][0], 42))


def test_what_is_held_is_bounded_in_number_and_time(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "WAY", 6)
    monkeypatch.setattr(history, "HOLD_SECONDS", 3.0)
    ours = run(model, {0: [OTHER], 4: [Keep(HELD)]}, 50, history=RING)
    plain = run(model, {0: [OTHER]}, 50, history=RING)
    frame_bytes = run(model, {}, 1, history=RING).tracker.nbytes()
    surplus = ours.tracker.nbytes() - plain.tracker.nbytes()
    assert 4 * frame_bytes < surplus < 7 * frame_bytes + plain.tracker.nbytes() / 4
    late = held(CLICK)
    ours.on({50: [late]}, 60)
    assert ours.refused(50) == []
    assert ours.landed(late, 50) < 60
    oldest = HELD + round(3.0 * FPS)
    ours.on({oldest + 2: [held(MORE)]}, oldest + 4)
    ((code, reason),) = refusals(ours, oldest + 2)
    assert code == "FRAME_EXPIRED"
    assert f"frame {HELD} is 3.1 s" in reason
    assert ours.tracker.nbytes() < plain.tracker.nbytes() * 2, "it was let go"


def test_one_frame_is_held_and_only_one_that_is_kept(model: Model) -> None:
    script: dict[int, Sequence[Prompt]] = {
        4: [Keep(HELD)],
        10: [Keep(8)],
        30: [held(CLICK), replace(CLICK, object_id=2, frame_index=8), Keep(2), Keep(77)],
        40: [Release()],
        42: [replace(CLICK, object_id=3, frame_index=8)],
    }
    ours = run(model, script, 60, history=RING)
    assert ours.refused(30) == ["FRAME_EXPIRED", "FRAME_EXPIRED", "BAD_FRAME"]
    assert ours.refused(42) == ["FRAME_EXPIRED"]
    assert ours.tracker.object_ids == (2,)
    assert run(model, {2: [Keep(1)]}, 3, history=0).refused(2) == ["FRAME_EXPIRED"]
    newest = run(model, {2: [Keep()], 30: [replace(CLICK, frame_index=2)]}, 50, history=RING)
    assert newest.tracker.object_ids == (1,)


def test_an_object_is_not_followed_over_what_cannot_be_done_to_it_again(model: Model) -> None:
    """Object 1 was corrected on a frame between, which is gone; object 2 was not."""
    script = {0: [CLICK, OTHER], 4: [Keep(HELD)], 8: [MORE]}
    now = 75
    late = [held(MORE), replace(held(MORE), object_id=2), replace(held(CLICK), object_id=3)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(history, "WAY", 4)
        ours = run(model, {**script, now: late}, 78, history=RING)
    assert ours.refused(now) == ["FRAME_EXPIRED"]
    assert ours.results[now].rejected[0][0] is late[0]


def test_reset_forgets_objects_and_not_the_picture(model: Model) -> None:
    now = 30
    ours = run(model, {0: [CLICK], 4: [Keep(HELD)], 20: [Reset()], now: [held(CLICK)]}, 60, history=RING)
    theirs = run(model, {HELD: [CLICK]}, 60)
    assert ours.refused(now) == []
    assert_same(ours, theirs, ours.landed(ours.results[now].pending[0], now))


def test_things_clicked_on_a_picture_of_five_seconds_ago_are_found(
    pico: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bundled model on the built-in scene; half of the frames between are gone by then."""
    monkeypatch.setattr(history, "WAY", 15)
    fps, then, now, end = 10, 3, 53, 70
    clip = SyntheticClip(320, 240, fps=fps)
    clicks = [
        Points(i, (Point(x, y),), frame_index=then)
        for i, (x, y) in ((i, middle(mask)) for i, mask in clip.frame(then)[1].items())
    ]
    late, on_time = Tracker(pico), Tracker(pico)
    ours, theirs, landed = [], [], end
    for index in range(end):
        picture, truth = clip.frame(index)
        frame = Frame(index, picture, captured_at=index / fps)
        result = late.step(frame, {then + 1: [Keep(then)], now: clicks}.get(index, ()))
        told = on_time.step(frame, clicks if index == then else ())
        if index >= now and not result.pending:
            landed = min(landed, index)
            ours.append([overlap(found.mask, truth[found.object_id]) for found in result.objects])
            theirs.append([overlap(found.mask, truth[found.object_id]) for found in told.objects])
    assert landed < now + 40
    assert len(ours[0]) == len(clicks)
    assert np.mean(ours) > np.mean(theirs) - 0.02
    assert np.mean(ours) > 0.6


def middle(mask: NDArray[np.bool_]) -> tuple[float, float]:
    """The pixel of a mask that is nearest to its mean, 0..1."""
    rows, columns = np.nonzero(mask)
    at = np.argmin((rows - rows.mean()) ** 2 + (columns - columns.mean()) ** 2)
    return float((columns[at] + 0.5) / mask.shape[1]), float((rows[at] + 0.5) / mask.shape[0])


def overlap(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    return float((a & b).sum() / max((a | b).sum(), 1)) if b.any() or a.any() else 1.0
