"""Results and states of a session for one reader over HTTP or WebSocket."""

from __future__ import annotations

import asyncio
from collections import deque

from stream import replies
from stream.outputs.output import Shown
from stream.wire import Message

WAITING = 64


class Feed:
    """Messages in order; a reader that is WAITING messages behind loses the oldest, which are counted.

    Args:
        rle: whether results carry run lengths.
    """

    def __init__(self, *, rle: bool = True) -> None:
        self.dropped = 0
        self._rle = rle
        self._messages: deque[Message] = deque()
        self._closed = False
        self._changed = asyncio.Event()

    def put(self, shown: Shown) -> None:
        if shown.state is not None:
            self._add(shown.state)
        if shown.result is not None:
            self._add(shown.result if self._rle else replies.without_rle(shown.result))

    def close(self) -> None:
        self._closed = True
        self._changed.set()

    async def next(self) -> Message | None:
        """The next message; None when the session has ended and all were given."""
        while not self._messages:
            if self._closed:
                return None
            self._changed.clear()
            await self._changed.wait()
        return self._messages.popleft()

    def _add(self, message: Message) -> None:
        if len(self._messages) >= WAITING:
            self._messages.popleft()
            self.dropped += 1
        self._messages.append(message)
        self._changed.set()
