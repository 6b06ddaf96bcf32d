"""A slot that holds the newest item: putting replaces, what was replaced is counted.

It knows nothing of frames or sessions.
"""

from __future__ import annotations

import asyncio
from typing import Generic, TypeVar

T = TypeVar("T")


class LatestClosed(Exception):
    """The slot was closed and is empty; `reason` says why."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Latest(Generic[T]):
    """One producer side that never waits, one consumer that waits for the newest item.

    Attributes:
        dropped: items that were replaced before anybody took them.
    """

    def __init__(self) -> None:
        self.dropped = 0
        self._items: list[T] = []
        self._reason: str | None = None
        self._changed = asyncio.Event()
        self._freed = asyncio.Event()

    def put(self, item: T) -> None:
        """Offer `item`; an untaken one is replaced and counted. Ignored once closed."""
        if self._reason is not None:
            return
        self.dropped += len(self._items)
        self._items[:] = [item]
        self._changed.set()

    async def get(self) -> T:
        """Take the newest item, waiting for one if there is none.

        Raises:
            LatestClosed: the slot is closed; an item put before the closing is still given out first.
        """
        while not self._items:
            if self._reason is not None:
                raise LatestClosed(self._reason)
            self._changed.clear()
            await self._changed.wait()
        self._freed.set()
        return self._items.pop()

    async def taken(self) -> None:
        """Wait until what was put has been taken, or the slot is closed."""
        while self._items and self._reason is None:
            self._freed.clear()
            await self._freed.wait()

    def close(self, reason: str) -> None:
        """Let `get` raise from now on, with the first reason given."""
        if self._reason is None:
            self._reason = reason
        self._changed.set()
        self._freed.set()
