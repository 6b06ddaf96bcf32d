"""Prompts carried out on a lane: clicks, boxes, masks, views to remember and fresh starts.

Knows one object on one frame, whether that frame is the newest or long gone; knows no stream and no other
object.
"""

from __future__ import annotations

from dataclasses import replace

import torch
import torch.nn.functional as F

from engine import prompts
from engine.boxes import ends, overlap
from engine.closeup import View
from engine.dense import dense_prompt
from engine.features import Clicks
from engine.lanes import ASTRAY, Lane
from engine.memory import Memory
from engine.models import Model
from engine.types import Box, EngineError, Mask, Pin, Placed, Points, Restart

PRIOR_CLAMP = 32.0  # of earlier logits given back as a mask prompt; SAM2VideoPredictor.add_new_points_or_box


def carry_out(model: Model, lane: Lane, prompt: Placed) -> None:
    """Change the lane as the prompt asks.

    Args:
        lane: followed onto its frame; or first, with the features of an object without memory.

    Raises:
        EngineError: the prompt says nothing, or nonsense; the lane is as before then.
    """
    match prompt:
        case Points() | Box():
            prompts.check(prompt, new=lane.unborn)
            _click(model, lane, prompt)
        case Mask():
            prompts.check(prompt, new=lane.unborn)
            _adopt(model, lane, prompts.mask_input(prompt, model.image_size, model.device))
        case Pin():
            _require_visible(lane, "remember")
            lane.prompted = lane.pinned = True
        case Restart():
            _require_visible(lane, "start from")
            _restart(model, lane)


def _require_visible(lane: Lane, what: str) -> None:
    if lane.unborn:
        raise EngineError("UNKNOWN_OBJECT", f"there was no object {lane.object_id} on frame {lane.frame}")
    if float(lane.answer.score) <= 0 or not bool((lane.answer.filled > 0).any()):
        raise EngineError(
            "NOT_VISIBLE", f"object {lane.object_id} is not seen on frame {lane.frame}: nothing to {what}"
        )


def _click(model: Model, lane: Lane, prompt: Points | Box) -> None:
    points = prompts.labelled(prompt)
    if isinstance(prompt, Points) and not prompt.replace:
        points = (*lane.points, *points)
    if len(points) > prompts.MAX_POINTS:
        raise EngineError(
            "BAD_PROMPT", f"expected at most {prompts.MAX_POINTS} points on a frame, got {len(points)}"
        )
    clicks = prompts.clicks(points, model.image_size, model.device)
    assert lane.conditioned is not None
    decoded = model.stages.decode(
        lane.conditioned, [lane.features], clicks, _prior(model, lane, clicks), lane.first
    )
    lane.decoded = model.stages.drawing.snapped(decoded, [lane.features], clicks)
    _look_closely(model, lane, clicks)
    lane.points, lane.prompted = points, True


def _look_closely(model: Model, lane: Lane, clicks: Clicks) -> None:
    """Draw a small thing in a view of its own, from the clicks and a box, a person's or of what was found."""
    answer, size = lane.answer, model.image_size
    if not model.stages.looks_close or float(answer.score) <= 0:
        return
    found = answer.outlines()
    points, labels = clicks.coords[0] / size, clicks.labels[0]
    if not bool((labels == 2).any()):
        points = torch.cat((*ends(found), points))
        labels = torch.cat((labels.new_tensor((2, 3)), labels))
    low, high = points[:2]
    view = View.around([*((low + high) / 2).tolist(), *(high - low).tolist()])
    if view is None:
        return
    there = view.points(points).clamp(0, 1)
    said = Clicks(there[None] * size, labels[None])
    drawn = dense_prompt(there, labels, model.net.sam_prompt_encoder.mask_input_size[0])
    stages = model.stages
    seen = stages.near(lane.features, view)
    certain = torch.ones(1, dtype=torch.bool, device=model.device)
    decoded = stages.decode(stages.unremembered(seen), [seen], said, drawn, certain=certain)
    close = stages.drawing.snapped(decoded, [seen], said).of([view])
    if float(overlap(close.outlines(), found)) > ASTRAY:
        lane.decoded = answer.drawn(close)


def _prior(model: Model, lane: Lane, clicks: Clicks) -> torch.Tensor | None:
    """The mask prompt that goes with clicks: what was last decoded, or the clicks drawn."""
    if lane.decoded is not None:
        return lane.decoded.filled.clamp(-PRIOR_CLAMP, PRIOR_CLAMP)
    if not model.preset.dense_prompts:
        return None
    size = model.net.sam_prompt_encoder.mask_input_size[0]
    return dense_prompt(clicks.coords[0] / model.image_size, clicks.labels[0], size)


def _adopt(model: Model, lane: Lane, mask: torch.Tensor) -> None:
    lane.decoded = model.stages.adopt(lane.features, mask)
    lane.points, lane.prompted = (), True


def _restart(model: Model, lane: Lane) -> None:
    """Its mask here becomes all that is known of the object; so the pointer must know nothing else either."""
    size = (model.image_size, model.image_size)
    logits = F.interpolate(lane.answer.filled, size=size, mode="bilinear", align_corners=False)
    adopted = model.stages.adopt(lane.features, (logits > 0).float())
    lane.decoded = replace(lane.answer, pointer=adopted.pointer)
    lane.memory, lane.first = Memory(lane.memory.limits), True
    lane.conditioned = model.stages.unremembered(lane.features)
    lane.points, lane.prompted = (), True
