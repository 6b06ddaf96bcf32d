"""An output that works in a thread of its own: a bounded backlog, the oldest dropped and counted."""

from __future__ import annotations

import threading
from collections import deque

from stream.outputs.output import Shown

WAITING = 32


class Backlog:
    """Between the event loop that puts and one thread that takes."""

    def __init__(self) -> None:
        self.dropped = 0
        self._items: deque[Shown] = deque()
        self._closed = False
        self._changed = threading.Condition()

    def put(self, shown: Shown) -> None:
        with self._changed:
            if self._closed:
                return
            if len(self._items) >= WAITING:
                self._items.popleft()
                self.dropped += 1
            self._items.append(shown)
            self._changed.notify()

    def take(self) -> Shown | None:
        """Wait for the oldest; None once closed and empty."""
        with self._changed:
            while not self._items and not self._closed:
                self._changed.wait()
            return self._items.popleft() if self._items else None

    def rest(self, seconds: float) -> bool:
        """Wait that long, dropping what comes; False once closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed, seconds)
            self.dropped += len(self._items)
            self._items.clear()
            return not self._closed

    def close(self) -> None:
        """Let `take` end when it has given out the rest."""
        with self._changed:
            self._closed = True
            self._changed.notify()
