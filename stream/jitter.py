"""A picture is handed to the decoder when its last packet has come, not when the next picture begins.

aiortc's jitter buffer ignores the RTP marker bit and waits for the first packet with another timestamp: one
frame interval, 33 ms at 30 fps, at every receiver. The marker is on the last packet of a frame in both
payload formats that we speak (RFC 6184 section 5.1, RFC 7741 section 4.1).
"""

from __future__ import annotations

from aiortc import RTCRtpReceiver
from aiortc.jitterbuffer import JitterBuffer, JitterFrame
from aiortc.rtp import RtpPacket

CAPACITY = 512  # packets, as aiortc's own for video


class MarkerJitterBuffer(JitterBuffer):
    """Releases a frame at its marker; a sender that sets none is served as by `JitterBuffer`."""

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
        CAPACITY, is_video=True
    )
