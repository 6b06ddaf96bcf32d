import pytest
import torch
from test_parity import flood_components

from engine.holes import fill_holes


def filled_by_flooding(logits: torch.Tensor, area: int) -> torch.Tensor:
    labels, areas = flood_components(logits <= 0)
    return torch.where((labels > 0) & (areas <= area), 0.1, logits)


@pytest.mark.parametrize("density", [0.3, 0.5, 0.6, 0.75, 0.95])
def test_equals_flooding_on_random_pictures(density: float) -> None:
    generator = torch.Generator().manual_seed(int(density * 100))
    for side in (16, 33):
        logits = density - torch.rand(3, 1, side, side, generator=generator)
        for area in (1, 2, 8):
            assert torch.equal(fill_holes(logits, area), filled_by_flooding(logits, area))


def test_a_snake_of_eight_is_filled_and_one_of_nine_is_not() -> None:
    for length, expected in ((8, True), (9, False)):
        logits = torch.ones(1, 1, 12, 12)
        path = [(1, 1), (2, 2), (1, 3), (2, 4), (1, 5), (2, 6), (1, 7), (2, 8), (1, 9)][:length]
        for y, x in path:
            logits[0, 0, y, x] = -5
        out = fill_holes(logits, 8)
        assert bool((out > 0).all()) == expected
        assert torch.equal(out, filled_by_flooding(logits, 8))


def test_holes_at_the_border_and_in_corners_are_filled_too() -> None:
    logits = torch.ones(1, 1, 6, 6)
    logits[0, 0, 0, 0] = logits[0, 0, 5, 3] = -1
    assert float(fill_holes(logits, 8).min()) == pytest.approx(0.1)


def test_an_empty_mask_stays_as_it_is() -> None:
    logits = torch.full((2, 1, 8, 8), -1024.0)
    assert torch.equal(fill_holes(logits, 8), logits)
