"""Windows: what is cut out of pictures lies where it was, and what is put back covers what it covered."""

from __future__ import annotations

import torch

from engine.windows import cut, inside, put_back, samples

SIZE = 64


def slopes(ratio: float = 1.0) -> torch.Tensor:
    """[1, 2, SIZE, SIZE], each pixel's own place times `ratio`, x and y."""
    place = (torch.arange(SIZE) + 0.5) / SIZE * ratio
    return torch.stack((place.expand(SIZE, SIZE), place[:, None].expand(SIZE, SIZE)))[None]


def test_samples_show_the_place_that_they_lie_at() -> None:
    x, y = (
        samples(torch.tensor([0.4]), torch.tensor([0.2]), 16),
        samples(torch.tensor([0.6]), torch.tensor([0.3]), 8),
    )
    shown = cut([slopes()], x, y)
    assert shown.shape == (1, 2, 8, 16)
    torch.testing.assert_close(shown[0, 0], x.expand(8, 16))
    torch.testing.assert_close(shown[0, 1], y.T.expand(8, 16))


def test_each_window_is_of_its_own_picture_whatever_the_order() -> None:
    pictures = [slopes(ratio) for ratio in (1.0, 2.0)]
    x = samples(torch.tensor([0.3, 0.4, 0.5]), torch.full((3,), 0.2), 4)
    both = cut([pictures[1], pictures[0], pictures[1]], x, x)
    alone = [cut([pictures[k]], x[n : n + 1], x[n : n + 1]) for n, k in enumerate((1, 0, 1))]
    torch.testing.assert_close(both, torch.cat(alone))


def test_beyond_the_edge_the_border_goes_on() -> None:
    x = samples(torch.tensor([0.0]), torch.tensor([0.5]), 8)
    shown = cut([slopes()], x, x.flip(1) + 1)
    assert (shown[0, 0, :, :4] == 0.5 / SIZE).all()


def test_samples_beyond_the_edge_are_not_inside() -> None:
    x, y = (
        samples(torch.tensor([0.0]), torch.tensor([0.5]), 8),
        samples(torch.tensor([0.5]), torch.tensor([0.5]), 4),
    )
    assert inside(x, y)[0].tolist() == [[False] * 4 + [True] * 4] * 4


def test_a_window_put_back_covers_its_cells_by_area() -> None:
    # From 4.5 to 8.5 of 16 cells.
    x = samples(torch.tensor([6.5 / 16]), torch.tensor([4 / 16]), 48)
    back = put_back(torch.ones(1, 48, 48), x, x, 16)
    cover = torch.zeros(16)
    cover[4:9] = torch.tensor([0.5, 1, 1, 1, 0.5])
    torch.testing.assert_close(back[0], cover[:, None] * cover, atol=1e-4, rtol=0)
