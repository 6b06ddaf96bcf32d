"""Boxes of masks, to a part of a cell, and how much boxes share."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from engine.boxes import outline, overlap


def test_outlines_are_the_boxes_of_masks() -> None:
    """To a quarter of a cell, of masks enlarged to four times the size."""
    logits = torch.full((3, 1, 64, 64), -8.0)
    logits[0, 0, 10:20, 30:50] = 8
    logits[1, 0, 0:3, 60:64] = 8
    enlarged = F.interpolate(logits, scale_factor=4, mode="bilinear", align_corners=False)[:, 0] > 0
    said = outline(logits)
    for box_of, mask_of in zip(said[:2], enlarged[:2], strict=True):
        rows, columns = (mask_of.any(dim=axis).nonzero()[:, 0] for axis in (1, 0))
        ends = [(int(each[0]), int(each[-1]) + 1) for each in (columns, rows)]
        wanted = [(a + b) / 2 / 256 for a, b in ends] + [(b - a) / 256 for a, b in ends]
        assert box_of.tolist() == pytest.approx(wanted, abs=1 / 256)
    assert said[2].tolist() == [0, 0, 0, 0]


def test_overlap_is_shared_by_all_that_is_covered() -> None:
    one = torch.tensor([[0.5, 0.5, 0.2, 0.2]]).expand(4, 4)
    others = torch.tensor([[0.5, 0.5, 0.2, 0.2], [0.6, 0.5, 0.2, 0.2], [0.8, 0.5, 0.2, 0.2], [0, 0, 0, 0]])
    assert overlap(one, others).tolist() == pytest.approx([1, 1 / 3, 0, 0], abs=1e-6)


def test_a_faint_mask_of_one_cell_is_where_it_is() -> None:
    logits = torch.full((2, 1, 16, 16), -9.0)
    logits[0, 0, 6, 9] = 0.01
    boxes = outline(logits)
    assert boxes[0].tolist() == [9.5 / 16, 6.5 / 16, 1 / 16, 1 / 16]
    assert boxes[1].tolist() == [0, 0, 0, 0]
