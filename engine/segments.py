"""Everything in one picture: a grid of clicks, each one's masks, the good ones, each once.

The method of `SAM2AutomaticMaskGenerator`, without its crops. Stability and overlap are measured on the
decoder's own small masks, so that memory does not grow with the picture. In pieces short enough to run
between the steps of live streams: `encode`, `propose` for some points at a time, `choose`, `enlarge`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from engine.ahead import see
from engine.dense import dense_prompt
from engine.features import Clicks, Features
from engine.holes import fill_holes
from engine.models import Model
from engine.types import Frame, Point

STABILITY_OFFSET = 1.0  # SAM2AutomaticMaskGenerator's default
SAME_IOU = 0.7  # boxes that overlap more are one thing (its box_nms_thresh)
POINTS_AT_ONCE = 64
MAX_SPECK = 64  # cells of a small mask; filling takes as many passes


@dataclass(frozen=True, slots=True, eq=False)
class Proposal:
    """One candidate: logits float32 [S/4, S/4], predicted IoU, stability, box (x0, y0, x1, y1) in mask
    pixels.
    """

    logits: Tensor
    iou: float
    stability: float
    box: tuple[int, int, int, int]


def grid(points_per_side: int) -> list[list[Point]]:
    """`points_per_side` squared points at the centres of equal cells, in groups of `POINTS_AT_ONCE`."""
    places = (np.arange(points_per_side) + 0.5) / points_per_side
    points = [Point(float(x), float(y)) for y in places for x in places]
    return [points[start : start + POINTS_AT_ONCE] for start in range(0, len(points), POINTS_AT_ONCE)]


def encode(model: Model, frame: Frame) -> Features:
    """The features of a picture."""
    return see(model, frame).features


def propose(
    model: Model, features: Features, points: Sequence[Point], min_iou: float, min_stability: float
) -> list[Proposal]:
    """The masks that the points give, those that are good enough.

    Args:
        min_iou: least predicted IoU, 0..1.
        min_stability: least IoU between the masks at logits of +1 and of -1.
    """
    coords = torch.tensor([[(p.x, p.y)] for p in points], dtype=torch.float32, device=model.device)
    labels = torch.ones(len(points), 1, dtype=torch.int32, device=model.device)
    clicks = Clicks(coords * model.image_size, labels)
    logits, ious = model.stages.propose(features, clicks, _drawn(model, coords, labels))
    logits, ious = logits.flatten(0, 1), ious.flatten()
    stability = _stability(logits)
    good = ((ious >= min_iou) & (stability >= min_stability)).nonzero().flatten()
    redrawn, _ = model.stages.drawing.redrawn(logits[good][:, None], [features] * len(good))
    return [
        Proposal(mask.cpu(), float(ious[i]), float(stability[i]), _box(mask > 0))
        for i, mask in zip(good.tolist(), redrawn[:, 0], strict=True)
        if (mask > 0).any()
    ]


def choose(proposals: Sequence[Proposal]) -> list[Proposal]:
    """Each thing once, the best first: of boxes that overlap by more than `SAME_IOU` the surest stays."""
    chosen: list[Proposal] = []
    for proposal in sorted(proposals, key=lambda p: -p.iou):
        if all(_box_iou(proposal.box, other.box) <= SAME_IOU for other in chosen):
            chosen.append(proposal)
    return chosen


def enlarge(proposal: Proposal, width: int, height: int, min_area: int) -> NDArray[np.bool_]:
    """The mask at the size of the picture.

    Args:
        min_area: islands and holes of fewer pixels of the picture are removed, as far as the decoder's own
            small mask can show them.

    Returns:
        bool [height, width].
    """
    logits = proposal.logits[None, None]
    cells = min(MAX_SPECK, round(min_area * logits.shape[-1] * logits.shape[-2] / (width * height)))
    if cells >= 1:
        logits = -fill_holes(-fill_holes(logits, cells), cells)
    large = F.interpolate(logits, size=(height, width), mode="bilinear", align_corners=False)
    mask: NDArray[np.bool_] = (large[0, 0] > 0).numpy()
    return mask


def _drawn(model: Model, coords: Tensor, labels: Tensor) -> Tensor | None:
    if not model.preset.dense_prompts:
        return None
    return dense_prompt(coords, labels, model.net.sam_prompt_encoder.mask_input_size[0])


def _stability(logits: Tensor) -> Tensor:
    """[N] IoU between the masks at thresholds +1 and -1 (`calculate_stability_score`)."""
    inner = (logits > STABILITY_OFFSET).flatten(1).sum(dim=1)
    outer = (logits > -STABILITY_OFFSET).flatten(1).sum(dim=1)
    return inner / outer.clamp(min=1)


def _box(mask: Tensor) -> tuple[int, int, int, int]:
    rows, columns = mask.any(dim=1).nonzero().flatten(), mask.any(dim=0).nonzero().flatten()
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def _box_iou(a: tuple[int, int, int, int], b: tuple[int, int, int, int]) -> float:
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    shared = max(0, width) * max(0, height)
    areas = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1])
    return shared / (areas - shared)
