"""Which frames were processed lately, to be found by the number or the timestamp that a person saw. Pure."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from engine.types import Frame
from stream.timeline import RTP_RATE

KEPT = 2048  # a minute and more, as long as a frame can be kept (docs/protocol.md section 5.4)


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

    @property
    def newest(self) -> Entry | None:
        return self._seen[-1] if self._seen else None

    def age(self, rtp_timestamp: int) -> float:
        """Seconds by which a timestamp is older than the newest frame's; negative if it is newer."""
        newest = self._seen[-1].rtp_timestamp if self._seen else None
        ticks = ((newest or 0) - rtp_timestamp + 2**31) % 2**32 - 2**31
        return ticks / RTP_RATE

    @property
    def reach(self) -> float:
        """Seconds from the oldest frame that is known to the newest."""
        oldest = self._seen[0].rtp_timestamp if self._seen else None
        return 0.0 if oldest is None else self.age(oldest)

    def find(self, rtp_timestamp: int | None, frame_index: int | None) -> Entry | None:
        """The frame by `rtp_timestamp` if that is given, else by `frame_index`; None when it is not known."""
        if rtp_timestamp is not None:
            return next(
                (entry for entry in reversed(self._seen) if entry.rtp_timestamp == rtp_timestamp), None
            )
        return next((entry for entry in reversed(self._seen) if entry.index == frame_index), None)
