"""A peer's incoming video track as a source."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable

import av
from aiortc import MediaStreamTrack
from aiortc.mediastreams import MediaStreamError

from stream.picture import Picture


class WebRTCSource:
    """Reads an aiortc track for as long as it lives.

    aiortc queues decoded frames without a bound for whoever does not call `recv`, so `frames` has to be
    read all the time, whatever the engine does.

    Args:
        track: the peer's.
        capture_time: when a picture of it was captured, as `Picture` has it.
    """

    name = "webrtc"

    def __init__(
        self,
        track: MediaStreamTrack,
        capture_time: Callable[[av.VideoFrame], float | None] = lambda video: None,
    ) -> None:
        self._track = track
        self._capture_time = capture_time

    async def frames(self) -> AsyncIterator[Picture]:
        while True:
            try:
                video = await self._track.recv()
            except MediaStreamError:
                return
            if isinstance(video, av.VideoFrame):
                yield Picture(video, time.monotonic(), video.time, self._capture_time(video))

    async def close(self) -> None:
        self._track.stop()
