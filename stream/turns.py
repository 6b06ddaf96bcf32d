"""From waiting messages to the prompts of one step, and from the masks of steps to their answers.

docs/protocol.md sections 5.4 and 7.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from engine.types import EngineError, Frame, MaskSet, Placed, Prompt
from stream.framelog import Entry, FrameLog
from stream.inbox import Waiting
from stream.prompt_message import PromptMessage
from stream.replies import Ack
from stream.wire import WireError


@dataclass(slots=True, eq=False)
class Turn:
    """A message from the step that takes it to the one whose masks show all of its effect.

    Attributes:
        seen: number of the frame its person saw, if known.
        taken: number of the frame it was taken with.
        began_at: when that frame's step began, monotonic seconds.
        reanchored: it is not carried out on the frame that it named.
    """

    waiting: Waiting
    prompts: tuple[Prompt, ...]
    seen: int | None
    taken: int
    reanchored: bool
    began_at: float = 0.0
    rejected: list[tuple[Prompt, EngineError]] = field(default_factory=list)

    def settled(self, masks: MaskSet) -> bool:
        """Take in what a step has done of it; whether nothing is still to come."""
        own = {id(prompt) for prompt in self.prompts}
        self.rejected += [refusal for refusal in masks.rejected if id(refusal[0]) in own]
        self.reanchored = self.reanchored or any(id(prompt) in own for prompt in masks.reanchored)
        return not any(id(prompt) in own for prompt in masks.pending)

    @property
    def refused(self) -> bool:
        """Whether nothing of it was done."""
        return bool(self.prompts) and len(self.rejected) >= len(self.prompts)

    def answer(self, frame: Frame, masks: MaskSet, timings: Mapping[str, float]) -> None:
        """Answer the message: `masks` of `frame` are the first that show its effect."""
        if self.refused:
            _, error = self.rejected[0]
            self.waiting.refuse(error.code, str(error))
            return
        exact = self.seen is not None and not self.reanchored
        self.waiting.accept(
            Ack(
                request_id=self.waiting.message.request_id,
                frame_index=frame.index,
                rtp_timestamp=frame.rtp_timestamp,
                seen_frame_index=self.seen,
                applied_frame_index=self.seen if exact and self.seen is not None else self.taken,
                reanchored=self.reanchored,
                object_ids=tuple(found.object_id for found in masks.objects),
                rejected=tuple(self.rejected),
                timings=timings,
            )
        )


def admit(batch: Iterable[Waiting], frame: Frame, known: Collection[int], log: FrameLog) -> list[Turn]:
    """The turns of the messages that may act on `frame`; the others are refused whole and change nothing.

    Args:
        batch: in order of arrival.
        frame: what the coming step will process.
        known: ids of the objects there are now.
        log: recent frames, `frame` included.
    """
    present = set(known)
    turns = []
    for waiting in batch:
        try:
            turns.append(_turn(waiting, frame, present, log))
        except WireError as error:
            waiting.refuse(error.code, error.reason)
    return turns


def seen_by(message: PromptMessage, log: FrameLog) -> Entry | None:
    """The frame that the message's person saw; None if it names none, or one so old that nobody knows it.

    Raises:
        WireError: FRAME_EXPIRED, OUT_OF_RANGE for a timestamp that no frame has.
    """
    seen = log.find(message.rtp_timestamp, message.frame_index)
    if seen is not None or message.rtp_timestamp is None or not message.sees:
        return seen
    age = log.age(message.rtp_timestamp)
    if age <= log.reach:
        raise WireError("OUT_OF_RANGE", f"rtp_timestamp: no frame has {message.rtp_timestamp}")
    if message.reanchor:
        return None
    reason = f"rtp_timestamp: that frame is {age:.1f} s old, the oldest that is known {log.reach:.1f} s"
    raise WireError("FRAME_EXPIRED", reason)


def prompts_of(message: PromptMessage, seen: Entry | None, frame: Frame | Entry) -> tuple[Prompt, ...]:
    """What the engine is to do for a message.

    Raises:
        WireError: OUT_OF_RANGE for a coordinate outside the picture.
    """
    size = seen or frame
    named = message.frame_index if message.rtp_timestamp is None else None
    return message.engine_prompts(size.width, size.height, seen.index if seen else named)


def _turn(waiting: Waiting, frame: Frame, present: set[int], log: FrameLog) -> Turn:
    message = waiting.message
    newest = max(message.frame_indexes, default=0)
    if newest > frame.index:
        raise WireError("OUT_OF_RANGE", f"frame_index: expected at most {frame.index}, got {newest}")
    kept = set() if message.reset else set(present)
    unknown = set(message.remove) - kept
    if unknown:
        reason = f"remove: expected ids among {sorted(kept)}, got {sorted(unknown)}"
        raise WireError("UNKNOWN_OBJECT", reason)
    seen = seen_by(message, log)
    prompts = prompts_of(message, seen, frame)
    present.clear()
    present.update(kept - set(message.remove), message.object_ids)
    lost = message.rtp_timestamp is not None and seen is None and message.sees
    frames = {prompt.frame_index for prompt in prompts if isinstance(prompt, Placed)}
    if seen is None and len(frames) == 1:
        seen = log.find(None, frames.pop())
    return Turn(waiting, prompts, seen.index if seen else None, frame.index, reanchored=lost)
