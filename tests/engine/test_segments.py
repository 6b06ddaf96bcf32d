"""Everything in one picture: the grid, what is kept, each thing once, masks at the picture's size."""

from __future__ import annotations

from concurrent.futures import CancelledError
from typing import Any

import numpy as np
import pytest
import torch

from engine import segments
from engine.models import Model, load_model
from engine.segments import Proposal
from engine.synthetic import SyntheticClip
from engine.types import EngineError, Frame, Point
from engine.worker import Worker


@pytest.fixture(scope="module")
def model(tiny_checkpoint: Any) -> Model:
    return load_model(checkpoint=tiny_checkpoint.weights, config=tiny_checkpoint.config, device="cpu")


def proposal(mask: np.ndarray[Any, Any], iou: float) -> Proposal:
    logits = torch.where(torch.from_numpy(mask), 5.0, -5.0)
    return Proposal(logits, iou, 1.0, segments._box(logits > 0))


def square(x: int, y: int, side: int, size: int = 32) -> np.ndarray[Any, Any]:
    mask = np.zeros((size, size), bool)
    mask[y : y + side, x : x + side] = True
    return mask


def test_the_grid_covers_the_picture_in_groups() -> None:
    groups = segments.grid(10)
    points = [point for group in groups for point in group]
    assert len(points) == 100
    assert max(len(group) for group in groups) == segments.POINTS_AT_ONCE
    assert (points[0].x, points[0].y, points[-1].x) == pytest.approx((0.05, 0.05, 0.95))


def test_each_thing_is_chosen_once_the_surest_first() -> None:
    same = [proposal(square(4, 4, 10), 0.8), proposal(square(4, 4, 11), 0.9)]
    other = proposal(square(20, 20, 8), 0.7)
    assert [p.iou for p in segments.choose([*same, other])] == [0.9, 0.7]


def test_enlarged_masks_lose_specks_and_holes() -> None:
    mask = square(8, 8, 16)
    mask[12, 12] = False
    mask[2, 2] = True
    large = segments.enlarge(proposal(mask, 0.9), 320, 160, min_area=300)
    assert large.shape == (160, 320)
    assert large[60, 125]
    assert not large[10:15, 20:30].any()
    kept = segments.enlarge(proposal(mask, 0.9), 320, 160, min_area=0)
    assert not kept[62, 125]
    assert kept[12, 25]


def test_proposals_pass_the_thresholds(model: Model) -> None:
    picture = np.random.default_rng(3).integers(0, 255, (120, 160, 3), np.uint8)
    with torch.inference_mode():
        features = segments.encode(model, Frame(0, picture))
        (group,) = segments.grid(4)
        everything = segments.propose(model, features, group, 0, 0)
        assert everything
        middle = sorted(p.iou for p in everything)[len(everything) // 2]
        some = segments.propose(model, features, group, middle, 0)
        assert 0 < len(some) < len(everything)
        assert all(p.iou >= middle for p in some)
        # The logits of random weights all lie within the offset: nothing there is stable.
        assert segments.propose(model, features, group, 0, 0.99) == []


def test_stability_is_what_a_changed_threshold_leaves() -> None:
    logits = torch.full((2, 4, 4), -5.0)
    logits[:, :2] = 5.0
    logits[1, 1] = 0.0
    assert segments._stability(logits).tolist() == [1.0, 0.5]


def test_pieces_run_in_the_engines_thread(model: Model) -> None:
    worker = Worker(lambda: model)
    worker.start()
    assert worker.call(lambda given: given).result(30) is model
    with pytest.raises(ZeroDivisionError):
        worker.call(lambda _: 1 / 0).result(30)
    assert worker.call(lambda _: torch.is_inference_mode_enabled()).result(30)
    worker.stop()
    with pytest.raises((EngineError, CancelledError)):
        worker.call(lambda given: given).result(30)


@torch.inference_mode()
def test_pico_s_proposals_lie_along_the_colours_of_the_picture(
    exact_pico: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = SyntheticClip(320, 240)
    picture, truth = clip.frame(0)
    features = segments.encode(exact_pico, Frame(0, picture))
    points = [Point(x, y) for _, x, y in clip.clicks().values()]
    offered = segments.propose(exact_pico, features, points, 0.0, 0.0)
    redrawn = [segments.enlarge(p, 320, 240, 0) for p in offered]
    monkeypatch.setattr(exact_pico.stages.drawing, "_snaps", False)
    offered = segments.propose(exact_pico, features, points, 0.0, 0.0)
    plain = [segments.enlarge(p, 320, 240, 0) for p in offered]
    best = [
        [max((mask & truth[i]).sum() / (mask | truth[i]).sum() for mask in masks) for i in clip.clicks()]
        for masks in (redrawn, plain)
    ]
    assert np.mean(best[0]) > np.mean(best[1])
    assert min(best[0]) > 0.8
