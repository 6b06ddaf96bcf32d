"""The newest masked picture, for whoever looks in: snapshots, MJPEG."""

from __future__ import annotations

import asyncio

from stream.outputs.output import Shown


class Glance:
    """Keeps one picture; many may wait for the next."""

    def __init__(self) -> None:
        self.shown: Shown | None = None
        self.closed = False
        self._next: asyncio.Future[None] | None = None

    def put(self, shown: Shown) -> None:
        self.shown = shown
        self._wake()

    def close(self) -> None:
        self.closed = True
        self._wake()

    async def next(self) -> Shown | None:
        """The next picture; None when the session has ended."""
        if self._next is None:
            self._next = asyncio.get_running_loop().create_future()
        if not self.closed:
            await asyncio.shield(self._next)
        return None if self.closed else self.shown

    def _wake(self) -> None:
        waited, self._next = self._next, None
        if waited is not None and not waited.done():
            waited.set_result(None)
