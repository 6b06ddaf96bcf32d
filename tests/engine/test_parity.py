"""The tracker against the official `SAM2VideoPredictor`: same weights, frames and prompts, float32, CPU."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from official import Official, clip_frames, small_model
from torch import Tensor

from engine import lanes
from engine.models import Model
from engine.parts import StockParts
from engine.tracker import Tracker
from engine.types import Box, Frame, Mask, MaskSet, ObjectState, Point, Points, Prompt, Remove

FRAMES = 48
OCCLUDED = range(20, 27)
LEFT = np.zeros((120, 160), dtype=bool)
LEFT[30:80, 40:100] = True

# An object on the first frame, a second by a box, corrections in between, a mask, several clicks at once,
# everything out of sight on 20..26, a mask that corrects, a removal, and clicks that replace each other.
SCRIPT: dict[int, Sequence[Prompt]] = {
    0: [Points(1, (Point(0.4, 0.5),))],
    5: [Box(2, 0.1, 0.2, 0.5, 0.7, (Point(0.3, 0.4),))],
    9: [Points(1, (Point(0.6, 0.5, positive=False), Point(0.35, 0.45)))],
    14: [Mask(3, LEFT)],
    17: [
        Points(2, (Point(0.2, 0.3),)),
        Points(2, (Point(0.7, 0.7, positive=False),)),
        Points(1, (Point(0.5, 0.5),)),
    ],
    30: [Mask(1, ~LEFT)],
    33: [Remove(2)],
    36: [Points(3, (Point(0.45, 0.5),)), Points(3, (Point(0.4, 0.5),), replace=True)],
    39: [Points(3, (Point(0.4, 0.5),))],
}


@pytest.fixture(scope="module")
def frames() -> list[Frame]:
    return clip_frames(FRAMES, blank=OCCLUDED)


@pytest.fixture(scope="module")
def model() -> Model:
    return small_model()


def follow(tracker: Tracker, frames: Sequence[Frame]) -> list[tuple[MaskSet, dict[int, dict[str, Tensor]]]]:
    """Every result, and the answers behind it under the official names."""
    results = []
    for frame in frames:
        masks = tracker.step(frame, SCRIPT.get(frame.index, ()))
        assert masks.rejected == ()
        answers = {
            object_id: {
                "pred_masks": track.answer.filled,
                "obj_ptr": track.answer.pointer,
                "object_score_logits": track.answer.score,
            }
            for object_id, track in tracker.tracks.items()
        }
        results.append((masks, answers))
    return results


@pytest.mark.parametrize("bank", [4, 2])
def test_bitwise_equal_object_by_object(
    model: Model, frames: list[Frame], bank: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lanes, "MAX_BATCH", 1)
    reference = Official(model, frames, bank).run(SCRIPT)
    tracker = Tracker(model, max_cond_frames=bank, pin_first=False)
    seen: list[float] = []
    for (masks, answers), expected in zip(follow(tracker, frames), reference, strict=True):
        assert answers.keys() == expected.keys()
        for object_id, answer in answers.items():
            for name, value in answer.items():
                assert torch.equal(value, expected[object_id][name]), (masks.frame_index, object_id, name)
            seen.append(float(answer["object_score_logits"]))
    hidden = [score for score in seen if score < 0]
    assert 5 < len(hidden) < len(seen) - 50  # the script did reach both sides


def test_batched_lanes_equal_the_official_predictor_closely(model: Model, frames: list[Frame]) -> None:
    """Other batch sizes round otherwise: masks of IoU 0.999 at least, logits within 1e-4 of their range."""
    reference = Official(model, frames, 4).run(SCRIPT)
    results = follow(Tracker(model, pin_first=False), frames)
    for (masks, answers), expected in zip(results, reference, strict=True):
        for object_id, answer in answers.items():
            ours, theirs = answer["pred_masks"], expected[object_id]["pred_masks"]
            span = float(theirs.max() - theirs.min()) or 1.0
            assert float((ours - theirs).abs().max()) <= 1e-4 * span, (masks.frame_index, object_id)
            union = ((ours > 0) | (theirs > 0)).sum()
            overlap = ((ours > 0) & (theirs > 0)).sum()
            assert overlap >= 0.999 * union, (masks.frame_index, object_id)


def test_a_wrong_memory_is_noticed(
    model: Model, frames: list[Frame], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The network must be one whose answers depend on what is remembered, or equality would say nothing."""
    expected = follow(Tracker(model), frames[:12])[-1][1][1]["pred_masks"]
    assert isinstance(model.parts, StockParts)
    ages = model.parts._age_place
    monkeypatch.setattr(model.parts, "_age_place", ages.flip(0))
    changed = follow(Tracker(model), frames[:12])[-1][1][1]["pred_masks"]
    assert float((changed - expected).abs().max()) > 1e-3 * float(expected.max() - expected.min())


def test_states_follow_the_score(model: Model, frames: list[Frame]) -> None:
    results = follow(Tracker(model, patience=3), frames)
    states = {masks.frame_index: masks.objects[0].state for masks, _ in results}
    assert states[10] == states[29] == ObjectState.TRACKING
    assert states[20] == ObjectState.OCCLUDED
    empty = results[20][0].objects[0]
    assert empty.score < 0.5
    assert empty.box is None
    assert not empty.mask.any()


def test_bitwise_equal_with_holes_filled(frames: list[Frame], monkeypatch: pytest.MonkeyPatch) -> None:
    """The reference finds its components by flooding here, in place of its CUDA extension."""
    monkeypatch.setattr(lanes, "MAX_BATCH", 1)
    monkeypatch.setattr("sam2.utils.misc.get_connected_components", flood_components)
    model = small_model(fill_hole_area=8)
    reference = Official(model, frames[:20], 4).run({k: v for k, v in SCRIPT.items() if k < 20})
    filled = 0
    for (masks, answers), expected in zip(follow(Tracker(model), frames[:20]), reference, strict=True):
        for object_id, answer in answers.items():
            assert torch.equal(answer["pred_masks"], expected[object_id]["pred_masks"]), masks.frame_index
            filled += int((answer["pred_masks"] == 0.1).sum())
    assert filled > 0


def flood_components(mask: Tensor) -> tuple[Tensor, Tensor]:
    """8-connected labels and areas of [N, 1, H, W], by breadth-first search."""
    labels = torch.zeros_like(mask, dtype=torch.int32)
    areas = torch.zeros_like(labels)
    for n, picture in enumerate(mask[:, 0].tolist()):
        todo = {(y, x) for y, row in enumerate(picture) for x, value in enumerate(row) if value}
        label = 0
        while todo:
            label += 1
            start = todo.pop()
            component, queue = [start], deque([start])
            while queue:
                y, x = queue.popleft()
                near = {(y + dy, x + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)} & todo
                todo -= near
                component += near
                queue += near
            rows, columns = zip(*component, strict=True)
            labels[n, 0, rows, columns] = label
            areas[n, 0, rows, columns] = len(component)
    return labels, areas
