"""One browser that opens a session: its camera in, masked video out, clicks and results on channels."""

from __future__ import annotations

from collections.abc import Callable

from aiortc import RTCDataChannel

from stream.attended import Attended
from stream.channels import Channels
from stream.connection import Connection, Parts
from stream.encoders import X264
from stream.live import Live
from stream.network import Reach
from stream.options import SessionOptions
from stream.outputs.seat import Seat
from stream.session import Session, Step
from stream.sources.source import Source
from stream.sources.synthetic import sample_source
from stream.wire import Message, WireError


class Peer(Attended):
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
        label = f"session {session_id}"
        super().__init__(session_id, label, Connection(label, reach, self._on_channel))
        self._step = step
        self._options = options or SessionOptions()
        self._source = source
        self._h264 = h264
        self._status = status
        self._on_demand = on_demand
        self._name = name
        self._seat = Seat()
        self._channels: Channels | None = None

    @property
    def session(self) -> Session | None:
        return self.live.session if self.live else None

    async def answer(self, sdp: str) -> str:
        """Our SDP answer, with all our candidates, to the offer `sdp`.

        Raises:
            WireError: INVALID_INPUT or TOO_MANY; the connection is closed then.
        """
        return await self._connection.answer(sdp, Parts(self._agreed, self._seat, self._options.codec))

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

    def _on_channel(self, channel: RTCDataChannel) -> None:
        assert self._channels is not None
        self._channels.open(channel)

    def _beat(self) -> None:
        if self._channels is not None:
            self._channels.beat()

    def _bye(self, reason: str) -> None:
        if self._channels is not None:
            self._channels.bye(reason)
