"""What a prompt message would show on the frame that it names, told before it is carried out.

docs/protocol.md section 7.
"""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import Protocol, runtime_checkable

from engine.masks import mask_to_rle
from engine.types import Box, MaskSet, Pin, Placed, Points, Prompt, Restart
from stream import replies, wire
from stream.framelog import Entry, FrameLog
from stream.inbox import Waiting
from stream.turns import prompts_of, seen_by
from stream.wire import MESSAGE_BYTES, Message, RequestId, WireError


@runtime_checkable
class Previewer(Protocol):
    """An engine that can tell beforehand what prompts would give."""

    def preview(self, prompts: Sequence[Prompt]) -> Awaitable[MaskSet]:
        """The prompted objects on the one frame that the prompts name."""
        ...


def previewed(waiting: Sequence[Waiting], log: FrameLog) -> tuple[Entry, list[Prompt]] | None:
    """The frame that the last message speaks of, and its prompts there; None where there is nothing to show.

    They come after those of messages that wait before it and are about the same objects on that frame.
    """
    if not waiting:
        return None
    *before, last = waiting
    seen, prompts = _of(last, log)
    if seen is None or not prompts:
        return None
    objects = {prompt.object_id for prompt in prompts}
    earlier = [p for each in before for p in _of(each, log)[1]]
    same = [p for p in earlier if p.object_id in objects and p.frame_index == prompts[0].frame_index]
    return seen, [*same, *prompts]


def message(request_id: RequestId, seen: Entry, masks: MaskSet) -> Message:
    """The `preview` message, without run lengths where it would be too long with them."""
    rles = [dict(mask_to_rle(found.mask)) for found in masks.objects]
    made = replies.preview(request_id, seen, masks, rles)
    if len(wire.encode(made, binary=False)) > MESSAGE_BYTES:
        return replies.without_rle(made)
    return made


def _of(waiting: Waiting, log: FrameLog) -> tuple[Entry | None, list[Placed]]:
    """The frame a message speaks of, the newest if it names none, and what it does there; a mask is known."""
    newest = log.newest
    if newest is None:
        return None, []
    try:
        made = prompts_of(waiting.message, seen_by(waiting.message, log), newest)
    except WireError:  # its own answer says so
        return None, []
    prompts: list[Placed] = [p for p in made if isinstance(p, Points | Box | Pin | Restart)]
    named = prompts[0].frame_index if prompts else None
    return (newest if named is None else log.find(None, named)), prompts
