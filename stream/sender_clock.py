"""When was this picture captured, by the clock of the machine that sent it?

RTCP sender reports (RFC 3550 section 6.4.1) pair the RTP clock of a stream with the sender's wall clock; the
RTP timestamp of a picture is that of its capture. aiortc tells neither, so this file looks into its receiver.
"""

from __future__ import annotations

from collections import deque
from statistics import median

import av
from aiortc import RTCRtpReceiver
from aiortc.rtp import AnyRtcpPacket, RtcpSrPacket

from stream.timeline import RTP_MODULUS, RTP_RATE, distance

# Seconds from the NTP epoch (1900) to the Unix epoch (1970).
NTP_TO_UNIX = 2_208_988_800
# Each report is right to a millisecond, the grain of the sender's clocks; the median of these is better.
KEPT = 16


class SenderClock:
    """The reports of one stream. Pure."""

    def __init__(self) -> None:
        self._reports: deque[tuple[float, int]] = deque(maxlen=KEPT)

    def add(self, ntp_timestamp: int, rtp_timestamp: int) -> None:
        """One report: 32.32 bits of seconds since 1900, and the RTP timestamp of the same moment."""
        self._reports.append((ntp_timestamp / 2**32 - NTP_TO_UNIX, rtp_timestamp))

    def time(self, rtp_timestamp: int) -> float | None:
        """Unix seconds of an RTP timestamp, None before the first report."""
        if not self._reports:
            return None
        return median(unix + distance(since, rtp_timestamp) / RTP_RATE for unix, since in self._reports)


def clock_of(receiver: RTCRtpReceiver) -> SenderClock:
    """The clock of what a receiver that has not started yet will receive."""
    clock = SenderClock()
    handle = receiver._handle_rtcp_packet

    async def listen(packet: AnyRtcpPacket) -> None:
        if isinstance(packet, RtcpSrPacket):
            clock.add(packet.sender_info.ntp_timestamp, packet.sender_info.rtp_timestamp)
        await handle(packet)

    receiver._handle_rtcp_packet = listen  # type: ignore[method-assign]
    return clock


def rtp_timestamp_of(receiver: RTCRtpReceiver, video: av.VideoFrame) -> int:
    """The RTP timestamp under which a received picture was sent.

    aiortc counts a picture's pts from the first one, and keeps that one's timestamp to itself.
    """
    mapper = receiver._RTCRtpReceiver__timestamp_mapper  # type: ignore[attr-defined]
    assert video.pts is not None
    return int(mapper._origin + video.pts) % RTP_MODULUS
