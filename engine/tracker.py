"""One stream's objects: a picture and prompts in, the mask of every object out.

    tracker = Tracker(load_model())
    tracker.step(Frame(0, picture), [Points(1, (Point(0.4, 0.6),))])
    tracker.step(Frame(1, next_picture)).objects[0].mask

Knows objects by the caller's ids; knows no session, no thread and no other tracker. The batched work is in
`lanes.py`, what an object remembers in `memory.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch

from engine import lanes, prompts
from engine.dense import dense_prompt
from engine.lanes import Lane, Step
from engine.masks import mask_box
from engine.memory import Limits, Memory
from engine.models import Model
from engine.stages import Clicks, Decoded, Features
from engine.types import (
    Box,
    EngineError,
    Frame,
    Mask,
    MaskSet,
    ObjectMask,
    ObjectState,
    Points,
    Prompt,
    Remove,
    Reset,
    Text,
)

PATIENCE = 60  # frames an object may be absent before it is lost: two seconds at 30 fps
PRIOR_CLAMP = 32.0  # of earlier logits given back as a mask prompt; SAM2VideoPredictor.add_new_points_or_box


@dataclass(frozen=True, slots=True, eq=False)
class Track:
    """One object between two steps; immutable, so a snapshot is a reference.

    Attributes:
        answer: the decoder's newest answer, one lane.
        seen: the last frame the object was visible on.
    """

    memory: Memory
    answer: Decoded
    seen: int


class Tracker:
    """The objects of one stream.

    Args:
        model: shared with any number of trackers.
        max_cond_frames: prompted frames each object keeps, at least 2.
        pin_first: the first prompted frame is always kept; False keeps the newest ones only, as the official
            predictor does with `max_cond_frames_in_attn`.
        max_objects: more are refused.
        patience: frames an object may be absent before its state is lost.
    """

    def __init__(
        self,
        model: Model,
        *,
        max_cond_frames: int = 4,
        pin_first: bool = True,
        max_objects: int = 16,
        patience: int = PATIENCE,
    ) -> None:
        self.model = model
        net = model.net
        self._limits = Limits(
            net.num_maskmem - 1, net.max_obj_ptrs_in_encoder - 1, max_cond_frames, pin_first
        )
        self._max_objects = max_objects
        self._patience = patience
        self._tracks: dict[int, Track] = {}
        self._newest = -1

    @property
    def object_ids(self) -> tuple[int, ...]:
        return tuple(sorted(self._tracks))

    @property
    def tracks(self) -> Mapping[int, Track]:
        """What is known of each object after the last step."""
        return self._tracks

    def nbytes(self) -> int:
        """Bytes of tensors that the objects hold between steps; the model is not counted."""
        held = {t.data_ptr(): t.nbytes for track in self._tracks.values() for t in _tensors(track)}
        return sum(held.values())

    def step(self, frame: Frame, prompts: Sequence[Prompt] = ()) -> MaskSet:
        """Follow every object onto `frame`, then carry out the prompts, in order.

        A prompt on an object that is followed corrects it, and the frame becomes one it always remembers.
        A prompt that cannot be carried out is reported in `MaskSet.rejected`; the others are carried out.

        Args:
            frame: its index must be greater than the last one's.

        Raises:
            EngineError: BAD_FRAME; nothing has changed then.
        """
        (result,) = lanes.step_many(self.model, [(self, frame, prompts)])
        if isinstance(result, Exception):
            raise result
        return result

    # The parts of a step, called by `lanes.step_many`; only `commit` changes anything.

    def accept(self, frame: Frame) -> Frame:
        """The frame, if it may come now."""
        if frame.index <= self._newest:
            raise EngineError("BAD_FRAME", f"expected a frame index above {self._newest}, got {frame.index}")
        return frame

    def begin(self, frame: Frame, features: Features) -> Step:
        """A lane for every object."""
        return Step(
            frame,
            features,
            {i: Lane(i, frame.index, features, t.memory, t.seen) for i, t in self._tracks.items()},
        )

    def prompt(self, step: Step, prompts: Sequence[Prompt]) -> None:
        """Carry out the prompts on the step's lanes, which have been followed onto the frame."""
        for prompt in prompts:
            try:
                self._apply(step, prompt)
            except EngineError as error:
                step.rejected.append((prompt, error))

    def show(self, step: Step) -> tuple[ObjectMask, ...]:
        """The masks at the size of the picture, ascending by object."""
        ordered = [step.lanes[i] for i in sorted(step.lanes)]
        if not ordered:
            return ()
        answers = Decoded.batch([lane.answer for lane in ordered])
        masks = self.model.stages.masks(answers, step.frame.height, step.frame.width).cpu().numpy()
        logits = answers.score.float().cpu()
        shown = []
        for lane, mask, logit, score in zip(ordered, masks, logits, logits.sigmoid(), strict=True):
            box = mask_box(mask)
            if float(logit) > 0 and box is not None:
                lane.seen = lane.frame
            shown.append(ObjectMask(lane.object_id, mask, float(score), box, self._state(lane)))
        return tuple(shown)

    def commit(self, step: Step, memories: Mapping[int, Memory]) -> None:
        """Take the step's outcome as the new state."""
        self._newest = step.frame.index
        self._tracks = {
            i: Track(memories[id(lane)], lane.answer, lane.seen) for i, lane in step.lanes.items()
        }

    def _state(self, lane: Lane) -> ObjectState:
        absent = lane.frame - lane.seen
        if absent == 0:
            return ObjectState.TRACKING
        return ObjectState.OCCLUDED if absent <= self._patience else ObjectState.LOST

    def _apply(self, step: Step, prompt: Prompt) -> None:
        match prompt:
            case Reset():
                step.lanes.clear()
            case Remove(object_id=object_id):
                if step.lanes.pop(object_id, None) is None:
                    raise EngineError("UNKNOWN_OBJECT", f"there is no object {object_id} to remove")
            case Text():
                raise EngineError(
                    "UNSUPPORTED", f"{self.model.name} does not read words; click, draw a box or a mask"
                )
            case Mask():
                self._adopt(self._lane(step, prompt), prompt)
            case Points() | Box():
                self._click(self._lane(step, prompt), prompt)

    def _lane(self, step: Step, prompt: Points | Box | Mask) -> Lane:
        """The lane of the prompt's object; a new one when the object is new."""
        lane = step.lanes.get(prompt.object_id)
        prompts.check(prompt, new=lane is None)
        if lane is None:
            if len(step.lanes) >= self._max_objects:
                raise EngineError("TOO_MANY_OBJECTS", f"at most {self._max_objects} objects can be followed")
            memory = Memory(self._limits)
            index = step.frame.index
            lane = Lane(prompt.object_id, index, step.features, memory, seen=index, first=True)
            lane.conditioned = self.model.stages.unremembered(step.features)
            step.lanes[prompt.object_id] = lane
        return lane

    def _click(self, lane: Lane, prompt: Points | Box) -> None:
        points = prompts.labelled(prompt)
        if isinstance(prompt, Points) and not prompt.replace:
            points = (*lane.points, *points)
        if len(points) > prompts.MAX_POINTS:
            raise EngineError(
                "BAD_PROMPT", f"expected at most {prompts.MAX_POINTS} points on a frame, got {len(points)}"
            )
        clicks = prompts.clicks(points, self.model.image_size, self.model.device)
        assert lane.conditioned is not None
        lane.decoded = self.model.stages.decode(
            lane.conditioned, [lane.features], clicks, self._prior(lane, clicks), lane.first
        )
        lane.points, lane.prompted = points, True

    def _prior(self, lane: Lane, clicks: Clicks) -> torch.Tensor | None:
        """The mask prompt that goes with clicks: what was last decoded, or the clicks drawn."""
        if lane.decoded is not None:
            return lane.decoded.filled.clamp(-PRIOR_CLAMP, PRIOR_CLAMP)
        if not self.model.preset.dense_prompts:
            return None
        size = self.model.net.sam_prompt_encoder.mask_input_size[0]
        return dense_prompt(clicks.coords[0] / self.model.image_size, clicks.labels[0], size)

    def _adopt(self, lane: Lane, prompt: Mask) -> None:
        mask = prompts.mask_input(prompt, self.model.image_size, self.model.device)
        lane.decoded = self.model.stages.adopt(lane.features, mask)
        lane.points, lane.prompted = (), True


def _tensors(track: Track) -> Iterator[torch.Tensor]:
    yield from track.memory.tensors()
    yield from (track.answer.logits, track.answer.filled, track.answer.pointer, track.answer.score)
