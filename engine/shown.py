"""What is told of objects: masks at the size of the picture, scores, boxes, states."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from engine.enlarged import enlarged
from engine.features import Decoded
from engine.lanes import Lane
from engine.masks import mask_box
from engine.types import ObjectMask, ObjectState


def shown(lanes: Sequence[Lane], height: int, width: int, patience: int) -> tuple[ObjectMask, ...]:
    """The objects of decoded lanes, in their order; an object that is there is marked as seen.

    Args:
        patience: frames an object may be absent before its state is lost.
    """
    if not lanes:
        return ()
    answers = Decoded.batch([lane.answer for lane in lanes])
    masks = masks_of(answers, height, width)
    logits = answers.score.float().cpu()
    told = []
    for lane, mask, logit, score in zip(lanes, masks, logits, logits.sigmoid(), strict=True):
        box = mask_box(mask)
        if float(logit) > 0 and box is not None:
            lane.seen = lane.frame
        told.append(ObjectMask(lane.object_id, mask, float(score), box, _state(lane, patience)))
    return tuple(told)


def masks_of(answers: Decoded, height: int, width: int) -> NDArray[np.bool_]:
    """The masks of B lanes at the size of the picture: [B, height, width]."""
    finer = {k: closeup for k, closeup in enumerate(answers.close) if closeup is not None}
    coarse = [k for k in range(len(answers.filled)) if k not in finer]
    masks = np.empty((len(answers.filled), height, width), np.bool_)
    masks[coarse] = enlarged(answers.filled[coarse], height, width)
    for k, closeup in finer.items():
        masks[k] = closeup.enlarged(height, width)
    return masks


def _state(lane: Lane, patience: int) -> ObjectState:
    absent = lane.frame - lane.seen
    if absent == 0:
        return ObjectState.TRACKING
    return ObjectState.OCCLUDED if absent <= patience else ObjectState.LOST
