"""One browser that opens a session: its camera in, masked video out, clicks and results on channels."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from aiortc import RTCDataChannel

from stream.channels import Channels
from stream.connection import Connection, Parts
from stream.encoders import X264
from stream.live import SHOWN, Live
from stream.network import Reach
from stream.options import SessionOptions
from stream.outputs.seat import Seat
from stream.session import Session, Step
from stream.sources.source import Source
from stream.sources.synthetic import sample_source
from stream.stats import Stats
from stream.wire import Message, WireError

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
        reach: how clients reach us; directly if not given.
        source: a source of the server; None for the client's own camera, or the sample.
        h264: the H264 encoder.
        name, status, on_demand: of `source`, as `Live`'s.
    """

    def __init__(
        self,
        session_id: str,
        step: Step,
        options: SessionOptions | None = None,
        reach: Reach | None = None,
        *,
        source: Source | None = None,
        h264: str = X264,
        status: Callable[[], Message] | None = None,
        on_demand: bool = False,
        name: str | None = None,
    ) -> None:
        self.session_id = session_id
        self.live: Live | None = None
        self._step = step
        self._options = options or SessionOptions()
        self._source = source
        self._h264 = h264
        self._status = status
        self._on_demand = on_demand
        self._name = name
        self._seat = Seat()
        self._channels: Channels | None = None
        self._connection = Connection(f"session {session_id}", reach, self._on_channel)

    @property
    def silent(self) -> bool:
        return self._connection.state == "silent"

    @property
    def session(self) -> Session | None:
        return self.live.session if self.live else None

    async def answer(self, sdp: str) -> str:
        """Our SDP answer, with all our candidates, to the offer `sdp`.

        Raises:
            WireError: INVALID_INPUT or TOO_MANY; the connection is closed then.
        """
        return await self._connection.answer(sdp, Parts(self._agreed, self._seat, self._options.codec))

    async def run(self) -> str:
        """Serve until the end; gives the reason. To be called once, after `answer`."""
        if self.live is None or self._channels is None:
            raise RuntimeError("expected answer() to have been called before run()")
        reason = "cancelled"
        watch = asyncio.create_task(self._watch(self.live, self._channels))
        try:
            await self._connection.connected()
            reason = await self.live.run()
            return reason
        finally:
            watch.cancel()
            self._channels.close()
            await self._connection.leave(lambda: self._bye(reason))
            log.info("session %s closed: %s", self.session_id, reason)

    def close(self, reason: str) -> None:
        """Ask for the end; the first reason stands."""
        if self.live is not None:
            self.live.close(reason)
        self._connection.close(reason)

    def snapshot(self) -> Message:
        """What `GET /sessions/{id}` tells."""
        known = self.live.snapshot() if self.live else dict.fromkeys(SHOWN)
        return {"stats": Stats().snapshot(), **known, "id": self.session_id, "state": self._connection.state}

    async def _agreed(self, codec: str) -> None:
        source = await self._find_source()
        self.live = Live(
            self.session_id,
            source,
            self._step,
            self._options,
            name=self._name,
            h264=self._h264,
            status=self._status,
            on_demand=self._on_demand,
        )
        self.live.broadcast.join(self._seat, codec)
        self._channels = Channels(self.session_id, self.live.session, binary=self._options.binary)

    async def _find_source(self) -> Source:
        if self._source is not None:
            return self._source
        if self._options.source == "sample":
            return await sample_source()
        if self._connection.incoming is None:
            raise WireError("INVALID_INPUT", "sdp: expected a video m-line that sends, for source 'webrtc'")
        return self._connection.incoming

    async def _watch(self, live: Live, channels: Channels) -> None:
        live.close(await self._connection.live(channels.beat))

    def _on_channel(self, channel: RTCDataChannel) -> None:
        assert self._channels is not None
        self._channels.open(channel)

    def _bye(self, reason: str) -> None:
        if self._channels is not None:
            self._channels.bye(reason)
