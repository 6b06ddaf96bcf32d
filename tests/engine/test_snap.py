"""Masks snapped to colours: outlines are found, what persons said is kept, nothing is made of nothing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch

from engine import snap as snapping
from engine.features import Decoded
from engine.models import Model
from engine.snap import LOGIT, Settled
from engine.synthetic import SyntheticClip
from engine.tracker import Tracker
from engine.types import Box, Frame, Mask, Point, Points

GRID, PICTURE = 64, 128


def disc(size: int, x: float, y: float, radius: float) -> torch.Tensor:
    """bool [size, size]."""
    place = (torch.arange(size) + 0.5) / size
    return torch.hypot(place - x, place[:, None] - y) < radius


def scene(x: float = 0.4, y: float = 0.5) -> torch.Tensor:
    """[1, 3, PICTURE, PICTURE]: a red disc on green, both speckled."""
    noise = 0.3 * torch.randn(3, PICTURE, PICTURE, generator=torch.Generator().manual_seed(1))
    colour = torch.where(
        disc(PICTURE, x, y, 0.2),
        *(torch.tensor(c)[:, None, None] for c in ((1.5, -1.0, -1.0), (-1.0, 1.0, -1.0))),
    )
    return (colour + noise)[None]


def ragged(x: float = 0.4, y: float = 0.5) -> torch.Tensor:
    """[1, 1, GRID, GRID] logits: the disc with a bite out of it and a leak beside it, and weak at both."""
    there = disc(GRID, x, y, 0.2) & ~disc(GRID, x - 0.15, y, 0.08)
    leak = disc(GRID, x + 0.22, y, 0.06)
    return torch.where(there, 3.0, torch.where(leak, 1.0, -2.0))[None, None]


def overlap(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a & b).sum() / (a | b).sum())


def snap(pictures: Sequence[torch.Tensor], logits: torch.Tensor, **said: torch.Tensor) -> torch.Tensor:
    """Masks of the whole picture."""
    return snapping.snap(pictures, logits, **said).masks(GRID)


def test_a_ragged_mask_becomes_the_thing() -> None:
    truth, before = disc(GRID, 0.4, 0.5, 0.2), ragged()
    after = snap([scene()], before)
    assert overlap(before[0, 0] > 0, truth) < 0.85
    assert overlap(after[0, 0] > 0, truth) > 0.95
    assert after.shape == before.shape
    assert after.abs().max() <= LOGIT + 0.01


def test_a_batch_is_each_by_itself() -> None:
    places = ((0.4, 0.5), (0.6, 0.4), (0.5, 0.7))
    pictures, logits = [scene(*p) for p in places], [ragged(*p) for p in places]
    alone = [snap([picture], one) for picture, one in zip(pictures, logits, strict=True)]
    torch.testing.assert_close(snap(pictures, torch.cat(logits)), torch.cat(alone))


def test_of_some_masks_others_are_left_out() -> None:
    settled = snapping.snap([scene(), scene(0.6)], torch.cat((ragged(), ragged(0.6))))
    second = settled[torch.tensor([1])]
    assert isinstance(second, Settled)
    torch.testing.assert_close(second.masks(GRID), settled.masks(GRID)[1:])


@torch.inference_mode()
def test_an_empty_mask_stays_as_it_is(pico: Model) -> None:
    nothing, score = torch.full((1, 1, GRID, GRID), -1024.0), torch.ones(1, 1)
    empty = Decoded(nothing, nothing, torch.zeros(1, 128), score)
    features = pico.stages.encode(torch.zeros(1, 3, pico.image_size, pico.image_size))
    drawn = pico.stages.drawing.snapped(empty, features)
    assert torch.equal(drawn.filled, nothing)
    assert not any(drawn.close)


def test_a_thing_at_the_edge_of_the_picture_is_no_trouble() -> None:
    after = snap([scene(0.02, 0.98)], ragged(0.02, 0.98))
    assert after.isfinite().all()
    assert overlap(after[0, 0] > 0, disc(GRID, 0.02, 0.98, 0.2)) > 0.9


def test_what_a_person_drew_bounds_it() -> None:
    drawn = torch.tensor([[0.2, 0.25], [0.4, 0.75]])  # the left half of the disc
    after = snap([scene()], ragged(), points=drawn, labels=torch.tensor([2, 3]))
    columns = (after[0, 0] > 0).any(dim=0).nonzero().flatten()
    assert int(columns.max()) <= (0.4 + 0.012) * GRID + 1
    assert int(columns.min()) <= 0.22 * GRID + 1, "the bite is mended all the same"


def test_a_box_holds_until_a_click_says_that_there_is_more() -> None:
    points = torch.tensor(
        [[0.2, 0.25], [0.4, 0.75], [0.5, 0.5]]
    )  # the left half, and a place in the right one
    after = snap([scene()], ragged(), points=points, labels=torch.tensor([2, 3, 1]))
    assert overlap(after[0, 0] > 0, disc(GRID, 0.4, 0.5, 0.2)) > 0.95


@pytest.mark.parametrize(("label", "at"), [(0, (0.45, 0.5)), (1, (0.62, 0.5))])
def test_a_click_decides_whatever_the_colour(label: int, at: tuple[float, float]) -> None:
    after = snap([scene()], ragged(), points=torch.tensor([at]), labels=torch.tensor([label]))
    assert bool(after[0, 0, int(at[1] * GRID), int(at[0] * GRID)] > 0) == bool(label)


@pytest.fixture(scope="module")
def picture() -> tuple[np.ndarray, dict[int, np.ndarray]]:
    image, truth = SyntheticClip(640, 480).frame(0)
    return image, {k: np.asarray(mask) for k, mask in truth.items()}


def test_a_box_gives_the_thing_in_it(pico: Model, picture: tuple[np.ndarray, dict[int, np.ndarray]]) -> None:
    image, truth = picture
    for number, mask in truth.items():
        rows, columns = np.nonzero(mask)
        if not len(rows):
            continue
        box = columns.min() / 640, rows.min() / 480, (columns.max() + 1) / 640, (rows.max() + 1) / 480
        (said,) = Tracker(pico).step(Frame(0, image), [Box(number, *box)]).objects
        assert (said.mask & mask).sum() / (said.mask | mask).sum() > 0.85, number


def test_a_mask_that_a_person_gives_is_kept_as_it_is(
    pico: Model, picture: tuple[np.ndarray, dict[int, np.ndarray]]
) -> None:
    image, _ = picture
    square = np.zeros(image.shape[:2], bool)
    square[100:300, 150:350] = True  # follows no colour
    (said,) = Tracker(pico).step(Frame(0, image), [Mask(1, square)]).objects
    assert (said.mask & square).sum() / (said.mask | square).sum() > 0.95


def test_an_excluding_click_is_heard_on_an_even_thing(
    pico: Model, picture: tuple[np.ndarray, dict[int, np.ndarray]]
) -> None:
    image, _ = picture
    tracker = Tracker(pico)
    number, (_, x, y) = next(iter(SyntheticClip(640, 480).clicks().items()))
    tracker.step(Frame(0, image), [Points(number, (Point(x, y),))])
    (before,) = tracker.step(Frame(1, image)).objects
    rows, columns = np.nonzero(before.mask)
    far = int(np.hypot(columns / 640 - x, rows / 480 - y).argmax())
    at = Point(columns[far] / 640, rows[far] / 480, 0)
    (after,) = tracker.step(Frame(2, image), [Points(number, (at,))]).objects
    assert before.mask[rows[far], columns[far]]
    assert not after.mask[rows[far], columns[far]]
