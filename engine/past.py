"""What is done to objects in one step: on the newest frame at once, on earlier ones by changing the past.

Changing the past means: the object begins a replay from the first frame that differs, with what it remembered
before that frame; see `replay.py`. Decides only; the network runs in `lanes.py` and `correction.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from engine import prompts
from engine.history import Held, History
from engine.lanes import Lane, Step
from engine.replay import Gone, Replay
from engine.story import Deed, Story
from engine.types import (
    EngineError,
    Keep,
    Pin,
    Placed,
    Prompt,
    Redo,
    Remove,
    Restart,
    Restore,
    Undo,
)


class Past:
    """The objects of one stream during one step.

    Args:
        step: what is changed.
        held: what each object remembered before the step's frame, by serial number.
        most: objects at most.
        create: a lane on the step's frame for an object that is new.
        act: carries a prompt out on a lane of the step's frame; may raise EngineError.
    """

    def __init__(
        self,
        history: History,
        step: Step,
        held: Mapping[int, Held],
        most: int,
        create: Callable[[int], Lane],
        act: Callable[[Lane, Placed], None],
    ) -> None:
        self._history = history
        self._step = step
        self._now = step.frame.index
        self._held = held
        self._most = most
        self._create = create
        self._act = act

    # The verbs; all raise EngineError, and have changed nothing then.

    def place(self, prompt: Placed) -> None:
        """A prompt on the frame that it names."""
        step, object_id = self._step, prompt.object_id
        story = self._known(object_id)
        frame = self._frame(prompt, story)
        lane, replay = step.lanes.get(object_id), step.replays.get(object_id)
        if story is None:
            lane = self._newcomer(prompt)
            story = lane.story
        elif not isinstance(prompt, Pin | Restart):
            prompts.check(prompt, new=False)
        deed = Deed(frame, prompt, self._before(object_id, story.serial, frame))
        story = story.done(deed, self._history.reach)
        if frame == self._now and replay is None:
            assert lane is not None
            self._act(lane, prompt)
            lane.story = story
            step.lanes[object_id] = lane
        else:
            self._change(object_id, story, frame, deed.before, prompt)
        step.gone.pop(object_id, None)
        if frame == self._now != prompt.frame_index and prompt.frame_index is not None:
            step.reanchored.append(prompt)

    def undo(self, prompt: Undo) -> None:
        object_id = prompt.object_id
        story = self._require(object_id)
        at, held = self._present(object_id, story)
        rest, deed = story.back(at, held)
        before = deed.before
        if self._kept(deed.frame, rest):
            before = self._before(object_id, story.serial, deed.frame)
        elif before is None and rest.deeds and rest.first(self._history.oldest) is None:
            raise EngineError("NOTHING_TO_UNDO", "what made this object lies too far back to be undone")
        self._change(object_id, rest, deed.frame, before, prompt)

    def redo(self, prompt: Redo) -> None:
        step, object_id = self._step, prompt.object_id
        story = self._known(object_id)
        if story is None and object_id in step.gone:
            self._require_room()
            story = step.gone[object_id].story
        if story is None:
            raise EngineError("UNKNOWN_OBJECT", f"there is no object {object_id}")
        story, undone = story.again()
        frame = undone.deed.frame
        if self._kept(frame, story):
            held = self._before(object_id, story.serial, frame)
        else:
            step.replays.pop(object_id, None)
            frame, held = undone.at, undone.held
        self._change(object_id, story, frame, held, prompt)
        step.gone.pop(object_id, None)

    def remove(self, prompt: Remove) -> None:
        object_id = prompt.object_id
        story = self._require(object_id)
        self._take_away(object_id, Gone(story, *self._present(object_id, story), removed=True))

    def restore(self, prompt: Restore) -> None:
        step, object_id = self._step, prompt.object_id
        gone = step.gone.get(object_id)
        if gone is None or not gone.removed:
            raise EngineError("NOTHING_TO_RESTORE", f"there is no removed object {object_id}")
        self._require_room()
        del step.gone[object_id]
        self._change(object_id, gone.story, gone.at, gone.held, prompt)

    def keep(self, prompt: Keep) -> None:
        """A frame that is not let go, in place of the one before."""
        frame = self._now if prompt.frame_index is None else prompt.frame_index
        self._require_frame(frame)
        if self._history.seconds == 0 or not self._kept(frame, None):
            raise self._history.expired(frame)
        self._step.keep, self._step.release = frame, False

    def release(self) -> None:
        self._step.keep, self._step.release = None, True

    # What they share.

    def _frame(self, prompt: Placed, story: Story | None) -> int:
        """The frame to carry a prompt out on."""
        frame = prompt.frame_index
        if frame is None:
            return self._now
        self._require_frame(frame)
        if self._kept(frame, story):
            return frame
        if prompt.reanchor:
            return self._now
        raise self._history.expired(frame)

    def _require_frame(self, frame: int) -> None:
        if not 0 <= frame <= self._now:
            raise EngineError("BAD_FRAME", f"expected a frame of 0..{self._now}, got {frame}")

    def _kept(self, frame: int, story: Story | None) -> bool:
        """Whether an object can be followed from there again, with all that was done on later frames."""

        def there(index: int) -> bool:
            return index == self._now or self._history.find(index) is not None

        later = [deed.frame for deed in story.deeds if deed.frame > frame] if story else []
        return there(frame) and all(there(index) for index in later)

    def _known(self, object_id: int) -> Story | None:
        found = self._step.replays.get(object_id) or self._step.lanes.get(object_id)
        return found.story if found else None

    def _require(self, object_id: int) -> Story:
        story = self._known(object_id)
        if story is None:
            raise EngineError("UNKNOWN_OBJECT", f"there is no object {object_id}")
        return story

    def _require_room(self) -> None:
        if len({*self._step.lanes, *self._step.replays}) >= self._most:
            raise EngineError("TOO_MANY_OBJECTS", f"at most {self._most} objects can be followed")

    def _newcomer(self, prompt: Placed) -> Lane:
        if isinstance(prompt, Pin | Restart):
            raise EngineError("UNKNOWN_OBJECT", f"there is no object {prompt.object_id}")
        prompts.check(prompt, new=True)
        self._require_room()
        return self._create(prompt.object_id)

    def _present(self, object_id: int, story: Story) -> tuple[int, Held | None]:
        """The frame that comes next for the object, and what it remembered before."""
        replay = self._step.replays.get(object_id)
        return (replay.next, replay.held) if replay else (self._now, self._held.get(story.serial))

    def _before(self, object_id: int, serial: int, frame: int) -> Held | None:
        """What the object remembered before a frame that is kept; None if it was not there yet."""
        replay = self._step.replays.get(object_id)
        if replay is not None and frame >= replay.since:
            return replay.before(frame)
        if frame == self._now:
            return self._held.get(serial)
        moment = self._history.find(frame)
        return moment.before.get(serial) if moment else None

    def _change(self, object_id: int, story: Story, frame: int, held: Held | None, prompt: Prompt) -> None:
        """Let the object have had another story, which differs from `frame` on.

        Args:
            held: what it remembered before `frame`.
        """
        step = self._step
        lane, old = step.lanes.get(object_id), step.replays.get(object_id)
        if lane is not None and lane.story.serial == story.serial and lane.story.deeds == story.deeds:
            lane.story = story
            step.replays.pop(object_id, None)
            return
        replay = self._continued(object_id, story, frame, held, prompt, old).begun()
        if replay is None:
            self._take_away(object_id, Gone(story, self._now, None, removed=False))
        else:
            step.replays[object_id] = replay

    def _continued(
        self,
        object_id: int,
        story: Story,
        frame: int,
        held: Held | None,
        prompt: Prompt,
        old: Replay | None,
    ) -> Replay:
        waiting = (*(old.waiting if old else ()), prompt)
        if not self._kept(frame, story):
            # The frames between are gone: what lasts of it begins at the first frame that matters.
            first = story.first(self._history.oldest)
            start = self._now if first is None else first
            return Replay(object_id, story, start, start, held, {}, waiting)
        if old is None:
            return Replay(object_id, story, frame, frame, held, {}, waiting)
        if frame > old.next:
            return Replay(object_id, story, old.since, old.next, old.held, old.past, waiting)
        past = {index: kept for index, kept in old.past.items() if index < frame}
        return Replay(object_id, story, min(frame, old.since), frame, held, past, waiting)

    def _take_away(self, object_id: int, gone: Gone) -> None:
        step = self._step
        step.lanes.pop(object_id, None)
        step.replays.pop(object_id, None)
        step.gone.pop(object_id, None)
        step.gone[object_id] = gone
        while len(step.gone) > self._most:
            del step.gone[next(iter(step.gone))]
