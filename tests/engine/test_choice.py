"""Of several masks for a click the best is taken, and redrawn twice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
from test_snap import GRID, PICTURE, disc, overlap, ragged, scene
from torch import Tensor

from engine.choice import Redraw, likeliest
from engine.features import Clicks
from engine.models import Model
from engine.parts import Masks
from engine.redrawer import Redrawn, clicked
from engine.synthetic import SyntheticClip
from engine.types import Frame

CLICK, HERE = torch.tensor([[[0.4, 0.5]]]), torch.ones(1, 1, dtype=torch.int32)


def said(mask: Tensor, strength: float = 3.0) -> Tensor:
    return torch.where(mask, strength, -strength)


def candidates() -> Tensor:
    """[3, GRID, GRID]: nothing, a part of the disc, and the disc with a bite and a leak."""
    part = said(disc(GRID, 0.4, 0.5, 0.07))
    return torch.stack((torch.full((GRID, GRID), -5.0), part, ragged()[0, 0]))


@pytest.fixture(scope="module")
def redraw(exact_pico: Model) -> Redraw:
    return partial(clicked, exact_pico.net.redrawer)


class Judge:
    """The trained redrawer but for its judgement."""

    def __init__(self, redraw: Redraw, *quality: float) -> None:
        self.redraw, self.quality = redraw, torch.tensor(quality)

    def __call__(self, pictures: Sequence[Tensor], logits: Tensor, points: Tensor, labels: Tensor) -> Redrawn:
        return replace(self.redraw(pictures, logits, points, labels), quality=self.quality)


@torch.inference_mode()
def test_the_best_is_taken_and_nothing_never_is(redraw: Redraw) -> None:
    for quality, expected in (((9.0, 0.0, 1.0), 2), ((9.0, 1.0, 0.0), 1)):
        best, offered, _ = likeliest(Judge(redraw, *quality), [scene()], candidates()[None], CLICK, HERE)
        assert best.tolist() == [expected]
        assert torch.equal(offered, candidates()[None, expected, None])


@torch.inference_mode()
def test_masks_of_nothing_stay_as_they_are(exact_pico: Model) -> None:
    nothing = torch.full((1, 3, GRID, GRID), -1024.0)
    features = exact_pico.stages.encode(torch.zeros(1, 3, exact_pico.image_size, exact_pico.image_size))
    best, logits, close = exact_pico.stages.drawing.chosen(nothing, features, Clicks(CLICK * 256, HERE))
    assert 0 <= int(best) < 3
    assert torch.equal(logits, nothing[:, :1])
    assert close == (None,)


@torch.inference_mode()
def test_objects_of_a_batch_are_chosen_for_apart(redraw: Redraw) -> None:
    masks = torch.stack((candidates(), candidates().flip(0)))
    judge = Judge(redraw, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0)
    best, _, drawn = likeliest(judge, [scene()] * 2, masks, CLICK.expand(2, -1, -1), HERE.expand(2, -1))
    assert best.tolist() == [2, 0]
    torch.testing.assert_close(drawn.there[0], drawn.there[1])


@torch.inference_mode()
def test_a_ragged_mask_becomes_the_thing_that_was_clicked(redraw: Redraw) -> None:
    truth = disc(GRID, 0.4, 0.5, 0.2)
    redrawn = redraw([scene()], ragged(), CLICK, HERE)
    before, after = ragged()[0, 0] > 0, redrawn.settled().masks(GRID)[0, 0] > 0
    assert overlap(before, truth) < 0.85
    assert overlap(after, truth) > 0.93


@torch.inference_mode()
def test_the_second_time_begins_with_what_was_redrawn_once(redraw: Redraw) -> None:
    """Or with what there was, where nothing came of that."""
    once = redraw([scene()], ragged(), CLICK, HERE).settled().masks(GRID)
    twice = redraw([scene()], once, CLICK, HERE).settled().masks(GRID)
    assert not torch.equal(once, twice)
    _, _, drawn = likeliest(redraw, [scene()], ragged(), CLICK, HERE)
    torch.testing.assert_close(drawn.masks(GRID), twice)

    def nothing(pictures: Sequence[Tensor], logits: Tensor, points: Tensor, labels: Tensor) -> Redrawn:
        begun.append(logits)
        drawn = redraw(pictures, logits, points, labels)
        return replace(drawn, logits=torch.full_like(drawn.logits, -9.0))

    begun: list[Tensor] = []
    likeliest(nothing, [scene()], ragged(), CLICK, HERE)
    assert torch.equal(begun[0], begun[1])


@torch.inference_mode()
def test_what_is_drawn_is_better_where_it_is_said_to_be(redraw: Redraw) -> None:
    """The disc as against what is not seen in the picture at all."""
    noise = torch.randn(1, 3, PICTURE, PICTURE, generator=torch.Generator().manual_seed(4))
    masks = torch.cat((ragged(), ragged()))
    redrawn = redraw([scene(), noise], masks, CLICK.expand(2, -1, -1), HERE.expand(2, -1))
    assert float(redrawn.quality[0]) > float(redrawn.quality[1]) + 0.5


@torch.inference_mode()
def test_what_was_clicked_is_in_it_and_what_was_clicked_away_is_not(redraw: Redraw) -> None:
    """Even the green beside the red disc, and the disc's own middle."""
    beside, middle = torch.tensor([[0.64, 0.5]]), torch.tensor([[0.4, 0.5]])
    points = torch.stack((torch.cat((beside, middle)), torch.cat((middle, beside))))
    labels = torch.tensor([[1, 0], [1, 0]], dtype=torch.int32)
    drawn = (
        redraw([scene()] * 2, torch.cat((ragged(), ragged())), points, labels).settled().masks(GRID)[:, 0] > 0
    )
    row, away, inside = GRID // 2, int(0.64 * GRID), int(0.4 * GRID)
    assert drawn[:, row, away].tolist() == [True, False]
    assert drawn[:, row, inside].tolist() == [False, True]


@torch.inference_mode()
def test_at_the_edge_of_the_picture_it_is_no_trouble(redraw: Redraw) -> None:
    there = torch.tensor([[[0.02, 0.98]]])
    after = redraw([scene(0.02, 0.98)], ragged(0.02, 0.98), there, HERE).settled().masks(GRID)
    assert after.isfinite().all()
    assert overlap(after[0, 0] > 0, disc(GRID, 0.02, 0.98, 0.2)) > 0.85


@torch.inference_mode()
def test_pico_shows_the_candidate_that_is_chosen(
    exact_pico: Model, redraw: Redraw, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For a click; and it is not redrawn once more."""
    clip = SyntheticClip(320, 240)
    stages, size = exact_pico.stages, exact_pico.image_size
    features = stages.encode(exact_pico.pixels.read(Frame(0, clip.frame(0)[0])))[0]
    assert features.picture is not None
    offered: list[tuple[Tensor, Tensor]] = []
    decode = exact_pico.parts.masks

    def watched(*args: Any) -> Masks:
        out = decode(*args)
        offered.append(out[:2])
        return out

    monkeypatch.setattr(exact_pico.parts, "masks", watched)
    changed = 0
    for x in torch.linspace(0.1, 0.9, 5).tolist():
        for y in torch.linspace(0.1, 0.9, 4).tolist():
            point = torch.tensor([[[x, y]]])
            clicks = Clicks(point * size, HERE)
            decoded = stages.decode(stages.unremembered(features), [features], clicks, first=True)
            masks, ious = offered.pop()
            best, _, drawn = likeliest(redraw, [features.picture], masks, point, HERE)
            seen = float(decoded.score) > 0 and bool((drawn.masks(GRID) > 0).any())
            assert (decoded.close[0] is not None) == seen
            if float(decoded.score) > 0:
                torch.testing.assert_close(decoded.logits, drawn.masks(GRID))
                changed += int(best != ious.argmax())
            assert stages.drawing.snapped(decoded, [features], clicks) is decoded, (
                "it has been redrawn already"
            )
    assert changed > 0
