"""Boxes drawn by eye: the committed ones, reading, agreement."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine.training.annotations import iou, load_annotations
from engine.training.cutouts import MARKS, load_marks


def test_the_committed_boxes_are_many_and_spread_over_their_clips() -> None:
    annotated = load_annotations()
    assert len(annotated) >= 22
    assert len({a.clip for a in annotated}) >= 8
    for a in annotated:
        later = [frame for frame, box in a.boxes.items() if box is not None and frame > a.first]
        assert len(later) >= 5, (a.clip, a.name)


def test_no_clip_is_both_trained_on_and_scored() -> None:
    scored = {Path(a.clip).stem for a in load_annotations()}
    assert scored.isdisjoint(mark.clip for mark in load_marks(MARKS))


def test_boxes_come_out_relative_and_in_order_of_frames(tmp_path: Path) -> None:
    path = tmp_path / "boxes.json"
    frames = {"10": [0, 0, 100, 50], "2": [20, 10, 60, 30], "5": None}
    path.write_text(json.dumps({"size": [200, 100], "clips": {"a.mp4": {"thing": frames}}}))
    (only,) = load_annotations(path)
    assert list(only.boxes) == [2, 5, 10]
    assert (only.first, only.last) == (2, 10)
    assert only.start == pytest.approx((0.1, 0.1, 0.3, 0.3))
    assert only.boxes[5] is None


@pytest.mark.parametrize(
    "frames", [{"0": None, "3": [0, 0, 9, 9]}, {"0": [5, 5, 5, 9]}, {"0": [0, 0, 201, 9]}]
)
def test_boxes_that_make_no_sense_are_refused(tmp_path: Path, frames: dict[str, object]) -> None:
    path = tmp_path / "boxes.json"
    path.write_text(json.dumps({"size": [200, 100], "clips": {"a.mp4": {"thing": frames}}}))
    with pytest.raises(ValueError, match=r"a\.mp4: thing: expected a box"):
        load_annotations(path)


def test_overlap() -> None:
    left, right = (0.0, 0.0, 0.4, 1.0), (0.2, 0.0, 0.6, 1.0)
    assert iou(left, left) == pytest.approx(1.0)
    assert iou(left, right) == pytest.approx(1 / 3)
    assert iou(left, (0.5, 0.0, 0.6, 1.0)) == 0
    assert iou(None, left) == iou(left, None) == 0
