"""The messages that the server sends, as maps. Pure; docs/protocol.md sections 7 and 8."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from engine.types import EngineError, Frame, MaskSet, ObjectMask, Prompt
from stream.framelog import Entry
from stream.prompt_message import BOXES, POINTS
from stream.wire import MASK_MESSAGE_BYTES, MESSAGE_BYTES, Message, RequestId

PROTOCOL = 1


@dataclass(frozen=True, slots=True)
class Ack:
    """What became of a prompt message.

    Attributes:
        frame_index, rtp_timestamp: of the first frame that shows its effect.
        seen_frame_index: the frame that the message named, None where it named none or it is not known.
        applied_frame_index: the frame that it was carried out on.
        reanchored: not on the frame that it named.
        object_ids: every object after the step, ascending.
        rejected: parts that the engine refused.
        timings: seconds by stage, "total" from the receipt to the masked frame.
    """

    request_id: RequestId
    frame_index: int
    rtp_timestamp: int | None
    seen_frame_index: int | None
    applied_frame_index: int
    reanchored: bool
    object_ids: tuple[int, ...]
    rejected: tuple[tuple[Prompt, EngineError], ...] = ()
    timings: Mapping[str, float] = field(default_factory=dict)

    def message(self) -> Message:
        return {
            "type": "ack",
            "request_id": self.request_id,
            "frame_index": self.frame_index,
            "rtp_timestamp": self.rtp_timestamp,
            "seen_frame_index": self.seen_frame_index,
            "applied_frame_index": self.applied_frame_index,
            "reanchored": self.reanchored,
            "object_ids": list(self.object_ids),
            "rejected": _refusals(self.rejected),
        }

    def timings_message(self) -> Message:
        """fal's `x-fal-message`, to be sent as JSON text."""
        stages = {name: round(seconds, 4) for name, seconds in self.timings.items() if name != "total"}
        return {
            "type": "x-fal-message",
            "action": "timings",
            "timing": round(self.timings.get("total", 0.0), 4),
            "request_id": self.request_id,
            "timings": stages,
        }


def ready(session_id: str, encoding: str) -> Message:
    limits = {
        "message_bytes": MESSAGE_BYTES,
        "mask_message_bytes": MASK_MESSAGE_BYTES,
        "points": POINTS,
        "boxes": BOXES,
    }
    return {
        "type": "ready",
        "protocol": PROTOCOL,
        "session_id": session_id,
        "encoding": encoding,
        "limits": limits,
    }


def result(frame: Frame, masks: MaskSet, rles: Sequence[Message] | None) -> Message:
    """The result of one frame; `rles` are the objects' run lengths in their order, None to leave them out."""
    return {
        "type": "result",
        "frame_index": frame.index,
        "rtp_timestamp": frame.rtp_timestamp,
        "pts": None if frame.pts is None else round(frame.pts, 4),
        "capture_time": None if frame.capture_time is None else round(frame.capture_time, 4),
        "width": frame.width,
        "height": frame.height,
        "objects": _objects(masks, rles),
    }


def preview(request_id: RequestId, seen: Entry, masks: MaskSet, rles: Sequence[Message]) -> Message:
    """What a prompt message would show on the frame that it names; `rles` as `result`'s."""
    return {
        "type": "preview",
        "request_id": request_id,
        "frame_index": seen.index,
        "rtp_timestamp": seen.rtp_timestamp,
        "width": seen.width,
        "height": seen.height,
        "objects": _objects(masks, rles),
        "rejected": _refusals(masks.rejected),
    }


def without_rle(message: Message) -> Message:
    """`message`, a result, with its run lengths left out and that said."""
    objects = [
        {name: value for name, value in found.items() if name != "rle"} for found in message["objects"]
    ]
    return {**message, "objects": objects, "rle_omitted": True}


def stats(snapshot: Mapping[str, object]) -> Message:
    return {"type": "stats", **snapshot}


def ping(number: int) -> Message:
    return {"type": "ping", "id": number, "time": time.time()}


def pong(identifier: object) -> Message:
    return {"type": "pong", "id": identifier, "time": time.time()}


def bye(reason: str) -> Message:
    return {"type": "bye", "reason": reason}


def _refusals(rejected: Sequence[tuple[Prompt, EngineError]]) -> list[Message]:
    return [
        {"object_id": getattr(prompt, "object_id", None), "error": error.code, "reason": str(error)}
        for prompt, error in rejected
    ]


def _objects(masks: MaskSet, rles: Sequence[Message] | None) -> list[Message]:
    objects = [_object(found) for found in masks.objects]
    if rles is None:
        return objects
    return [{**found, "rle": rle} for found, rle in zip(objects, rles, strict=True)]


def _object(found: ObjectMask) -> Message:
    return {
        "object_id": found.object_id,
        "score": round(found.score, 4),
        "state": str(found.state),
        "box": None if found.box is None else [round(value, 5) for value in found.box],
    }
