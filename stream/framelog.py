"""Which frames were processed lately, to be found by the number or the timestamp that a person saw. Pure."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from engine.types import Frame

KEPT = 300


@dataclass(frozen=True, slots=True)
class Entry:
    """One processed frame."""

    index: int
    rtp_timestamp: int | None
    width: int
    height: int


class FrameLog:
    """The last KEPT frames without their pictures: index, RTP timestamp and size.

    A timestamp matches a frame exactly or not at all.
    """

    def __init__(self) -> None:
        self._seen: deque[Entry] = deque(maxlen=KEPT)

    def add(self, frame: Frame) -> None:
        self._seen.append(Entry(frame.index, frame.rtp_timestamp, frame.width, frame.height))

    def find(self, rtp_timestamp: int | None, frame_index: int | None) -> Entry | None:
        """The frame by `rtp_timestamp` if that is given, else by `frame_index`; None when it is not known."""
        if rtp_timestamp is not None:
            return next(
                (entry for entry in reversed(self._seen) if entry.rtp_timestamp == rtp_timestamp), None
            )
        return next((entry for entry in reversed(self._seen) if entry.index == frame_index), None)
