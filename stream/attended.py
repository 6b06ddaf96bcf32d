"""A session that somebody opened by a WebRTC connection, and that does not outlive it."""

from __future__ import annotations

import asyncio
import logging

from stream.connection import Connection
from stream.live import SHOWN, Live
from stream.stats import Stats
from stream.wire import Message

log = logging.getLogger(__name__)


class Attended:
    """A connection and the session that it is for, from the offer to the end of either.

    Whoever derives from it sets `live` while the offer is answered.

    Args:
        session_id: told to the client.
        label: of the connection, for the log.
        connection: that will answer the offer.
    """

    def __init__(self, session_id: str, label: str, connection: Connection) -> None:
        self.session_id = session_id
        self.live: Live | None = None
        self._label = label
        self._connection = connection

    @property
    def silent(self) -> bool:
        """Whether nothing has been heard of it for so long that its place may be taken."""
        return self._connection.state == "silent"

    async def run(self) -> str:
        """Serve until the end; gives the reason. To be called once, after the offer was answered."""
        if self.live is None:
            raise RuntimeError("expected answer() to have been called before run()")
        reason = "cancelled"
        watch = asyncio.create_task(self._watch(self.live))
        try:
            await self._connection.connected()
            reason = await self.live.run()
            return reason
        finally:
            watch.cancel()
            await self._connection.leave(lambda: self._bye(reason))
            log.info("%s closed: %s", self._label, reason)

    def close(self, reason: str) -> None:
        """Ask for the end; the first reason stands."""
        if self.live is not None:
            self.live.close(reason)
        self._connection.close(reason)

    def snapshot(self) -> Message:
        """What `GET /sessions/{id}` tells."""
        known = self.live.snapshot() if self.live else dict.fromkeys(SHOWN)
        return {"stats": Stats().snapshot(), **known, "id": self.session_id, "state": self._connection.state}

    async def _watch(self, live: Live) -> None:
        live.close(await self._connection.live(self._beat))

    def _beat(self) -> None:
        """Called once a second while the connection is up."""

    def _bye(self, reason: str) -> None:
        """The last that can be said over the connection."""
