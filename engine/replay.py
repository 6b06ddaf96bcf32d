"""An object that is followed again, from a frame that has passed up to the newest. Bookkeeping only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from torch import Tensor

from engine.history import Held, History
from engine.memory import Memory
from engine.story import Story
from engine.types import Prompt

if TYPE_CHECKING:
    from engine.lanes import Lane, Step


@dataclass(frozen=True, slots=True, eq=False)
class Replay:
    """How far it has come.

    Attributes:
        story: what is done to the object on the way, and what it will have had done to it then.
        since: the first frame on which its past differs from the one it had.
        next: the frame to be done next.
        held: what it remembers before that; None if it is to be made there.
        past: what it remembered before the frames done, for prompts that come later still.
        waiting: the prompts that began this.
    """

    object_id: int
    story: Story
    since: int
    next: int
    held: Held | None
    past: Mapping[int, Held]
    waiting: tuple[Prompt, ...]

    def before(self, frame: int) -> Held | None:
        """What the object remembers before a frame of `since` to `next`; None where there is none yet."""
        return self.held if frame == self.next else self.past.get(frame)

    def begun(self) -> Replay | None:
        """At the first frame where there is something to do; None if nothing makes the object."""
        if self.held is not None:
            return self
        birth = self.story.first(self.next)
        return None if birth is None else replace(self, next=birth)

    def advanced(self, story: Story, following: int, held: Held | None, refused: set[int]) -> Replay:
        """One frame further, with the story that turned out; nobody waits for what was refused (by `id`)."""
        past = self.past if self.held is None else {**self.past, self.next: self.held}
        waiting = tuple(prompt for prompt in self.waiting if id(prompt) not in refused)
        return replace(self, story=story, next=following, held=held, past=past, waiting=waiting)

    def tensors(self) -> Iterator[Tensor]:
        yield from self.story.tensors()
        for held in (*self.past.values(), *([self.held] if self.held else [])):
            yield from held.memory.tensors()


@dataclass(frozen=True, slots=True, eq=False)
class Gone:
    """An object that was taken away when frame `at` was the next to be done to it.

    Attributes:
        held: what it remembered before that frame.
        removed: by a removal, not by undoing what made it.
    """

    story: Story
    at: int
    held: Held | None
    removed: bool

    def settled(self, oldest: int) -> Gone:
        """Of what lies before frame `oldest` only what lasts."""
        held = self.held.lasting() if self.held is not None and self.at < oldest else self.held
        return replace(self, story=self.story.settled(oldest), held=held)

    def tensors(self) -> Iterator[Tensor]:
        yield from self.story.tensors()
        if self.held is not None:
            yield from self.held.memory.tensors()


def pass_on(step: Step, history: History, lane: Lane, memory: Memory | None) -> None:
    """To the next frame; the replay ends where nothing makes the object, or nothing is changed by it."""
    replay = step.replays.pop(lane.object_id)
    moment = history.next(lane.frame)
    following = moment.index if moment else step.frame.index
    left_out = following - lane.frame - 1
    held = None if memory is None else Held(memory.drawn_up(left_out), lane.seen)
    live = step.lanes.get(lane.object_id)
    if live is not None and live.story.deeds == lane.story.deeds:
        live.story = lane.story
        return
    if memory is None and lane.frame == step.frame.index:
        return
    if on := replay.advanced(lane.story, following, held, step.refused()).begun():
        step.replays[lane.object_id] = on


def arrive(step: Step, lane: Lane) -> None:
    """Take the place among the lanes, with another past."""
    replay = step.replays.pop(lane.object_id).advanced(lane.story, lane.frame, None, set())
    lane.story = lane.story.rebased(replay.since, replay.past)
    step.lanes[lane.object_id] = lane
    step.arrived.append(replay)
