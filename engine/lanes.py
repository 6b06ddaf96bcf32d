"""Objects while their frame is worked on, and the verbs that take many of them at once.

A lane is one object of one stream on one frame. Lanes are gathered over all trackers, run together through
memory attention, decoder and memory encoder, and handed back.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from types import MappingProxyType
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from engine import claims, correlation, filters
from engine.boxes import holding, overlap, seen_in
from engine.closeup import WHOLE, View
from engine.correlation import CorrelationFilter
from engine.features import Decoded, Features
from engine.memory import Entry, Memory
from engine.prompts import LabelledPoint, drawn_box
from engine.regressor import Ends, Sketch
from engine.stages import Stages
from engine.story import Story
from engine.types import EngineError, Frame, Prompt

if TYPE_CHECKING:
    from engine.replay import Gone, Replay
    from engine.tracker import Tracker

MAX_BATCH = 16  # lanes that run at once, so that the working memory is bounded
LOOKS = 4  # from near by that a step may take at the things of a picture: each takes half as long as a step
LEAST_ROUNDS = 3  # frames of the past that a step makes up for: two more than come anew, so that it ends
MOST_ROUNDS = 4  # and at most, so that the stream goes on
SPARSE = 4  # of so many frames on which a filter was sure, one is remembered
ASTRAY = 0.5  # of a mask's and its filter's box is shared by them: less, and memory has led the mask away
REPLAY_S = 0.05  # what a step may always spend on them


@dataclass(slots=True, eq=False)
class Lane:
    """One object while its frame is worked on.

    Attributes:
        memory: what it remembered before this frame.
        story: what was done to it, on this frame and earlier.
        conditioned: [1, C, H, W] features that the decoder reads; kept so that clicks can be added.
        decoded: the newest answer, None before there is one.
        seen: the last frame the object was visible on.
        filter: the memory's, moved to where the object is on this frame,
        answered: what it answers to what is there,
        clear: and how clear that is by all that is known, 0 where it could not be told.
        likely: how likely that is the object, by its look.
        asked: float32 [4], centre and size of the box that the network is asked with, where it is clear,
        ends: and where the object is by its look, if that agrees with the filter.
        agreement: how much of its box and of the mask's is shared, below 0 before there is such a mask.
        points: clicks on this frame so far.
        prompted: this frame becomes a conditioning frame,
        pinned: and one that the bank lets go of last.
        first: the object was added on this frame and reads no memory.
    """

    object_id: int
    frame: int
    features: Features
    memory: Memory
    seen: int
    story: Story
    conditioned: torch.Tensor | None = None
    decoded: Decoded | None = None
    filter: CorrelationFilter | None = None
    answered: float = 0.0
    clear: float = 0.0
    likely: float = 0.0
    asked: Tensor | None = None
    ends: Ends | None = None
    agreement: float = -1.0
    points: tuple[LabelledPoint, ...] = ()
    prompted: bool = False
    pinned: bool = False
    first: bool = False

    @property
    def unborn(self) -> bool:
        """There is no object yet: only a prompt that includes something can make it."""
        return self.first and self.decoded is None

    @property
    def drawn(self) -> tuple[float, float, float, float] | None:
        """Centre and size in 0..1 of the box that a person has drawn on this frame, if one was."""
        return drawn_box(self.points)

    @property
    def answer(self) -> Decoded:
        if self.decoded is None:
            raise AssertionError(f"object {self.object_id} was not decoded")
        return self.decoded


@dataclass(slots=True, eq=False)
class Step:
    """One frame of one tracker in the making, by object id.

    Attributes:
        lanes: objects on this frame.
        replays: objects that are still followed from an earlier frame to this one.
        gone: objects that were taken away and can be brought back, the oldest first.
        arrived: replays that have ended here.
        forgotten: nothing of earlier objects is to be kept.
        keep: a frame not to let go of from now on.
        release: the frame that was is let go.
    """

    frame: Frame
    features: Features
    lanes: dict[int, Lane]
    replays: dict[int, Replay]
    gone: dict[int, Gone]
    arrived: list[Replay] = field(default_factory=list)
    forgotten: bool = False
    keep: int | None = None
    release: bool = False
    rejected: list[tuple[Prompt, EngineError]] = field(default_factory=list)
    reanchored: list[Prompt] = field(default_factory=list)

    def forget(self) -> None:
        """Every object, and all that could bring one back."""
        for objects in (self.lanes, self.replays, self.gone):
            objects.clear()
        self.forgotten = True

    def refused(self) -> set[int]:
        """The `id` of prompts that were rejected."""
        return {id(prompt) for prompt, _ in self.rejected}


def catch_up(stages: Stages, steps: Sequence[tuple[Tracker, Step]], live_seconds: float) -> dict[int, Memory]:
    """Follow the objects whose past has changed some frames on, all of them as one batch frame by frame.

    Those that have come to their stream's newest frame take their place among its lanes. Each gains on its
    stream: at least LEAST_ROUNDS frames a step, more while that takes no longer than
    the step itself or REPLAY_S.

    Args:
        live_seconds: what the step has taken so far.

    Returns:
        memories of the lanes that have come, by `id` of the lane.
    """
    arrived: dict[int, Memory] = {}
    started = time.perf_counter()
    for done in range(MOST_ROUNDS):
        if done >= LEAST_ROUNDS and time.perf_counter() - started > max(live_seconds, REPLAY_S):
            break
        batches = [(tracker, step, tracker.replaying(step)) for tracker, step in steps]
        lanes = [lane for _, _, batch in batches for lane in batch]
        if not lanes:
            break
        track(stages, [lane for lane in lanes if not lane.first])
        for tracker, step, batch in batches:
            tracker.prompt_again(step, batch)
        born = [lane for lane in lanes if not lane.unborn]
        memories = remember(stages, born)
        visible = seen(born)
        for tracker, step, batch in batches:
            arrived |= tracker.advance(step, batch, memories, visible)
    return arrived


def seen(lanes: Sequence[Lane]) -> set[int]:
    """The `id` of lanes whose object is there, as far as the network's own resolution shows."""
    if not lanes:
        return set()
    answers = Decoded.batch([lane.answer for lane in lanes])
    there = (answers.score[:, 0] > 0) & holding(answers.filled)
    return {id(lane) for lane, visible in zip(lanes, there.tolist(), strict=True) if visible}


def track(stages: Stages, lanes: Sequence[Lane]) -> None:
    """Locate, recall and decode: fills `conditioned` and `decoded` of lanes that have a memory.

    What a filter has found the network looks for there, other things wherever it sees them. What has other
    colours than the object is not it.
    """
    filters.locate(stages, lanes)
    for batch in _batches(lanes, _shape):
        features = [lane.features for lane in batch]
        conditioned = stages.recall(features, [lane.memory for lane in batch], [lane.frame for lane in batch])
        for index, lane in enumerate(batch):
            lane.conditioned = conditioned[index : index + 1]
    for batch in _batches([lane for lane in lanes if not lane.clear], _any):
        decoded = stages.decode(_conditioned(batch), [lane.features for lane in batch])
        for index, lane in enumerate(batch):
            lane.decoded = decoded.lane(index)
    found = [lane for lane in lanes if lane.clear]
    near = views(found) if stages.looks_close else {}
    small = [lane for lane in found if id(lane) in near]
    sure = [lane for lane in small if lane.clear >= correlation.SURE]
    doubtful = [lane for lane in small if lane.clear < correlation.SURE]
    _ask(stages, found, {id(lane): near[id(lane)] for lane in sure})
    _ask(stages, _astray(sure))
    _ask(stages, _astray(found), remembering=False)
    _ask(stages, [lane for lane in doubtful if float(lane.answer.score) > 0], near)
    unaided = [lane for lane in lanes if not lane.clear and lane.features.picture is not None]
    for batch in _batches(unaided, _any):
        decoded = Decoded.batch([lane.answer for lane in batch])
        redrawn = stages.drawing.snapped(decoded, [lane.features for lane in batch])
        for index, lane in enumerate(batch):
            lane.decoded = redrawn.lane(index)
    claims.disown(stages, lanes)


def _ask(
    stages: Stages,
    lanes: Sequence[Lane],
    near: Mapping[int, View] = MappingProxyType({}),
    remembering: bool = True,
) -> None:
    """Decode and redraw where the filters say; the answer that agrees best with them stays.

    Args:
        near: lanes by `id` that are seen in views of their own, where memory is of no use.
        remembering: the others are seen as memory has conditioned them.
    """
    for batch in _batches(lanes, _any):
        looks = [near.get(id(lane)) for lane in batch]
        features = [
            lane.features if look is None else stages.near(lane.features, look)
            for lane, look in zip(batch, looks, strict=True)
        ]
        sources = [
            lane.conditioned if remembering and look is None else stages.unremembered(seen)
            for lane, look, seen in zip(batch, looks, features, strict=True)
        ]
        boxes, sketches = _asked(batch), _sketched(batch)
        parts = torch.cat([(look or WHOLE).box(boxes) for look in looks])
        there = seen_in(parts, boxes)
        certain = [lane.clear >= correlation.SURE or id(lane) in near for lane in batch]
        decoded = stages.decode(
            torch.cat([source for source in sources if source is not None]),
            features,
            *stages.boxed(there),
            certain=torch.tensor(certain, device=boxes.device),
        )
        drawn = stages.drawing.outlined(decoded, features, there, sketches.seen(parts)).of(looks)
        agreements = overlap(decoded.outlines(), there).tolist()
        for index, (lane, agreement) in enumerate(zip(batch, agreements, strict=True)):
            if agreement > lane.agreement:
                answer, lane.agreement = drawn.lane(index), agreement
                # What memory says, of whether a thing is there, is not to be had near by.
                lane.decoded = lane.decoded.drawn(answer) if lane.decoded and id(lane) in near else answer


def _astray(lanes: Sequence[Lane]) -> list[Lane]:
    return [lane for lane in lanes if lane.agreement < ASTRAY]


def views(lanes: Sequence[Lane]) -> dict[int, View]:
    """Of small things, by `id` of their lanes; where a picture has more than LOOKS, they take turns."""
    found: dict[int, View] = {}
    small: dict[int, list[Lane]] = {}
    for lane in lanes:
        if lane.asked is not None and (view := View.around(lane.asked.tolist())):
            found[id(lane)] = view
            small.setdefault(id(lane.features), []).append(lane)
    for several in small.values():
        for k in range(LOOKS, len(several)):
            del found[id(several[(k + several[0].frame * LOOKS) % len(several)])]
    return found


def _asked(lanes: Sequence[Lane]) -> Tensor:
    return torch.stack([lane.asked for lane in lanes if lane.asked is not None])


def _sketched(lanes: Sequence[Lane]) -> Sketch:
    device = lanes[0].features.top.device
    return Sketch.batch([lane.ends.sketch if lane.ends else Sketch.none(1, device) for lane in lanes])


def _conditioned(lanes: Sequence[Lane]) -> Tensor:
    return torch.cat([lane.conditioned for lane in lanes if lane.conditioned is not None])


def remember(stages: Stages, lanes: Sequence[Lane]) -> dict[int, Memory]:
    """Encode what each lane's object looks like into its memory, by `id` of the lane.

    Objects of presets with filters keep what they remember while they are away: a network that has nothing
    but absence to compare with takes nothing for the object any more.
    """
    pictured = [lane for lane in lanes if lane.features.look is not None]
    visible = seen(pictured)
    known = filters.learn(stages, pictured, visible)
    memories = {
        id(lane): replace(lane.memory.without_this(), filter=known[id(lane)])
        for lane in pictured
        if not lane.prompted and (id(lane) not in visible or _known_well(lane))
    }
    there = [lane for lane in lanes if id(lane) not in memories]
    for batch in _batches(there, lambda lane: (int(lane.prompted),)):
        decoded = Decoded.batch([lane.answer for lane in batch])
        spatial = stages.remember([lane.features for lane in batch], decoded, batch[0].prompted)
        for lane, features in zip(batch, spatial, strict=True):
            entry = Entry(lane.frame, features, lane.answer.pointer[0].clone(), lane.pinned)
            memory = replace(lane.memory, filter=known.get(id(lane)))
            memories[id(lane)] = memory.condition(entry) if lane.prompted else memory.remember(entry)
    return memories


def _known_well(lane: Lane) -> bool:
    """The filter is sure, and memory has a frame that is new enough."""
    return lane.clear >= correlation.SURE and bool(lane.memory.ring) and lane.memory.passed + 1 < SPARSE


def _shape(lane: Lane) -> tuple[int, ...]:
    """How much there is to read; only lanes of equal shape make a batch. First lanes have nothing to read."""
    return len(lane.memory.slots(lane.frame)), len(lane.memory.reads(lane.frame))


def _any(_: Lane) -> tuple[int, ...]:
    return ()


def _batches(lanes: Sequence[Lane], key: Callable[[Lane], tuple[int, ...]]) -> Iterator[list[Lane]]:
    """Lanes of equal key together, at most `MAX_BATCH` at once, in a stable order."""
    for _, group in groupby(sorted(lanes, key=key), key=key):
        batch = list(group)
        for start in range(0, len(batch), MAX_BATCH):
            yield batch[start : start + MAX_BATCH]
