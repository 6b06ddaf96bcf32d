"""Prompts checked, and turned into what the network takes. Knows no object and no memory."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.features import Clicks
from engine.types import Box, EngineError, Mask, Point, Points

MAX_POINTS = 64  # on one object on one frame

# (x, y, label) in 0..1 with SAM's labels: 0 excludes, 1 includes, 2 and 3 are the corners of a box.
LabelledPoint = tuple[float, float, int]


def check(prompt: Points | Box | Mask, new: bool) -> None:
    """Refuse a prompt that says nothing or nonsense.

    Args:
        new: the prompt is the first of its object.

    Raises:
        EngineError: BAD_PROMPT saying what was expected and what came.
    """
    if isinstance(prompt, Mask):
        _check_mask(prompt, new)
        return
    _check_points(prompt.points)
    if isinstance(prompt, Box):
        corners = (prompt.x0, prompt.y0, prompt.x1, prompt.y1)
        if not all(_inside(c) for c in corners) or prompt.x0 >= prompt.x1 or prompt.y0 >= prompt.y1:
            raise EngineError("BAD_PROMPT", f"expected a box x0 < x1, y0 < y1 within 0..1, got {corners}")
    elif not prompt.points:
        raise EngineError("BAD_PROMPT", "expected at least one point, got none")
    elif new and not any(p.positive for p in prompt.points):
        raise EngineError(
            "BAD_PROMPT", f"object {prompt.object_id} is new: it needs a point that includes it"
        )


def _check_points(points: tuple[Point, ...]) -> None:
    if len(points) > MAX_POINTS:
        raise EngineError("BAD_PROMPT", f"expected at most {MAX_POINTS} points, got {len(points)}")
    for point in points:
        if not (_inside(point.x) and _inside(point.y)):
            raise EngineError("BAD_PROMPT", f"expected points within 0..1, got ({point.x}, {point.y})")


def _check_mask(prompt: Mask, new: bool) -> None:
    mask = prompt.mask
    if mask.ndim != 2 or mask.dtype != bool or 0 in mask.shape:
        raise EngineError("BAD_PROMPT", f"expected a bool mask [h, w], got {mask.dtype} {mask.shape}")
    if new and not mask.any():
        raise EngineError("BAD_PROMPT", f"object {prompt.object_id} is new: its mask must not be empty")


def _inside(value: float) -> bool:
    return math.isfinite(value) and 0.0 <= value <= 1.0


def labelled(prompt: Points | Box) -> tuple[LabelledPoint, ...]:
    """The points as SAM labels them; a box is two more before them."""
    points = tuple((p.x, p.y, int(p.positive)) for p in prompt.points)
    if isinstance(prompt, Box):
        return ((prompt.x0, prompt.y0, 2), (prompt.x1, prompt.y1, 3), *points)
    return points


def drawn_box(points: tuple[LabelledPoint, ...]) -> tuple[float, float, float, float] | None:
    """Centre and size of the box among `labelled` points, if there is one."""
    if [label for _, _, label in points[:2]] != [2, 3]:
        return None
    (x0, y0, _), (x1, y1, _) = points[:2]
    return (x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0


def clicks(points: tuple[LabelledPoint, ...], image_size: int, device: torch.device) -> Clicks:
    """Points in the network's pixels."""
    coords = torch.tensor([[(x, y) for x, y, _ in points]], dtype=torch.float32) * image_size
    labels = torch.tensor([[label for _, _, label in points]], dtype=torch.int32)
    return Clicks(coords.to(device), labels.to(device))


def mask_input(prompt: Mask, image_size: int, device: torch.device) -> Tensor:
    """The mask at the network's size: float32 [1, 1, S, S], 0 or 1 (`SAM2VideoPredictor.add_new_mask`)."""
    mask = torch.from_numpy(prompt.mask)[None, None].to(device).float()
    if mask.shape[-2:] == (image_size, image_size):
        return mask
    size = (image_size, image_size)
    return (
        F.interpolate(mask, size=size, mode="bilinear", antialias=True, align_corners=False) >= 0.5
    ).float()
