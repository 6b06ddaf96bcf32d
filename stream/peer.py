"""One browser: its connection, its two data channels, its track and ours, around one session.

All of aiortc's connection handling is here; docs/protocol.md sections 1 to 3.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Literal

from aiortc import (
    MediaStreamTrack,
    RTCConfiguration,
    RTCDataChannel,
    RTCIceServer,
    RTCPeerConnection,
    RTCSessionDescription,
)
from aiortc.exceptions import InvalidStateError

from stream import codecs, replies, wire
from stream.dialogue import Dialogue
from stream.options import SessionOptions, check_sdp
from stream.outputs.results import ResultsOutput, StateOutput
from stream.outputs.track import MaskedTrack
from stream.session import Session, Step
from stream.sources.source import Source
from stream.sources.synthetic import sample_source
from stream.sources.webrtc import WebRTCSource
from stream.stats import Stats
from stream.wire import Message, WireError

CONNECT_SECONDS = 20.0
HEARTBEAT_SECONDS = 1.0
SILENCE_SECONDS = 4.0
CLOSE_SECONDS = 5.0
# Unsent bytes: beyond these a result is stale before it leaves, and a client that reads no answers is gone.
RESULTS_BUFFER = 128 * 1024
PROMPTS_BUFFER = 1024 * 1024

log = logging.getLogger(__name__)


class Peer:
    """Answers one offer and runs one session until either end is done with it.

    peer = Peer("9f0c", step, options)
    answer = await peer.answer(offer)
    reason = await peer.run()

    Args:
        session_id: told to the client.
        step: the engine, for this session's objects.
        options: what the client asked for.
        ice_servers: for our own candidates; none by default, host candidates suffice for a server.
    """

    def __init__(
        self,
        session_id: str,
        step: Step,
        options: SessionOptions | None = None,
        ice_servers: tuple[RTCIceServer, ...] = (),
    ) -> None:
        self.session_id = session_id
        self.session: Session | None = None
        self._step = step
        self._options = options or SessionOptions()
        self._stats = Stats()
        self._track = MaskedTrack(self._stats)
        self._incoming: MediaStreamTrack | None = None
        self._dialogue: Dialogue | None = None
        self._results: RTCDataChannel | None = None
        self._connected = asyncio.Event()
        self._state: Literal["new", "live", "closed"] = "new"
        self._connection = RTCPeerConnection(RTCConfiguration(iceServers=list(ice_servers)))
        self._connection.on("track", self._on_track)
        self._connection.on("datachannel", self._on_channel)
        self._connection.on("connectionstatechange", self._on_state)

    async def answer(self, sdp: str) -> str:
        """Our SDP answer, with all our candidates, to the offer `sdp`.

        Raises:
            WireError: INVALID_INPUT or TOO_MANY; the connection is closed then.
        """
        try:
            check_sdp(sdp)
            return await self._negotiate(sdp)
        except WireError:
            await self._connection.close()
            raise
        except Exception as error:  # aiortc's SDP parser raises whatever it stumbles over
            await self._connection.close()
            log.info("offer refused", exc_info=error)
            raise WireError("INVALID_INPUT", f"sdp: not an offer that we can answer ({error})") from error

    async def run(self) -> str:
        """Serve until the end; gives the reason. To be called once, after `answer`."""
        if self.session is None:
            raise RuntimeError("expected answer() to have been called before run()")
        reason, heart = "cancelled", asyncio.create_task(self._beat())
        heart.add_done_callback(self._on_heart_stopped)
        try:
            reason = await self._live(self.session)
            return reason
        finally:
            heart.cancel()
            await self._leave(reason)

    def close(self, reason: str) -> None:
        """Ask for the end; the first reason stands."""
        if self.session is not None:
            self.session.close(reason)
        self._connected.set()  # nobody is to wait for a connection that will not be

    def snapshot(self) -> Message:
        """What `GET /sessions/{id}` tells."""
        state = self.session.state() if self.session is not None else {}
        named = ("width", "height", "objects", "output", "apply_mask")
        return {
            "id": self.session_id,
            "state": self._state,
            "source": self._options.source,
            **{name: state.get(name) for name in named},
            "stats": self._stats.snapshot(),
        }

    # Negotiation.

    async def _negotiate(self, sdp: str) -> str:
        connection = self._connection
        transceiver = connection.addTransceiver(self._track, "sendrecv")
        transceiver.setCodecPreferences(codecs.preferred(self._options.codec))
        await connection.setRemoteDescription(RTCSessionDescription(sdp, "offer"))
        for other in connection.getTransceivers():
            if other is not transceiver:
                other.direction = "inactive"
        if transceiver.mid is None or transceiver._offerDirection not in ("sendonly", "sendrecv"):
            raise WireError("INVALID_INPUT", "sdp: expected a video m-line that receives")
        codecs.use_live_encoder(transceiver.sender, transceiver._codecs[0])
        self.session = Session(
            await self._source(),
            self._step,
            [self._track],
            view=self._options.view,
            rle=self._options.rle,
            rtp_origin=codecs.random_origin(),
            stats=self._stats,
        )
        await connection.setLocalDescription(await connection.createAnswer())
        return str(connection.localDescription.sdp)

    async def _source(self) -> Source:
        if self._options.source == "sample":
            return await sample_source()
        if self._incoming is None:
            raise WireError("INVALID_INPUT", "sdp: expected a video m-line that sends, for source 'webrtc'")
        return WebRTCSource(self._incoming)

    # What aiortc tells.

    def _on_track(self, track: MediaStreamTrack) -> None:
        if track.kind == "video" and self._incoming is None:
            self._incoming = track

    def _on_state(self) -> None:
        match self._connection.connectionState:
            case "connected":
                self._connected.set()
            case "failed" | "closed" as state:
                self.close(f"connection {state}")

    def _on_channel(self, channel: RTCDataChannel) -> None:
        assert self.session is not None
        binary = self._options.binary
        if channel.label == "prompts" and self._dialogue is None:
            send = _sender(channel, PROMPTS_BUFFER)
            dialogue = Dialogue(self.session_id, self.session, send, binary=binary)
            self._dialogue = dialogue
            channel.on("message", dialogue.receive)
            self.session.add_output(StateOutput(send, binary=binary))
            dialogue.begin()
        elif channel.label == "results" and self._results is None:
            self._results = channel
            send = _sender(channel, RESULTS_BUFFER)
            self.session.add_output(ResultsOutput(send, self._stats, binary=binary))
        else:
            channel.close()

    # Life and end.

    async def _live(self, session: Session) -> str:
        """The session, once the connection is up."""
        try:
            await asyncio.wait_for(self._connected.wait(), CONNECT_SECONDS)
            self._state = "live"
        except TimeoutError:
            self.close(f"not connected within {CONNECT_SECONDS:g} s")
        return await session.run()

    async def _beat(self) -> None:
        """Once a second: a look whether anything still comes from the other side, a ping, the stats."""
        received, heard_at = -1, time.monotonic()
        await self._connected.wait()
        while True:
            await asyncio.sleep(HEARTBEAT_SECONDS)
            now = await self._packets_received()
            if now != received:
                received, heard_at = now, time.monotonic()
            elif time.monotonic() - heard_at >= SILENCE_SECONDS:
                self.close(f"peer lost: nothing received for {SILENCE_SECONDS:g} s")
            if self._dialogue is not None:
                self._dialogue.ping()
            if self._results is not None:
                data = wire.encode(replies.stats(self._stats.snapshot()), binary=self._options.binary)
                _sender(self._results, RESULTS_BUFFER)(data)

    def _on_heart_stopped(self, heart: asyncio.Task[None]) -> None:
        if not heart.cancelled() and heart.exception() is not None:
            log.error("session %s: heartbeat failed", self.session_id, exc_info=heart.exception())
            self.close("failed: heartbeat")

    async def _packets_received(self) -> int:
        """Packets of any kind that came: media, RTCP, or SCTP, which acknowledges our pings by itself."""
        report = await self._connection.getStats()
        return sum(entry.packetsReceived for entry in report.values() if entry.type == "transport")

    async def _leave(self, reason: str) -> None:
        self._state = "closed"
        if self._dialogue is not None and self._connection.connectionState == "connected":
            self._dialogue.bye(reason)
            await asyncio.sleep(0.05)  # SCTP sends it in a task of its own
        try:
            await asyncio.wait_for(self._connection.close(), CLOSE_SECONDS)
        except TimeoutError:
            log.warning(
                "session %s: the connection did not close within %g s", self.session_id, CLOSE_SECONDS
            )
        log.info("session %s closed: %s", self.session_id, reason)


def _sender(channel: RTCDataChannel, buffer: int) -> Callable[[bytes | str], bool]:
    """Send on `channel` unless it is closed or has `buffer` bytes unsent already."""

    def send(data: bytes | str) -> bool:
        if channel.readyState != "open" or channel.bufferedAmount > buffer:
            return False
        try:
            channel.send(data)
        except (InvalidStateError, ConnectionError, ValueError) as error:
            log.info("message not sent on %s: %s", channel.label, error)
            return False
        return True

    return send
