"""Where in the whole picture an object may be that its correlation filter has lost, or is in doubt of.

Knows filters and pictures; knows no network and no prompt.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from engine.around import Around, window_sides
from engine.correlation import CorrelationFilter, answers, best_near, greatest

# Between places that are tried, at least and at most, in pictures; they are shifted from frame to frame.
STEP, MOST_STEP, PHASES = 0.2, 1.0, 4
APART = 0.5  # of their sides, that places that are found are apart, one way or the other


def everywhere(one: CorrelationFilter, seen: Tensor, frame: int, count: int) -> tuple[Tensor, Tensor]:
    """The best places for an object in the whole picture, near the size last known.

    Args:
        seen: [1, C + COLOURS, H, W] of `engine.look`.
        frame: number of the picture; in the next one other places are tried.
        count: of places, at most; no two of them are the same thing.

    Returns:
        boxes [k, 4] and how clear the answers were, [k], the clearest first.
    """
    size = one.box[2:]
    step = (window_sides(one.box[None])[0] / 2).clamp(STEP, MOST_STEP).tolist()
    shift = (frame % PHASES) / PHASES
    columns, rows = (torch.arange(shift * s, 1, s, device=size.device) for s in step)
    places = torch.cartesian_prod(columns, rows)
    boxes = torch.cat((places, size.expand(len(places), 2)), dim=1)
    boxes = torch.cat((one.box[None], boxes))
    around = Around.boxes(boxes)
    centres, peaks = greatest(around, answers([one], around, [seen] * len(boxes)))
    found = torch.cat((centres.clamp(0, 1), size.expand(len(centres), 2)), dim=1)
    best = _apart(found, peaks, count)
    boxes, peaks = best_near([replace(one, box=found[k]) for k in best], [seen] * len(best))
    best = _apart(boxes, peaks, count)  # two of them may have moved to one thing
    return boxes[best], peaks[best]


def _apart(boxes: Tensor, peaks: Tensor, count: int) -> list[int]:
    """Numbers of the `count` boxes [n, 4] of the greatest peaks [n] whose middles lie in none before."""
    chosen: list[int] = []
    for k in peaks.argsort(descending=True).tolist():
        away = (boxes[chosen, :2] - boxes[k, :2]).abs() / boxes[k, 2:]
        if bool((away.amax(dim=1) > APART).all()):
            chosen.append(k)
        if len(chosen) == count:
            break
    return chosen
