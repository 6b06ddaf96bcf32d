"""One stream's objects: a picture and prompts in, the mask of every object out.

    tracker = Tracker(load_model())
    tracker.step(Frame(0, picture), [Points(1, (Point(0.4, 0.6),))])
    tracker.step(Frame(1, next_picture)).objects[0].mask

Knows objects by the caller's ids; knows no session, no thread and no other tracker. The batched work is in
`lanes.py`, what an object remembers in `memory.py`, what prompts do in `past.py` and `correction.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial

import torch

from engine import history, rounds
from engine.correction import carry_out
from engine.features import Features
from engine.history import Held, History, Moment
from engine.lanes import Lane, Step
from engine.memory import Limits, Memory
from engine.models import Model
from engine.past import Past
from engine.preview import preview
from engine.replay import Gone, Replay, arrive, pass_on
from engine.shown import shown
from engine.story import Story
from engine.track import Track
from engine.types import (
    EngineError,
    Frame,
    Keep,
    MaskSet,
    ObjectMask,
    Placed,
    Prompt,
    Redo,
    Release,
    Remove,
    Reset,
    Restore,
    Text,
    Undo,
)

COUNTED_EVERY = 30  # frames
PATIENCE = 60  # frames an object may be absent before it is lost: two seconds at 30 fps


class Tracker:
    """The objects of one stream.

    Args:
        model: shared with any number of trackers.
        max_cond_frames: prompted frames each object keeps, at least 2.
        pin_first: the first prompted frame is always kept; False keeps the newest ones only, as the official
            predictor does with `max_cond_frames_in_attn`.
        max_objects: more are refused.
        patience: frames an object may be absent before its state is lost.
        history: seconds back that a prompt may speak of, by `Frame.captured_at`, and at most
            `history.RATE` frames for each; 0 keeps no past frames. `nbytes` counts what they take.
    """

    def __init__(
        self,
        model: Model,
        *,
        max_cond_frames: int = 4,
        pin_first: bool = True,
        max_objects: int = 16,
        patience: int = PATIENCE,
        history: float = history.SECONDS,
    ) -> None:
        self.model = model
        self.memory_bytes = 0  # `nbytes`, counted every so many frames, for that takes a while
        self.remembered_in = 0.0  # seconds, the newest frame with all others in its batch
        net = model.net
        self._limits = Limits(
            net.num_maskmem - 1,
            net.max_obj_ptrs_in_encoder - 1,
            model.preset.memories,
            max_cond_frames,
            pin_first,
        )
        self._max_objects = max_objects
        self._patience = patience
        self._tracks: dict[int, Track] = {}
        self._replays: dict[int, Replay] = {}
        self._gone: dict[int, Gone] = {}
        self._history = History(history)
        self._serial = 0
        self._newest = -1

    @property
    def object_ids(self) -> tuple[int, ...]:
        return tuple(sorted(self._tracks))

    @property
    def tracks(self) -> Mapping[int, Track]:
        """What is known of each object after the last step."""
        return self._tracks

    @property
    def oldest(self) -> int:
        """The oldest frame that a prompt may speak of."""
        return self._history.oldest

    def nbytes(self) -> int:
        """Bytes of tensors held between steps, past frames included; the model is not counted."""
        return sum({t.data_ptr(): t.nbytes for t in self._tensors()}.values())

    def step(self, frame: Frame, prompts: Sequence[Prompt] = ()) -> MaskSet:
        """Follow every object onto `frame`, then carry out the prompts, in order.

        A prompt on an object that is followed corrects it, and the frame becomes one it always remembers.
        One that names a past frame is carried out on that: its object is followed from there again, some
        frames a step. Until it arrives the prompt is in `MaskSet.pending` and the object, if it was known,
        shown as it was. A prompt that cannot be carried out is in `MaskSet.rejected`; the others are done.

        Args:
            frame: its index must be greater than the last one's.

        Raises:
            EngineError: BAD_FRAME; nothing has changed then.
        """
        (result,) = rounds.step_many(self.model, [rounds.Job(self, frame, prompts)])
        if isinstance(result, Exception):
            raise result
        return result

    def preview(self, prompts: Sequence[Prompt]) -> MaskSet:
        """What the objects of these prompts would be on the frame that they name; changes nothing.

        From the features that are kept: no image is encoded and nothing is remembered.

        Args:
            prompts: those that speak of no picture are passed over; the others name one frame, or none for
                the newest.

        Returns:
            the prompted objects on that frame; what cannot be shown is in `rejected`.
        """
        return preview(self, self._history, [p for p in prompts if isinstance(p, Placed)])

    def lane_at(self, object_id: int, moment: Moment) -> Lane:
        """An object before what was done to it on a frame that is kept; an unborn one if it is not there."""
        replay = self._replays.get(object_id)
        known = replay or self._tracks.get(object_id)
        story = known.story if known else Story(0)
        held = moment.before.get(story.serial)
        if replay is not None and moment.index >= replay.since:
            held = replay.before(moment.index)
        return self._lane(object_id, moment.index, moment.features, story, held)

    # The parts of a step, called by `engine.rounds`; only `commit` changes anything.

    def accept(self, frame: Frame) -> None:
        """Refuse a frame that may not come now."""
        if frame.index <= self._newest:
            raise EngineError("BAD_FRAME", f"expected a frame index above {self._newest}, got {frame.index}")

    def begin(self, frame: Frame, features: Features) -> Step:
        """A lane for every object."""
        lanes = {
            i: Lane(i, frame.index, features, t.memory, t.seen, t.story) for i, t in self._tracks.items()
        }
        return Step(frame, features, lanes, dict(self._replays), dict(self._gone))

    def prompt(self, step: Step, prompts: Sequence[Prompt]) -> None:
        """Carry out the prompts on the step's lanes, which have been followed onto the frame."""
        past = Past(
            self._history,
            step,
            self._held(),
            self._max_objects,
            create=partial(self._newborn, step),
            act=partial(carry_out, self.model),
        )
        for prompt in prompts:
            try:
                self._apply(step, past, prompt)
            except EngineError as error:
                step.rejected.append((prompt, error))

    def replaying(self, step: Step) -> list[Lane]:
        """A lane for each object that is still on its way here, on the frame that it has come to."""
        return [self._replayed(step, replay) for replay in step.replays.values()]

    def prompt_again(self, step: Step, lanes: Sequence[Lane]) -> None:
        """Do on these lanes what was done on their frames; what cannot be is struck from the story."""
        for lane in lanes:
            for prompt in lane.story.script(lane.frame):
                try:
                    carry_out(self.model, lane, prompt)
                except EngineError as error:
                    lane.story = lane.story.without(prompt)
                    step.rejected.append((prompt, error))

    def advance(
        self, step: Step, lanes: Sequence[Lane], memories: Mapping[int, Memory], visible: set[int]
    ) -> dict[int, Memory]:
        """Take the lanes of `replaying` one frame on; gives the memories of those that are here now.

        Args:
            memories: after the lane's frame, by `id` of the lane; of a lane without, nothing was made.
            visible: `id` of lanes whose object is seen.
        """
        arrived = {}
        for lane in lanes:
            memory = memories.get(id(lane))
            if id(lane) in visible:
                lane.seen = lane.frame
            if lane.frame < step.frame.index or memory is None:
                pass_on(step, self._history, lane, memory)
            else:
                arrive(step, lane)
                arrived[id(lane)] = memory
        return arrived

    def show(self, step: Step) -> tuple[ObjectMask, ...]:
        """The masks at the size of the picture, ascending by object."""
        lanes = [step.lanes[i] for i in sorted(step.lanes)]
        return shown(lanes, step.frame.height, step.frame.width, self._patience)

    def commit(self, step: Step, memories: Mapping[int, Memory], seconds: float) -> None:
        """Take the step's outcome as the new state; remembering it took `seconds`."""
        self.remembered_in = seconds
        history, frame = self._history, step.frame
        if step.forgotten:
            history.forget_objects()
        needed = min((replay.next for replay in step.replays.values()), default=frame.index + 1)
        if step.release:
            history.release()
        if step.keep is not None:
            needed = min(needed, step.keep)
        history.keep(frame, step.features, {} if step.forgotten else self._held(), needed)
        if step.keep is not None:
            history.hold(step.keep)
        for replay in step.arrived:
            history.rewrite(replay.story.serial, replay.since, replay.past)
        self._newest, oldest = frame.index, history.oldest
        self._tracks = {
            i: Track(memories[id(lane)], lane.answer, lane.seen, lane.story.settled(oldest))
            for i, lane in step.lanes.items()
        }
        self._replays = step.replays
        self._gone = {i: gone.settled(oldest) for i, gone in step.gone.items()}
        if frame.index % COUNTED_EVERY == 0:
            self.memory_bytes = self.nbytes()

    # What the parts share.

    def _held(self) -> dict[int, Held]:
        """What each object remembers before the next frame, by serial number."""
        return {track.story.serial: track.held for track in self._tracks.values()}

    def _apply(self, step: Step, past: Past, prompt: Prompt) -> None:
        match prompt:
            case Reset():
                step.forget()
            case Remove():
                past.remove(prompt)
            case Restore():
                past.restore(prompt)
            case Undo():
                past.undo(prompt)
            case Redo():
                past.redo(prompt)
            case Keep():
                past.keep(prompt)
            case Release():
                past.release()
            case Text():
                raise EngineError(
                    "UNSUPPORTED", f"{self.model.name} does not read words; click, draw a box or a mask"
                )
            case _:
                past.place(prompt)

    def _newborn(self, step: Step, object_id: int) -> Lane:
        """A lane on the step's frame for an object that is new."""
        self._serial += 1
        return self._lane(object_id, step.frame.index, step.features, Story(self._serial), None)

    def _replayed(self, step: Step, replay: Replay) -> Lane:
        moment = self._history.at(replay.next)
        features = moment.features if moment else step.features
        return self._lane(replay.object_id, replay.next, features, replay.story, replay.held)

    def _lane(self, object_id: int, frame: int, features: Features, story: Story, held: Held | None) -> Lane:
        if held is not None:
            return Lane(object_id, frame, features, held.memory, held.seen, story)
        lane = Lane(object_id, frame, features, Memory(self._limits), frame, story, first=True)
        lane.conditioned = self.model.stages.unremembered(features)
        return lane

    def _tensors(self) -> Iterator[torch.Tensor]:
        for track in self._tracks.values():
            yield from track.tensors()
        for replay in self._replays.values():
            yield from replay.tensors()
        for gone in self._gone.values():
            yield from gone.tensors()
        yield from self._history.tensors()
