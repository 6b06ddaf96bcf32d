"""Somebody who sends a camera and wants nothing back: OBS, FFmpeg or GStreamer over WHIP."""

from __future__ import annotations

from stream.attended import Attended
from stream.connection import Connection, Parts
from stream.encoders import X264
from stream.live import Live
from stream.network import Reach
from stream.options import SessionOptions
from stream.session import Step
from stream.wire import Message, WireError


class Publisher(Attended):
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
        label = f"publisher {name} of session {session_id}"
        super().__init__(session_id, label, Connection(label, reach))
        self._name = name
        self._step = step
        self._h264 = h264

    async def answer(self, sdp: str) -> str:
        """Our SDP answer, with all our candidates.

        Raises:
            WireError: INVALID_INPUT or TOO_MANY; the connection is closed then.
        """
        return await self._connection.answer(sdp, Parts(self._agreed))

    def snapshot(self) -> Message:
        """What `GET /sessions/{id}` tells."""
        return {**super().snapshot(), "source": f"whip:{self._name}"}

    async def _agreed(self, codec: str) -> None:
        if self._connection.incoming is None:
            raise WireError("INVALID_INPUT", "sdp: expected a video m-line that sends")
        source = self._connection.incoming
        options = SessionOptions()
        self.live = Live(self.session_id, source, self._step, options, name=self._name, h264=self._h264)
