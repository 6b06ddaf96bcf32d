"""The regressor of boxes: what it is told, what it says, and what the tracker makes of it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from engine.around import SIDE, Around
from engine.boxes import by_edges, overlap
from engine.models import Model
from engine.regressor import EMBEDDED, KEYS, Template, placed, tell
from engine.synthetic import SyntheticClip
from engine.tracker import Tracker
from engine.types import Box, Frame


def test_edges_of_a_window_are_boxes_of_the_picture() -> None:
    meant = torch.tensor([[0.4, 0.5, 0.2, 0.1], [0.1, 0.9, 0.3, 0.3]])
    around = Around.boxes(meant)
    low = (around.sides - around.sizes) / 2 / around.sides
    edges = torch.cat((low, 1 - low), dim=1)
    torch.testing.assert_close(placed(edges, around), meant)


def test_what_is_told_lies_where_the_box_is() -> None:
    around = Around.boxes(torch.tensor([[0.5, 0.5, 0.2, 0.2]]))
    answers = torch.zeros(1, SIDE, SIDE)
    answers[0, 0, 0] = 1  # in the middle of the window
    found, box, inside = tell(answers, around)[0]
    assert found.argmax() == (SIDE // 2) * SIDE + SIDE // 2
    assert float(box.mean()) == pytest.approx(1 / 9, abs=0.01), "a window has three sides of a square box"
    assert float(box[SIDE // 2, SIDE // 2]) == 1
    assert bool(inside.all())


def test_answers_are_read_as_the_first_one_was_meant() -> None:
    """An answer that is off as that to the first picture was means the first box."""
    meant = torch.tensor([[0.4, 0.5, 0.2, 0.1]])
    said = torch.tensor([[0.42, 0.49, 0.25, 0.1]])
    nothing = torch.zeros(1, EMBEDDED, KEYS**2), torch.zeros(1, 1, SIDE, SIDE)
    template = Template.of(*nothing).measured(said, meant)
    torch.testing.assert_close(template.corrected(said), meant)
    larger = torch.cat((said[:, :2], 2 * said[:, 2:]), dim=1)
    torch.testing.assert_close(template.corrected(larger)[:, 2:], 2 * meant[:, 2:])


def test_the_first_picture_stays_and_the_newest_is_replaced() -> None:
    def looks(value: float) -> tuple[Tensor, Tensor]:
        return torch.full((2, EMBEDDED, KEYS**2), value), torch.full((2, 1, SIDE, SIDE), value / 10)

    first = Template.of(*looks(1.0))
    again = first.renewed(*looks(2.0)).renewed(*looks(3.0))
    for template, newest in ((first, 1.0), (again, 3.0)):
        assert template.keys[:, 0].unique().tolist() == [1.0]
        assert template.keys[:, 1].unique().tolist() == [newest]
        assert template.cover[:, 1].unique().tolist() == pytest.approx([newest / 10])
    assert again.off is first.off


def test_boxes_between_two_have_edges_between_theirs() -> None:
    a, b = torch.tensor([[0.3, 0.3, 0.2, 0.2]]), torch.tensor([[0.4, 0.3, 0.4, 0.2]])
    halfway = by_edges(a, b, torch.tensor([[0.5]]))
    torch.testing.assert_close(halfway, torch.tensor([[0.35, 0.3, 0.3, 0.2]]))


def boxes(clip: SyntheticClip, t: int) -> dict[int, Tensor]:
    """[1, 4] of the objects that are there, centre and size."""
    found = {}
    for object_id, mask in clip.frame(t)[1].items():
        if mask.sum() > 200:
            rows, columns = np.nonzero(mask)
            low = torch.tensor([columns.min() / clip.width, rows.min() / clip.height])
            high = torch.tensor([(columns.max() + 1) / clip.width, (rows.max() + 1) / clip.height])
            found[object_id] = torch.cat(((low + high) / 2, high - low)).float()[None]
    return found


@torch.inference_mode()
def test_boxes_that_are_off_come_nearer(pico: Model, clip: SyntheticClip) -> None:
    """Objects of the built-in clip, a second after they were prompted; a fifth too wide and too low."""
    then, before, after = boxes(clip, int(clip.fps)), [], []
    (features,) = pico.stages.encode(pico.pixels.read(Frame(1, clip.frame(int(clip.fps))[0])))
    for object_id, box in boxes(clip, 0).items():
        tracker = Tracker(pico)
        (x0, y0), (x1, y1) = (box[0, :2] - box[0, 2:] / 2).tolist(), (box[0, :2] + box[0, 2:] / 2).tolist()
        tracker.step(Frame(0, clip.frame(0)[0]), [Box(1, x0, y0, x1, y1)])
        known, truth = tracker.tracks[1].memory.filter, then[object_id]
        assert known is not None
        off = truth * torch.tensor([1, 1, 1.2, 0.8])
        off[:, :2] += 0.1 * off[:, 2:]
        found = pico.stages.bounds.regress([features], [replace(known, box=off[0])])
        before.append(float(overlap(off, truth)))
        after.append(float(overlap(found.boxes, truth)))
    assert len(after) >= 3
    assert np.mean(after) > np.mean(before) + 0.05


def test_a_filter_begins_with_the_box_that_was_drawn(pico: Model, clip: SyntheticClip) -> None:
    x0, y0, x1, y1 = drawn = (0.1, 0.2, 0.35, 0.5)
    tracker = Tracker(pico)
    tracker.step(Frame(0, clip.frame(0)[0]), [Box(1, *drawn)])
    known = tracker.tracks[1].memory.filter
    assert known is not None
    assert known.box.tolist() == pytest.approx([(x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0])
    assert known.template is not None
    assert sum(t.nbytes for t in known.template.tensors()) < 48e3


@torch.inference_mode()
def test_it_says_whether_an_object_is_there(pico: Model, clip: SyntheticClip) -> None:
    """Where it is, where another object of the clip is, and where there is none."""
    then = boxes(clip, int(clip.fps))
    (features,) = pico.stages.encode(pico.pixels.read(Frame(1, clip.frame(int(clip.fps))[0])))
    here, elsewhere = [], []
    for object_id, box in boxes(clip, 0).items():
        tracker = Tracker(pico)
        (x0, y0), (x1, y1) = (box[0, :2] - box[0, 2:] / 2).tolist(), (box[0, :2] + box[0, 2:] / 2).tolist()
        tracker.step(Frame(0, clip.frame(0)[0]), [Box(1, x0, y0, x1, y1)])
        known = tracker.tracks[1].memory.filter
        assert known is not None
        places = [then[object_id][0]]
        for other, truth in then.items():
            if other != object_id:
                places.append(torch.cat((truth[0, :2], box[0, 2:])))
        ends = pico.stages.bounds.regress(
            [features] * len(places), [replace(known, box=place) for place in places]
        )
        here.append(float(ends.there[0]))
        elsewhere += ends.there[1:].tolist()
    assert min(here) > 0.5
    assert np.median(elsewhere) < 0.2
