"""Masks in boxes are redrawn: by what is boxed, and by where the object is by the look that it began with."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from test_snap import GRID, disc, overlap, ragged, scene
from torch import Tensor

from engine.around import SIDE, Around
from engine.features import Decoded
from engine.models import Model
from engine.redrawer import SHARES, boxed, fuller
from engine.regressor import BOUND, Sketch
from engine.synthetic import SyntheticClip
from engine.tracker import Tracker
from engine.training.heldout import prompt
from engine.types import Frame

BOX = torch.tensor([[0.4, 0.5, 0.4, 0.4]])  # of the disc


def sketched(there: Tensor, box: Tensor) -> Sketch:
    """A sketch of a mask bool [n, n] of the whole picture, in the window around a box."""
    around = Around.boxes(box)
    return Sketch.of(16 * around.cut([there[None, None].float()])[:, 0] - 8, around)


def outlined(model: Model, picture: Tensor, logits: Tensor, box: Tensor, sketch: Sketch) -> list[Tensor]:
    """Wholly, by halves, and that of the two which is fuller."""
    drawn = boxed(model.net.outliner, [picture], logits, box, sketch, shares=SHARES).settled().masks(GRID)
    return [mask[0] > 0 for mask in (*drawn, *drawn[fuller(box, drawn)])]


@torch.inference_mode()
def test_a_ragged_mask_becomes_the_thing_in_its_box(pico: Model) -> None:
    truth = disc(GRID, 0.4, 0.5, 0.2)
    assert overlap(ragged()[0, 0] > 0, truth) < 0.85
    for sketch in (Sketch.none(1, torch.device("cpu")), sketched(disc(256, 0.4, 0.5, 0.2), BOX)):
        for drawn in outlined(pico, scene(), ragged(), BOX, sketch):
            assert overlap(drawn, truth) > 0.9


@torch.inference_mode()
def test_a_sketch_tells_which_of_two_alike_is_meant(pico: Model) -> None:
    """Two red discs share a box and the decoder draws both; only one looks like the first picture's."""
    left, right = (disc(128, x, 0.5, 0.12) for x in (0.3, 0.6))
    red, green = (torch.tensor(c)[:, None, None] for c in ((1.5, -1.0, -1.0), (-1.0, 1.0, -1.0)))
    picture = torch.where(left | right, red, green)[None]
    logits = torch.where(disc(GRID, 0.3, 0.5, 0.12) | disc(GRID, 0.6, 0.5, 0.12), 3.0, -3.0)[None, None]
    box = torch.tensor([[0.45, 0.5, 0.54, 0.24]])
    for meant, other in (((0.3, 0.6)), ((0.6, 0.3))):
        drawn, _, _ = outlined(pico, picture, logits, box, sketched(disc(256, meant, 0.5, 0.12), box))
        shares = [float((drawn & disc(GRID, x, 0.5, 0.12)).sum()) for x in (meant, other)]
        assert shares[0] > 2 * shares[1]


def test_masks_that_fill_their_boxes_better_by_halves_are_taken_so() -> None:
    """Only where it matters, and each for itself."""
    large, small, other = (
        torch.where(disc(GRID, 0.4, 0.5, r), 3.0, -3.0)[None, None] for r in (0.2, 0.1, 0.19)
    )
    boxes = BOX.expand(3, 4)
    taken = fuller(boxes, torch.cat((small, large, other, large, small, large)))
    assert taken.tolist() == [3, 1, 2]


def test_sketches_are_of_places_whatever_part_is_seen() -> None:
    sketch = sketched(disc(256, 0.4, 0.5, 0.2), BOX)
    places = torch.tensor([[0.25, 0.4, 0.55, 0.9]])
    there = sketch.cut(places, torch.tensor([[0.5]]))[0, 0]
    assert (there > 0).tolist() == [True, True, True, False]
    assert float(sketch.cut(torch.tensor([[3.0]]), torch.tensor([[0.5]]))) == -BOUND
    part = torch.tensor([[0.5, 0.6, 0.8, 0.8]])  # of the picture, from 0.1 and 0.2 on
    again = sketch.seen(part).cut((places - 0.1) / 0.8, torch.tensor([[0.375]]))[0, 0]
    torch.testing.assert_close(again, there)
    both = Sketch.batch([sketch, Sketch.none(1, torch.device("cpu"))])
    assert both.logits.shape == (2, 1, SIDE, SIDE)
    assert not both[1:].cut(places, places).any()


def test_what_is_followed_is_drawn_with_a_sketch(pico: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """Large things as the whole picture shows them, small ones in their views; each in a place of its own."""
    clip = SyntheticClip(320, 240, fps=15)
    seen: list[tuple[Sketch | None, ...]] = []
    outline = pico.stages.drawing.outlined

    def watched(*args: Any, **how: bool) -> Decoded:
        seen.append(args[3:])
        return outline(*args, **how)

    monkeypatch.setattr(pico.stages.drawing, "outlined", watched)
    tracker = Tracker(pico)
    for t in range(3):
        image, masks = clip.frame(t)
        prompts = [prompt(object_id, mask, "box") for object_id, mask in masks.items() if mask.any()]
        seen.clear()
        tracker.step(Frame(t, image), prompts if t == 0 else [])
        known = [any(sketch is not None and bool(sketch.logits.any()) for sketch in given) for given in seen]
        assert known, "nothing was outlined"
        assert any(known) == (t > 0)
