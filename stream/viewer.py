"""Somebody who watches a session that another one runs: a page, or a WHEP player."""

from __future__ import annotations

import logging

from aiortc import RTCDataChannel

from stream.channels import Channels
from stream.connection import Connection, Parts
from stream.live import Live
from stream.network import Reach
from stream.outputs.seat import Seat

log = logging.getLogger(__name__)


class Viewer:
    """Answers one offer with a seat at the session's broadcast; ends with the session or before.

    Args:
        viewer_id: names it in the log.
        live: the session.
        codec: preferred one, "vp8" or "h264"; None keeps the offer's order.
        may_prompt: whether its `prompts` channel acts.
        binary: msgpack for what is sent unasked.
    """

    def __init__(
        self,
        viewer_id: str,
        live: Live,
        reach: Reach | None = None,
        *,
        codec: str | None = None,
        may_prompt: bool = False,
        binary: bool = False,
    ) -> None:
        self.viewer_id = viewer_id
        self.live = live
        self.seat = Seat()
        self._codec = codec
        self._channels = Channels(live.session_id, live.session, binary=binary, may_prompt=may_prompt)
        self._connection = Connection(f"viewer {viewer_id}", reach, self._on_channel)

    @property
    def silent(self) -> bool:
        """Whether nothing has been heard of it for so long that its place may be taken."""
        return self._connection.state == "silent"

    async def answer(self, sdp: str) -> str:
        """Our SDP answer, with all our candidates.

        Raises:
            WireError: INVALID_INPUT or TOO_MANY; the connection is closed then.
        """
        return await self._connection.answer(sdp, Parts(self._agreed, self.seat, self._codec))

    async def run(self) -> str:
        """Serve until the end; gives the reason. To be called once, after `answer`."""
        reason = "cancelled"
        try:
            reason = await self._connection.live(self._channels.beat)
            return reason
        finally:
            self.seat.stop()
            self._channels.close()
            await self._connection.leave(lambda: self._channels.bye(reason))
            log.info("viewer %s of session %s left: %s", self.viewer_id, self.live.session_id, reason)

    def close(self, reason: str) -> None:
        """Ask for the end; the first reason stands."""
        self._connection.close(reason)

    async def _agreed(self, codec: str) -> None:
        self.live.broadcast.join(self.seat, codec)
        self.seat.on("ended", lambda: self.close("session ended"))

    def _on_channel(self, channel: RTCDataChannel) -> None:
        self._channels.open(channel)
