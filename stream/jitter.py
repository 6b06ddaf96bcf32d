"""A picture goes to the decoder when its last packet has come; what will not come any more is not waited for.

aiortc's jitter buffer ignores the RTP marker bit and waits for the first packet with another timestamp: one
frame interval, 33 ms at 30 fps, at every receiver. The marker is on the last packet of a frame in both
payload formats that we speak (RFC 6184 section 5.1, RFC 7741 section 4.1). It also holds back all that
comes after a missing packet until its capacity is used up, 512 packets, for which a quiet picture takes 17
seconds; and with a packet that fills a hole it gives out one picture of all that have waited behind it.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable

from aiortc import RTCRtpReceiver
from aiortc.jitterbuffer import JitterBuffer, JitterFrame
from aiortc.rtp import RTP_HISTORY_SIZE, RtpPacket

from stream.timeline import distance

SEQUENCE_MODULUS = 1 << 16
CAPACITY = 512  # packets, as aiortc's own for video
# What is missing is asked for at once (RFC 4585 section 6.2.1); over 200 ms each way it is here after 0.4 s.
MISSING_SECONDS = 0.6
KEY_AGAIN_SECONDS = 0.5  # a request for a key frame may be lost
KEY_SECONDS = 2.0  # for senders that heed none: a damaged picture is better than none for long
# Further behind, or for longer, it is not a packet that comes late but a sender that counts anew.
LATE_PACKETS = 3000
LATE_IN_A_ROW = 256

# The start code of a VP8 key frame (RFC 6386 section 9.1); an IDR slice or parameter set of H264 in Annex B.
KEY_FRAME = re.compile(rb"^...\x9d\x01\x2a|\x00\x00\x01[\x05\x07\x25\x27\x45\x47\x65\x67]", re.DOTALL)


class MarkerJitterBuffer(JitterBuffer):
    """Releases a frame at its marker; a sender that sets none is served as by `JitterBuffer`.

    What is missing for MISSING_SECONDS, or is older than senders remember, is given up: a key frame is asked
    for, and no frame released until one comes, or KEY_SECONDS have passed.

    Args:
        ahead: takes the frames, oldest first, that have become whole together with the one `add` gives.
    """

    def __init__(
        self,
        capacity: int,
        ahead: Callable[[RtpPacket, JitterFrame], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(capacity, is_video=True)
        self._ahead = ahead
        self._clock = clock
        self._arrived = [0.0] * capacity
        self._newest = 0
        self._late = 0  # packets in a row that came too late
        self._lost_at: float | None = None  # a frame; no key frame has come since
        self._asked_at = 0.0

    def add(self, packet: RtpPacket) -> tuple[bool, JitterFrame | None]:
        """Whether a key frame is to be asked for, and a frame that is to be decoded."""
        now = self._clock()
        if not self._take(packet, now):
            return False, None
        frames: list[JitterFrame] = []
        while True:
            frame = self._remove_frame(packet.sequence_number)
            if frame is not None:
                frames += [frame] if self._decodable(frame, now) else []
            elif self._skip_hole(now):
                self._lose(now)
            else:
                break
        for frame in frames[:-1]:
            self._ahead(packet, frame)
        ask = self._lost_at is not None and now - self._asked_at >= KEY_AGAIN_SECONDS
        if ask:
            self._asked_at = now
        return ask, frames[-1] if frames else None

    def _take(self, packet: RtpPacket, now: float) -> bool:
        """Put a packet in its place, making room for it; False when it comes too late."""
        number = packet.sequence_number
        if self._origin is None:
            self._origin = self._newest = number
        behind = distance(number, self._origin, SEQUENCE_MODULUS)
        if 0 < behind < LATE_PACKETS and self._late < LATE_IN_A_ROW:
            self._late += 1
            return False
        self._late = 0
        if behind > 0:
            self.remove(self.capacity)
            self._origin = self._newest = number
            self._lose(now)
        excess = distance(self._origin, number, SEQUENCE_MODULUS) - self.capacity + 1
        if excess > 0:
            if self.smart_remove(excess):
                self._origin = number
            self._lose(now)
        if distance(self._newest, number, SEQUENCE_MODULUS) > 0:
            self._newest = number
        self._packets[number % self.capacity] = packet
        self._arrived[number % self.capacity] = now
        return True

    def _skip_hole(self, now: float) -> bool:
        """Leave out the first hole and the part of a frame before it, if it will not be filled any more."""
        assert self._origin is not None
        held = distance(self._origin, self._newest, SEQUENCE_MODULUS) + 1
        places = [(self._origin + count) % self.capacity for count in range(held)]
        hole = next((n for n, place in enumerate(places) if self._packets[place] is None), held)
        after = next((n for n in range(hole, held) if self._packets[places[n]] is not None), None)
        if after is None:
            return False
        forgotten = held - hole > RTP_HISTORY_SIZE
        if not forgotten and now - self._arrived[places[after]] < MISSING_SECONDS:
            return False
        self.remove(after)
        return True

    def _lose(self, now: float) -> None:
        """Something is missing in what comes next."""
        if self._lost_at is None:
            self._lost_at, self._asked_at = now, now - KEY_AGAIN_SECONDS

    def _decodable(self, frame: JitterFrame, now: float) -> bool:
        if self._lost_at is not None and (KEY_FRAME.search(frame.data) or now - self._lost_at >= KEY_SECONDS):
            self._lost_at = None
        return self._lost_at is None

    def _remove_frame(self, sequence_number: int) -> JitterFrame | None:
        packets: list[RtpPacket] = []
        assert self._origin is not None  # set by the packet that was just added
        for count in range(self.capacity):
            packet = self._packets[(self._origin + count) % self.capacity]
            if packet is None:
                return None
            if packets and packet.timestamp != packets[0].timestamp:
                break
            packets.append(packet)
            if packet.marker:
                break
        # `_data` is the payload without its descriptor; the receiver puts it there before `add`.
        data = b"".join(packet._data for packet in packets)  # type: ignore[attr-defined]
        frame = JitterFrame(data, packets[0].timestamp)
        self.remove(len(packets))
        return frame


def release_at_marker(receiver: RTCRtpReceiver) -> None:
    """Give a video receiver that has not started yet this buffer instead of aiortc's."""
    receiver._RTCRtpReceiver__jitter_buffer = MarkerJitterBuffer(  # type: ignore[attr-defined]
        CAPACITY, lambda packet, frame: _decode(receiver, packet, frame)
    )


def _decode(receiver: RTCRtpReceiver, packet: RtpPacket, frame: JitterFrame) -> None:
    """What `_handle_rtp_packet` does with the frame that it gets for a packet."""
    inside = vars(receiver)
    frame.timestamp = inside["_RTCRtpReceiver__timestamp_mapper"].map(frame.timestamp)
    codec = inside["_RTCRtpReceiver__codecs"][packet.payload_type]
    inside["_RTCRtpReceiver__decoder_queue"].put((codec, frame))
