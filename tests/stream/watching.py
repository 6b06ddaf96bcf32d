"""A network camera as a source, and all that it gave."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

from stream.outage import Outage
from stream.picture import Picture
from stream.sources.address import read_address
from stream.sources.reader import Limits
from stream.sources.rtsp import RtspCamera, RtspSource

QUICK = Limits(open_seconds=10, silent_seconds=2)


@asynccontextmanager
async def watching(url: str, limits: Limits = QUICK, **options: object) -> AsyncIterator[Watch]:
    camera = replace(RtspCamera(read_address(url, ("rtsp", "rtsps")), limits=limits), **options)  # type: ignore[arg-type]
    watch = Watch(RtspSource("gate", camera, pauses=(0.2,)))
    try:
        yield watch
    finally:
        await watch.stop()


class Watch:
    """A source and all that it gave."""

    def __init__(self, source: RtspSource) -> None:
        self.source = source
        self.items: list[Picture | Outage] = []
        self._changed = asyncio.Event()
        self._task = asyncio.create_task(self._read())

    @property
    def pictures(self) -> list[Picture]:
        return [item for item in self.items if isinstance(item, Picture)]

    async def until(self, holds: Callable[[], object], seconds: float = 30.0) -> None:
        async with asyncio.timeout(seconds):
            while not holds():
                self._changed.clear()
                await self._changed.wait()

    async def error(self) -> str:
        """Wait for a failure; its code."""
        await self.until(lambda: self.source.status()["error_type"])
        return str(self.source.status()["error_type"])

    async def stop(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await self.source.close()

    async def _read(self) -> None:
        async for item in self.source.frames():
            self.items.append(item)
            self._changed.set()
