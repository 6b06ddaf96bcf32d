"""The contenders of the engine benchmark do the same work on the same weights."""

from __future__ import annotations

import dataclasses
import importlib.util
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from checkpoint import Checkpoint

from engine.contest.contenders import Contender, Livemask, Masks, Official, Picture, tensor_bytes
from engine.contest.transformers_sam2 import Transformers, convert
from engine.models import Model, load_model
from engine.synthetic import SyntheticClip

needs_transformers = pytest.mark.skipif(
    importlib.util.find_spec("transformers") is None, reason="transformers is not installed"
)
FRAMES = 10


@pytest.fixture(scope="module")
def model(tiny_checkpoint: Checkpoint) -> Model:
    loaded = load_model(
        checkpoint=tiny_checkpoint.weights, config=tiny_checkpoint.config, device="cpu", dtype=torch.float32
    )
    return dataclasses.replace(loaded, preset=dataclasses.replace(loaded.preset, fill_hole_area=0))


@pytest.fixture(scope="module")
def scene() -> tuple[list[Picture], list[Masks]]:
    clip = SyntheticClip(160, 120)
    frames = [clip.frame(i) for i in range(FRAMES)]
    return [picture for picture, _ in frames], list(frames[0][1].values())[:2]


def run(contender: Contender) -> tuple[list[Masks], list[int]]:
    masks, held = [], []
    for index in range(FRAMES):
        masks.append(contender.step(index))
        held.append(contender.nbytes())
    return masks, held


def mean_iou(one: Sequence[Masks], other: Sequence[Masks]) -> float:
    pairs = [(a, b) for x, y in zip(one, other, strict=True) for a, b in zip(x, y, strict=True)]
    return float(np.mean([(a & b).sum() / (a | b).sum() if (a | b).any() else 1.0 for a, b in pairs]))


@pytest.fixture(scope="module")
def ours(model: Model, scene: tuple[list[Picture], list[Masks]]) -> tuple[list[Masks], list[int]]:
    return run(Livemask(model, *scene))


def test_the_first_masks_are_those_given(
    ours: tuple[list[Masks], list[int]], scene: tuple[list[Picture], list[Masks]]
) -> None:
    assert mean_iou(ours[0][:1], [np.stack(scene[1])]) > 0.8


def test_the_official_predictor_agrees_and_grows(
    model: Model, ours: tuple[list[Masks], list[int]], scene: tuple[list[Picture], list[Masks]]
) -> None:
    masks, held = run(Official(model, *scene))
    assert masks[0].shape == (2, 120, 160)
    assert mean_iou(masks, ours[0]) > 0.99
    picture_bytes = 3 * model.image_size**2 * 4
    assert held[-1] - held[-2] > picture_bytes, "each picture and its outputs are kept"
    assert ours[1][-1] - ours[1][-2] < 4096, "ours keeps but pointers once its spatial memory is full"


@needs_transformers
def test_transformers_agrees_and_grows(
    model: Model, ours: tuple[list[Masks], list[int]], scene: tuple[list[Picture], list[Masks]]
) -> None:
    masks, held = run(Transformers(model, *scene))
    assert masks[0].shape == (2, 120, 160)
    assert mean_iou(masks, ours[0]) > 0.99
    assert held[-1] - held[-2] > 3 * model.image_size**2 * 4


def test_every_weight_has_a_name_in_transformers(model: Model) -> None:
    weights = model.net.state_dict()
    converted = convert(weights)
    # Four point embeddings become one table; the Gaussian of the positions is there twice.
    assert len(converted) == len(weights) - 3 + 1
    assert not any("sam_" in name or "image_encoder" in name for name in converted)


def test_shared_storage_counts_once() -> None:
    base = torch.zeros(100)
    assert tensor_bytes({"a": base, "b": [base[:10], base.view(10, 10)], "c": (torch.zeros(1),)}) == 404
