"""A video file as a source: at its own pace like a camera, once or over and over, or as fast as taken."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO

import av
from av.container import InputContainer

from stream.picture import Picture
from stream.sources.pace import Pace


class FileSource:
    """Decodes `path` in a thread of its own and delivers each frame when its time has come.

    Args:
        path: anything FFmpeg reads, or something that opens a file to read from for each run through it.
        loop: begin again at the end; presentation times go on rising.
        speed: times as fast as filmed; infinite for as fast as pictures are asked for.
        name: as people see it.

    Raises (from `frames`):
        av.FFmpegError: it does not open, or holds no video (av.error.StreamNotFoundError).
    """

    def __init__(
        self,
        path: str | Path | Callable[[], BinaryIO],
        loop: bool = False,
        speed: float = 1.0,
        name: str = "file",
    ) -> None:
        self.name = name
        self._path = path
        self._loop = loop
        self._speed = speed
        self._pace = Pace()

    async def frames(self) -> AsyncIterator[Picture]:
        running = asyncio.get_running_loop()
        with ThreadPoolExecutor(1, "file-source") as thread:
            decoded = self._decode()
            started: float | None = None
            while (item := await running.run_in_executor(thread, next, decoded, None)) is not None:
                video, pts = item
                started = time.monotonic() - pts / self._speed if started is None else started
                if not await self._pace.until(started + pts / self._speed):
                    return
                yield Picture(video, time.monotonic(), pts)

    async def close(self) -> None:
        self._pace.close()

    def _decode(self) -> Iterator[tuple[av.VideoFrame, float]]:
        """Frames with seconds from the beginning, each later than the one before."""
        offset, last = 0.0, 0.0
        while True:
            with self._open() as container:
                first: float | None = None
                for video in container.decode(video=0):
                    moment = last if video.time is None else video.time
                    first = moment if first is None else first
                    last = max(last, offset + moment - first)
                    yield video, last
                rate = container.streams.video[0].average_rate
            if not self._loop:
                return
            offset = last + 1 / float(rate or 30)

    def _open(self) -> InputContainer:
        return av.open(self._path() if callable(self._path) else str(self._path), "r")
