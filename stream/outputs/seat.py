"""One viewer's place at a broadcast, as the track that aiortc sends from."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import TYPE_CHECKING, Protocol

from aiortc import MediaStreamTrack
from aiortc.mediastreams import MediaStreamError

if TYPE_CHECKING:
    from stream.encoders import VideoPacket

WAITING = 8
# A viewer that cannot go on without a key frame so many times in so many seconds is in trouble; complaints
# closer than the third are one.
COMPLAINTS, COMPLAINT_SECONDS, ONE_COMPLAINT = 4, 10.0, 0.3


class Serving(Protocol):
    """What a seat needs of its broadcast."""

    def request_key(self, seat: Seat) -> None: ...
    def rebalance(self, seat: Seat) -> None: ...
    def leave(self, seat: Seat) -> None: ...


class Seat(MediaStreamTrack):
    """Coded pictures for one viewer, from a key frame on, without gaps.

    A coded picture is worth nothing without those before it: when WAITING of them have not been sent the
    seat drops them all and goes on with the next key frame.

    Attributes:
        watching: whether the connection has begun to send.
        estimated: bits per second that the other end says it can take.
        dropped: coded pictures that were not sent.
    """

    kind = "video"

    def __init__(self) -> None:
        super().__init__()
        self.codec = ""
        self.broadcast: Serving | None = None
        self.watching = False
        self.estimated: int | None = None
        self.dropped = 0
        self._packets: deque[VideoPacket] = deque()
        self._needs_key = True
        self._complained_at: deque[float] = deque(maxlen=COMPLAINTS)
        self._arrived = asyncio.Event()

    @property
    def troubled(self) -> bool:
        """Whether it asks for key frames so often that those beside it would suffer from them."""
        complained = self._complained_at
        return len(complained) == COMPLAINTS and time.monotonic() - complained[0] < COMPLAINT_SECONDS

    def begin(self) -> None:
        """Start over: nothing is sent before the next key frame."""
        self._packets.clear()
        self._needs_key = True
        if self.watching:
            self.request_key()

    def offer(self, packet: VideoPacket) -> None:
        """Take the next coded picture of the encoding that serves this seat."""
        if not self.watching or (self._needs_key and not packet.is_keyframe):
            return
        if len(self._packets) >= WAITING:
            self.dropped += len(self._packets) + 1
            self.begin()
            return
        self._needs_key = False
        self._packets.append(packet)
        self._arrived.set()

    def request_key(self) -> None:
        now = time.monotonic()
        if not self._complained_at or now - self._complained_at[-1] >= ONE_COMPLAINT:
            self._complained_at.append(now)
        if self.broadcast is not None:
            self.broadcast.request_key(self)

    def estimate(self, bitrate: int) -> None:
        self.estimated = bitrate
        if self.broadcast is not None:
            self.broadcast.rebalance(self)

    def stop(self) -> None:
        super().stop()
        self._arrived.set()
        broadcast, self.broadcast = self.broadcast, None
        if broadcast is not None:
            broadcast.leave(self)

    async def recv(self) -> VideoPacket:
        """The next coded picture, its pts the RTP timestamp.

        Raises:
            MediaStreamError: the seat was left.
        """
        if not self.watching:
            self.watching = True
            self.request_key()
        while not self._packets:
            if self.readyState != "live":
                raise MediaStreamError
            self._arrived.clear()
            await self._arrived.wait()
        return self._packets.popleft()
