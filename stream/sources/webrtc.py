"""A peer's incoming video track as a source."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

import av
from aiortc import MediaStreamTrack
from aiortc.mediastreams import MediaStreamError

from stream.picture import Picture


class WebRTCSource:
    """Reads an aiortc track for as long as it lives.

    aiortc queues decoded frames without a bound for whoever does not call `recv`, so `frames` has to be
    read all the time, whatever the engine does.
    """

    name = "webrtc"

    def __init__(self, track: MediaStreamTrack) -> None:
        self._track = track

    async def frames(self) -> AsyncIterator[Picture]:
        while True:
            try:
                video = await self._track.recv()
            except MediaStreamError:
                return
            if isinstance(video, av.VideoFrame):
                yield Picture(video, time.monotonic(), video.time)

    async def close(self) -> None:
        self._track.stop()
