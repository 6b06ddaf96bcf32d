"""Wake whoever waits for a change of a request in this process; others find it by looking again."""

from __future__ import annotations

import asyncio
from collections import defaultdict


class Bells:
    """One bell per name; the empty name is the queue's own."""

    def __init__(self) -> None:
        self._waiting: defaultdict[str, set[asyncio.Event]] = defaultdict(set)

    def ring(self, name: str = "") -> None:
        for event in self._waiting.get(name, ()):
            event.set()

    async def wait(self, name: str, seconds: float) -> None:
        """Return when the bell rings, at the latest after `seconds`."""
        event = asyncio.Event()
        self._waiting[name].add(event)
        try:
            async with asyncio.timeout(seconds):
                await event.wait()
        except TimeoutError:
            pass
        finally:
            self._waiting[name].discard(event)
            if not self._waiting[name]:
                del self._waiting[name]
