"""Of several masks for a click, the one whose colours end where it ends."""

from __future__ import annotations

import pytest
import torch
from test_snap import GRID, PICTURE, disc, scene

from engine.choice import alike, likeliest
from engine.models import Model, load_model
from engine.snap import snap
from engine.stages import Clicks
from engine.synthetic import SyntheticClip
from engine.types import Frame

CLICK, HERE = torch.tensor([[0.4, 0.5]]), torch.tensor([1])


def said(mask: torch.Tensor, strength: float = 3.0) -> torch.Tensor:
    return torch.where(mask, strength, -strength)


def candidates() -> torch.Tensor:
    """[3, GRID, GRID]: nothing, far too much, and the disc."""
    everywhere = disc(GRID, 0.4, 0.5, 0.38)
    return torch.stack((torch.full((GRID, GRID), -5.0), said(everywhere), said(disc(GRID, 0.4, 0.5, 0.2))))


def test_the_thing_is_chosen_whatever_the_network_prefers() -> None:
    ious = torch.tensor([[0.9, 0.7, 0.6]])
    assert likeliest([scene()], candidates()[None], ious, CLICK, HERE).tolist() == [2]


def test_where_colours_say_nothing_the_network_decides() -> None:
    grey = torch.zeros(1, 3, PICTURE, PICTURE)
    masks = torch.stack([said(disc(GRID, 0.4, 0.5, radius)) for radius in (0.1, 0.2, 0.3)])[None]
    for best in range(3):
        ious = torch.full((1, 3), 0.5)
        ious[0, best] = 0.8
        assert likeliest([grey], masks, ious, CLICK, HERE).tolist() == [best]


def test_objects_of_a_batch_are_chosen_for_apart() -> None:
    masks = torch.stack((candidates(), candidates().flip(0)))
    ious = torch.full((2, 3), 0.5)
    assert likeliest([scene(), scene()], masks, ious, CLICK, HERE).tolist() == [2, 0]


def test_nothing_and_everything_are_like_what_is_around_them() -> None:
    nothing, everything = torch.full((1, 1, GRID, GRID), -5.0), torch.full((1, 1, GRID, GRID), 5.0)
    right = said(disc(GRID, 0.4, 0.5, 0.2))[None, None]
    likeness = alike([scene()] * 3, torch.cat((nothing, everything, right)))
    assert likeness[:2].tolist() == [1, 1]
    assert likeness[2] < 0.3


@pytest.fixture(scope="module")
def model() -> Model:
    return load_model("pico", dtype=torch.float32)


@torch.inference_mode()
def test_pico_takes_the_candidate_that_is_chosen(model: Model) -> None:
    """For a click; the mask that a tracked frame gets is the network's own choice."""
    clip = SyntheticClip(320, 240)
    stages = model.stages
    features = stages.encode(model.pixels.read(Frame(0, clip.frame(0)[0])))[0]
    assert features.picture is not None
    conditioned = stages.unremembered(features)
    size = model.image_size
    changed = 0
    for x in torch.linspace(0.1, 0.9, 5).tolist():
        for y in torch.linspace(0.1, 0.9, 4).tolist():
            clicks = Clicks(torch.tensor([[[x * size, y * size]]]), torch.ones(1, 1, dtype=torch.int32))
            offered: list[tuple[torch.Tensor, torch.Tensor]] = []
            hook = model.net.sam_mask_decoder.register_forward_hook(
                lambda _, __, out, offered=offered: offered.append(out[:2])
            )
            decoded = stages.decode(conditioned, [features], clicks, first=True)
            hook.remove()
            masks, ious = offered[0]
            snapped = snap(
                [features.picture] * 3, masks[0][:, None], torch.tensor([[x, y]]), torch.tensor([1])
            )
            scores = ious[0] - alike([features.picture] * 3, snapped)
            if float(decoded.score) > 0:
                assert torch.equal(decoded.logits[0, 0], masks[0, int(scores.argmax())])
                changed += int(scores.argmax() != ious[0].argmax())
    assert changed > 0
