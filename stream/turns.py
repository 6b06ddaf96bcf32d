"""From waiting messages to the prompts of one step, and from its masks to their answers.

docs/protocol.md sections 5.4 and 7.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from engine.types import EngineError, Frame, MaskSet, Prompt
from stream.framelog import FrameLog
from stream.inbox import Waiting
from stream.replies import Ack
from stream.wire import WireError


@dataclass(frozen=True, slots=True, eq=False)
class Turn:
    """A message that takes part in the coming step, and the number of the frame its person saw, if known."""

    waiting: Waiting
    prompts: tuple[Prompt, ...]
    seen: int | None

    def rejected(self, masks: MaskSet) -> tuple[tuple[Prompt, EngineError], ...]:
        """Those of this turn's prompts that the engine refused."""
        own = {id(prompt) for prompt in self.prompts}
        return tuple((prompt, error) for prompt, error in masks.rejected if id(prompt) in own)

    def refused(self, masks: MaskSet) -> bool:
        """Whether nothing of this turn was done."""
        return bool(self.prompts) and len(self.rejected(masks)) == len(self.prompts)

    def answer(self, frame: Frame, masks: MaskSet, timings: Mapping[str, float]) -> None:
        """Answer the message: `masks` of `frame` are the first that show its effect."""
        rejected = self.rejected(masks)
        if self.refused(masks):
            _, error = rejected[0]
            self.waiting.refuse(error.code, str(error))
            return
        message = self.waiting.message
        named = message.rtp_timestamp is not None or bool(message.frame_indexes)
        self.waiting.accept(
            Ack(
                request_id=message.request_id,
                frame_index=frame.index,
                rtp_timestamp=frame.rtp_timestamp,
                seen_frame_index=self.seen,
                reanchored=named and self.seen != frame.index,
                object_ids=tuple(found.object_id for found in masks.objects),
                rejected=rejected,
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
    seen = log.find(message.rtp_timestamp, message.frame_index)
    size = seen or frame
    prompts = message.engine_prompts(size.width, size.height, seen.index if seen else None)
    present.clear()
    present.update(kept - set(message.remove), message.object_ids)
    return Turn(waiting, prompts, seen.index if seen else None)
