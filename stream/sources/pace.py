"""Waiting for the moment of a frame, until somebody closes the source."""

from __future__ import annotations

import asyncio
import time


class Pace:
    """The clock of a source that makes its own time."""

    def __init__(self) -> None:
        self._closed = asyncio.Event()

    @property
    def closed(self) -> bool:
        return self._closed.is_set()

    def close(self) -> None:
        """Wake who waits; safe to call twice."""
        self._closed.set()

    async def until(self, moment: float) -> bool:
        """Wait until `moment` (monotonic seconds), not at all if it has passed; False once closed."""
        delay = moment - time.monotonic()
        if delay > 0 and not self.closed:
            try:
                await asyncio.wait_for(self._closed.wait(), delay)
            except TimeoutError:
                pass
        return not self.closed
