"""What a prompt would give on the frame that it names, from kept features: the answer before the effect."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from engine.correction import carry_out
from engine.features import Decoded
from engine.history import History, Moment
from engine.lanes import Lane, seen, track
from engine.masks import mask_box
from engine.shown import masks_of
from engine.types import EngineError, MaskSet, ObjectMask, ObjectState, Placed, Prompt

if TYPE_CHECKING:
    from engine.tracker import Tracker

Rejected = list[tuple[Prompt, EngineError]]


def preview(tracker: Tracker, history: History, prompts: Sequence[Placed]) -> MaskSet:
    """As `Tracker.preview`."""
    frames = {prompt.frame_index for prompt in prompts} or {None}
    frame = frames.pop()
    moment = history.newest if frame is None else history.find(frame)
    if frames or moment is None:
        error = (
            EngineError("BAD_FRAME", "expected prompts on one frame")
            if frames
            else history.expired(frame or 0)
        )
        return MaskSet(frame or 0, (), rejected=tuple((prompt, error) for prompt in prompts))
    rejected: Rejected = []
    with tracker.model.working():
        lanes = {p.object_id: tracker.lane_at(p.object_id, moment) for p in prompts}
        track(tracker.model.stages, [lane for lane in lanes.values() if not lane.first])
        for lane in lanes.values():
            _act(tracker, lane, lane.story.script(lane.frame), [])
            _act(tracker, lane, [p for p in prompts if p.object_id == lane.object_id], rejected)
        objects = _shown(tracker, moment, [lanes[i] for i in sorted(lanes) if not lanes[i].unborn])
    return MaskSet(moment.index, objects, rejected=tuple(rejected))


def _act(tracker: Tracker, lane: Lane, prompts: Sequence[Placed], rejected: Rejected) -> None:
    for prompt in prompts:
        try:
            carry_out(tracker.model, lane, prompt)
        except EngineError as error:
            rejected.append((prompt, error))


def _shown(tracker: Tracker, moment: Moment, lanes: Sequence[Lane]) -> tuple[ObjectMask, ...]:
    if not lanes:
        return ()
    answers, there = Decoded.batch([lane.answer for lane in lanes]), seen(lanes)
    masks = masks_of(answers, moment.height, moment.width)
    scores = answers.score.float().sigmoid().flatten().tolist()
    return tuple(
        ObjectMask(
            lane.object_id,
            mask,
            score,
            mask_box(mask),
            ObjectState.TRACKING if id(lane) in there else ObjectState.OCCLUDED,
        )
        for lane, mask, score in zip(lanes, masks, scores, strict=True)
    )
