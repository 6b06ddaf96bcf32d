"""Somebody who sends a camera and wants nothing back: OBS, FFmpeg or GStreamer over WHIP."""

from __future__ import annotations

import asyncio
import logging

from stream.connection import Connection, Parts
from stream.encoders import X264
from stream.live import SHOWN, Live
from stream.network import Reach
from stream.options import SessionOptions
from stream.session import Step
from stream.stats import Stats
from stream.wire import Message, WireError

log = logging.getLogger(__name__)


class Publisher:
    """Answers one offer and runs a session on the video that comes, until it stops coming.

    Args:
        name: how viewers call the stream.
        step: the engine, for this session's objects.
    """

    def __init__(
        self,
        session_id: str,
        name: str,
        step: Step,
        reach: Reach | None = None,
        *,
        h264: str = X264,
    ) -> None:
        self.session_id = session_id
        self.live: Live | None = None
        self._name = name
        self._step = step
        self._h264 = h264
        self._connection = Connection(f"publisher {name}", reach)

    @property
    def silent(self) -> bool:
        return self._connection.state == "silent"

    async def answer(self, sdp: str) -> str:
        """Our SDP answer, with all our candidates.

        Raises:
            WireError: INVALID_INPUT or TOO_MANY; the connection is closed then.
        """
        return await self._connection.answer(sdp, Parts(self._agreed))

    async def run(self) -> str:
        """Serve until the end; gives the reason. To be called once, after `answer`."""
        if self.live is None:
            raise RuntimeError("expected answer() to have been called before run()")
        reason = "cancelled"
        watch = asyncio.create_task(self._watch(self.live))
        try:
            reason = await self.live.run()
            return reason
        finally:
            watch.cancel()
            await self._connection.leave(lambda: None)
            log.info("publisher %s of session %s left: %s", self._name, self.session_id, reason)

    def close(self, reason: str) -> None:
        """Ask for the end; the first reason stands."""
        if self.live is not None:
            self.live.close(reason)
        self._connection.close(reason)

    def snapshot(self) -> Message:
        """What `GET /sessions/{id}` tells."""
        known = self.live.snapshot() if self.live else dict.fromkeys(SHOWN)
        own = {"id": self.session_id, "state": self._connection.state, "source": f"whip:{self._name}"}
        return {"stats": Stats().snapshot(), **known, **own}

    async def _agreed(self, codec: str) -> None:
        if self._connection.incoming is None:
            raise WireError("INVALID_INPUT", "sdp: expected a video m-line that sends")
        source = self._connection.incoming
        options = SessionOptions()
        self.live = Live(self.session_id, source, self._step, options, name=self._name, h264=self._h264)

    async def _watch(self, live: Live) -> None:
        live.close(await self._connection.live(lambda: None))
