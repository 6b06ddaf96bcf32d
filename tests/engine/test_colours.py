"""Histograms of colours: what light does to them, and what it does not."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from engine.colours import HIGH, LOW, bins, blend, evenly_lit, histogram, likeness

LEVELS = 4


def picture(seed: int = 0) -> Tensor:
    """[1, 3, 16, 16] between black and white, of one random colour in each quarter."""
    colours = torch.rand(1, 3, 2, 2, generator=torch.Generator().manual_seed(seed)) * 0.5 + 0.2
    return LOW + (HIGH - LOW) * colours.repeat_interleave(8, 2).repeat_interleave(8, 3)


def lit(shown: Tensor, gain: float) -> Tensor:
    return LOW + (shown - LOW) * gain


def counted(shown: Tensor) -> Tensor:
    return blend(shown, LEVELS)[0].mean(dim=1)


def test_every_pixel_counts_once() -> None:
    of_each = blend(torch.cat((picture(), picture(1) * 3)), LEVELS)
    assert of_each.shape == (2, LEVELS**3, 256)
    torch.testing.assert_close(of_each.sum(dim=1), torch.ones(2, 256))


def test_the_middle_of_a_level_is_of_that_colour_alone() -> None:
    width = (HIGH - LOW) / LEVELS
    middle = LOW + width * (torch.tensor([0.5, 1.5, 3.5]).view(1, 3, 1, 1))
    found = blend(middle, LEVELS)[0, :, 0]
    assert int(found.argmax()) == bins(middle, LEVELS).item() == 1 * LEVELS + 3
    assert float(found.max()) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("gain", [0.6, 0.8, 1.25, 1.6])
def test_light_changes_no_colour_of_an_evenly_lit_picture(gain: float) -> None:
    torch.testing.assert_close(evenly_lit(lit(picture(), gain)), evenly_lit(picture()))


def test_a_dark_room_is_not_lit_without_end() -> None:
    dark = lit(picture(), 0.1)
    torch.testing.assert_close(evenly_lit(dark), lit(dark, 2.0))
    assert evenly_lit(torch.full((1, 3, 4, 4), LOW)).unique().tolist() == [pytest.approx(LOW)]


@pytest.mark.parametrize("seed", range(4))
def test_a_little_light_is_a_little_another_colour(seed: int) -> None:
    """Where colours are counted by the level they lie in, those at its edge become others at once."""
    edge = LOW + (HIGH - LOW) * 0.5
    shown = edge + 0.01 * torch.sign(picture(seed) - picture(seed).mean())
    brighter = shown + 0.04
    weight = torch.ones(1, 16, 16)
    hard = [histogram(bins(x, LEVELS), weight, LEVELS)[0] for x in (shown, brighter)]
    assert float(likeness(counted(shown), counted(brighter))) > 0.99
    assert float(likeness(*hard)) < 0.9
