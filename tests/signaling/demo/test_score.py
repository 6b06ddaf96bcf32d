"""The numbers of a recording, by their documented rules."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from engine.masks import mask_to_rle
from signaling.demo.footage import Masks, Message
from signaling.demo.score import iou, object_scores, percentile, score
from signaling.demo.watch import Recording, Seen

H, W = 20, 30


def block(x0: int, x1: int) -> NDArray[np.bool_]:
    mask = np.zeros((H, W), np.bool_)
    mask[:, x0:x1] = True
    return mask


class Known:
    """Object 1 in view on frames 0 and 1, absent on 2 and 3."""

    name, width, height, fps = "known", W, H, 10.0

    def __len__(self) -> int:
        return 4

    def picture(self, index: int) -> NDArray[np.uint8]:
        return np.zeros((H * 3 // 2, W), np.uint8)

    def truth(self, index: int) -> Masks | None:
        return {1: block(0, 10) if index < 2 else block(0, 0)}

    def prompts(self) -> Sequence[Message]:
        return []

    def moments(self) -> Sequence[int]:
        return [0]


def result(*masks: tuple[int, NDArray[np.bool_]]) -> Message:
    return {"objects": [{"object_id": i, "rle": dict(mask_to_rle(mask))} for i, mask in masks]}


def recording(**changes: object) -> Recording:
    given = {
        "clicks": {1: 0.12},
        "captured": {0: 5.0, 1: 5.1, 2: 5.2, 3: 5.3},
        "seen": {0: Seen(5.05, 0), 1: Seen(5.17, 1), 3: Seen(5.45, 2)},
        "results": {
            0: result((1, block(0, 10))),
            1: result((1, block(5, 15))),
            2: result((1, block(0, 0))),
            3: result((1, block(0, 3))),
        },
        "server": {"stats": {"latency_ms": {"p50": 20.0, "p95": 30.0}}},
        "health": {"model": {"name": "pico", "why": "because"}},
    }
    return Recording(Known(), None, **{**given, **changes})  # type: ignore[arg-type]


def test_overlap_counts_and_absence_counts_by_an_empty_mask() -> None:
    (only,) = object_scores(recording())
    assert only.frames == 4
    assert only.visible_iou == pytest.approx((1 + 1 / 3) / 2, abs=1e-4)
    assert only.absent_empty == 0.5
    assert only.mean_iou == pytest.approx((1 + 1 / 3 + 1 + 0) / 4, abs=1e-4)


def test_an_object_without_a_mask_scores_nothing_while_it_is_in_view() -> None:
    (only,) = object_scores(recording(results={0: result(), 2: result()}))
    assert (only.visible_iou, only.absent_empty) == (0.0, 1.0)


def test_an_object_that_is_always_in_view_has_no_absence() -> None:
    (only,) = object_scores(recording(results={0: result((1, block(0, 10)))}))
    assert (only.mean_iou, only.absent_empty) == (1.0, None)


def test_latency_runs_from_the_capture_of_the_very_frame() -> None:
    report = score(recording())
    assert (report.latency_p50, report.latency_p95, report.latency_max) == (70.0, 150.0, 150.0)
    assert report.click_to_mask == {1: 120.0}


def test_frames_are_counted_by_what_became_of_them() -> None:
    report = score(recording())
    assert (report.frames_in, report.frames_tracked, report.frames_out, report.frames_dropped) == (4, 4, 3, 1)
    assert (report.fps_in, report.fps_out) == (10.0, 7.5)


def test_the_report_is_plain_json_even_when_nothing_came_back() -> None:
    empty = score(recording(seen={}, results={}))
    text = json.dumps(empty.as_json(), allow_nan=False)
    assert json.loads(text)["latency_p50"] is None


def test_the_overlap_of_masks() -> None:
    assert iou(block(0, 10), block(5, 15)) == pytest.approx(1 / 3)
    assert iou(block(0, 0), block(0, 0)) == 1.0
    assert iou(None, block(0, 0)) == 1.0
    assert iou(None, block(0, 1)) == 0.0


def test_percentiles_are_by_nearest_rank() -> None:
    values = [float(i) for i in range(1, 101)]
    assert (percentile(values, 0.5), percentile(values, 0.95), percentile(values, 1.0)) == (51.0, 96.0, 100.0)
    assert percentile([], 0.5) is None
