"""One RTCPeerConnection that answers an offer, lives, and ends once. docs/protocol.md sections 1 to 3.

All of aiortc's connection handling is here. It knows no session: what flows over it is the caller's.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal

from aiortc import (
    MediaStreamTrack,
    RTCConfiguration,
    RTCDataChannel,
    RTCPeerConnection,
    RTCSessionDescription,
)

from stream import codecs
from stream.certificate import take_either_kind
from stream.jitter import release_at_marker
from stream.network import Reach, advertise, open_ended
from stream.options import check_sdp
from stream.outputs.seat import Seat
from stream.sender_clock import clock_of, rtp_timestamp_of
from stream.sources.webrtc import WebRTCSource
from stream.wire import WireError

CONNECT_SECONDS = 20.0
HEARTBEAT_SECONDS = 1.0
# Nothing heard for the first: silent, which is told, and the place may be taken by somebody else. For the
# second: given up. ICE (RFC 7675) would give up after about 30 s by itself.
SILENT_SECONDS = 4.0
LOST_SECONDS = 15.0
CLOSE_SECONDS = 5.0

ConnectionState = Literal["new", "live", "silent", "closed"]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Parts:
    """What we bring to a connection.

    Attributes:
        agreed: called between offer and answer with the codec agreed on, e.g. "video/vp8".
        seat: what we send; None to receive only.
        codec: the one we prefer, "vp8" or "h264"; None keeps the offer's order.
    """

    agreed: Callable[[str], Awaitable[None]]
    seat: Seat | None = None
    codec: str | None = None


class Connection:
    """The answering side of one WebRTC connection.

    Args:
        label: names it in the log.
        reach: how peers reach us; directly if not given.
        on_channel: called with each data channel that the other side opens; None closes them all.

    Attributes:
        incoming: the other side's first video, once it is known.
        ended: resolved with the reason when the connection is to end, whoever wants it.
    """

    def __init__(
        self,
        label: str,
        reach: Reach | None = None,
        on_channel: Callable[[RTCDataChannel], None] | None = None,
    ) -> None:
        self.incoming: WebRTCSource | None = None
        self.state: ConnectionState = "new"
        self.ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._label = label
        self._connected = asyncio.Event()
        self._reach = reach or Reach()
        self._pc = RTCPeerConnection(RTCConfiguration(iceServers=list(self._reach.ice_servers)))
        self._certificate = take_either_kind(self._pc)
        self._pc.on("track", self._on_track)
        self._pc.on("datachannel", on_channel or RTCDataChannel.close)
        self._pc.on("connectionstatechange", self._on_state)

    @property
    def up(self) -> bool:
        """Whether something can be sent."""
        return bool(self._pc.connectionState == "connected")

    async def answer(self, sdp: str, parts: Parts) -> str:
        """Our SDP answer, with all our candidates, to the offer `sdp`.

        Raises:
            WireError: INVALID_INPUT, TOO_MANY or what `parts.agreed` raises; the connection is closed then.
        """
        try:
            check_sdp(sdp)
            await self._negotiate(sdp, parts)
            await self._pc.setLocalDescription(await self._pc.createAnswer())
            return advertise(str(self._pc.localDescription.sdp), self._reach.advertised)
        except WireError:
            await self._pc.close()
            raise
        except Exception as error:  # aiortc's SDP parser raises whatever it stumbles over
            await self._pc.close()
            log.info("offer refused", exc_info=error)
            raise WireError("INVALID_INPUT", f"sdp: not an offer that we can answer ({error})") from error

    async def _negotiate(self, sdp: str, parts: Parts) -> None:
        wanted = "sendrecv" if parts.seat else "recvonly"
        transceiver = self._pc.addTransceiver(parts.seat or "video", wanted)
        transceiver.setCodecPreferences(codecs.preferred(parts.codec))
        release_at_marker(transceiver.receiver)
        await self._pc.setRemoteDescription(RTCSessionDescription(open_ended(sdp), "offer"))
        for other in self._pc.getTransceivers():
            if other is not transceiver:
                other.direction = "inactive"
        does, can = ("receives", "sendonly") if parts.seat else ("sends", "recvonly")
        if transceiver.mid is None or transceiver._offerDirection not in (can, "sendrecv"):
            raise WireError("INVALID_INPUT", f"sdp: expected a video m-line that {does}")
        agreed = transceiver._codecs[0]
        if parts.seat is not None:
            codecs.use_packer(transceiver.sender, agreed, parts.seat)
        await parts.agreed(str(agreed.mimeType).lower())

    def close(self, reason: str) -> None:
        """Ask for the end; the first reason stands."""
        if not self.ended.done():
            self.ended.set_result(reason)
        self._connected.set()  # nobody is to wait for a connection that will not be

    async def connected(self) -> None:
        """Wait until the connection is up, or will never be."""
        await self._connected.wait()

    async def live(self, beat: Callable[[], None]) -> str:
        """Wait for the end of the connection, give its reason; `beat` is called once a second meanwhile."""
        heart = asyncio.create_task(self._heart(beat))
        heart.add_done_callback(self._on_heart_stopped)
        try:
            return await asyncio.shield(self.ended)
        finally:
            heart.cancel()

    async def leave(self, goodbye: Callable[[], None]) -> None:
        """Close, after saying goodbye where that can be heard."""
        self.state = "closed"
        if self.up:
            goodbye()
            await asyncio.sleep(0.05)  # SCTP sends it in a task of its own
        try:
            await asyncio.wait_for(self._pc.close(), CLOSE_SECONDS)
        except TimeoutError:
            log.warning("%s: the connection did not close within %g s", self._label, CLOSE_SECONDS)

    async def _heart(self, beat: Callable[[], None]) -> None:
        """The connection coming up in time, then once a second a look whether anything still comes."""
        try:
            await asyncio.wait_for(self._connected.wait(), CONNECT_SECONDS)
        except TimeoutError:
            self.close(f"not connected within {CONNECT_SECONDS:g} s")
            return
        self.state = "live"
        received, heard_at = -1, time.monotonic()
        while True:
            await asyncio.sleep(HEARTBEAT_SECONDS)
            now = await self._packets_received()
            if now != received:
                received, heard_at = now, time.monotonic()
            self._judge(time.monotonic() - heard_at)
            beat()

    def _judge(self, silence: float) -> None:
        """Take in for how long nothing has come."""
        if silence >= LOST_SECONDS:
            self.close(f"peer lost: nothing received for {LOST_SECONDS:g} s")
        elif silence >= SILENT_SECONDS and self.state == "live":
            self.state = "silent"
            log.info("%s: silent", self._label)
        elif silence < SILENT_SECONDS and self.state == "silent":
            self.state = "live"
            log.info("%s: back", self._label)

    async def _packets_received(self) -> int:
        """Packets of any kind that came: media, RTCP, or SCTP, which acknowledges our pings by itself."""
        report = await self._pc.getStats()
        return sum(entry.packetsReceived for entry in report.values() if entry.type == "transport")

    def _on_heart_stopped(self, heart: asyncio.Task[None]) -> None:
        if not heart.cancelled() and heart.exception() is not None:
            log.error("%s: heartbeat failed", self._label, exc_info=heart.exception())
            self.close("failed: heartbeat")

    def _on_track(self, track: MediaStreamTrack) -> None:
        if track.kind == "video" and self.incoming is None:
            self.incoming = self._source_of(track)

    def _source_of(self, track: MediaStreamTrack) -> WebRTCSource:
        """Its pictures say when the other side captured them."""
        transceivers = self._pc.getTransceivers()
        receiver = next(each.receiver for each in transceivers if each.receiver.track is track)
        clock = clock_of(receiver)
        return WebRTCSource(track, lambda video: clock.time(rtp_timestamp_of(receiver, video)))

    def _on_state(self) -> None:
        match self._pc.connectionState:
            case "connected":
                self._connected.set()
            case "failed" | "closed" as state:
                why = self._certificate.trouble
                self.close(f"connection {state}: {why}" if why else f"connection {state}")
