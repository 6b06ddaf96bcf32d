"""The sessions there are: admitted within the limit, found by id, closed, counted when they are gone.

Knows runners and lanes as things that run and close; knows no HTTP.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import NamedTuple

from engine.worker import Lane
from stream.live import Live, Runner

logger = logging.getLogger("livemask")

CLOSE_ALL_SECONDS = 5.0
KEPT = 256


class ServerFull(Exception):
    """The limit of sessions is reached."""


class HolderFull(Exception):
    """The limit of one key's sessions is reached."""


class FrameCounts(NamedTuple):
    """Frames of all sessions, by what became of them."""

    received: int = 0
    tracked: int = 0
    sent: int = 0
    dropped_in: int = 0
    dropped_out: int = 0

    def plus(self, other: FrameCounts) -> FrameCounts:
        return FrameCounts(*(mine + its for mine, its in zip(self, other, strict=True)))


@dataclass(slots=True, eq=False)
class Opened:
    """What the maker of a session gives the registry: what runs it, its lane, its answer if there is one."""

    peer: Runner
    lane: Lane
    answer: str = ""


@dataclass(slots=True, eq=False)
class Entry:
    """One running session."""

    opened: Opened
    key: str | None
    started_at: float
    task: asyncio.Task[str]


class Registry:
    """All sessions of the service.

    Args:
        limit: sessions at once, counting those whose offer is still being answered.
        max_duration: seconds after which a session is ended; 0 for never.
    """

    def __init__(self, limit: int, max_duration: float = 0.0) -> None:
        self.limit = limit
        self.ended: Counter[str] = Counter()
        self._max_duration = max_duration
        self._entries: dict[str, Entry] = {}
        self._gone: dict[str, tuple[str | None, str]] = {}
        self._opening: Counter[str | None] = Counter()
        self._closed = False
        self._past = FrameCounts()

    def __len__(self) -> int:
        """Places taken: sessions, and offers that are being answered."""
        return len(self._entries) + self._opening.total()

    async def open(
        self,
        make: Callable[[str], Awaitable[Opened]],
        key: str | None = None,
        key_limit: int | None = None,
    ) -> tuple[str, str]:
        """Take a place, make a session with a new id and run it; gives the id and the SDP answer.

        The place is taken before the offer is answered, so that no more are let in than there is room for.
        When there is none, a client that has gone silent loses its own.

        Args:
            key: whose session it is; None for nobody's.
            key_limit: sessions of this key at once.

        Raises:
            ServerFull: there is no place, or the service is shutting down.
            HolderFull: the key has as many sessions as it may have.
        """
        if len(self) >= self.limit:
            await self._close_a_silent_one()
        if self._closed or len(self) >= self.limit:
            raise ServerFull
        if key_limit is not None and self._held_by(key) >= key_limit:
            raise HolderFull
        self._opening[key] += 1
        session_id = secrets.token_hex(16)
        try:
            opened = await make(session_id)
        finally:
            self._opening[key] -= 1
        task = asyncio.create_task(self._live(session_id, opened), name=f"session {session_id}")
        self._entries[session_id] = Entry(opened, key, time.monotonic(), task)
        if self._closed:
            opened.peer.close("shutdown")
        return session_id, opened.answer

    def find(self, named: str) -> Runner | None:
        """What runs a session, by its id or, the oldest of them, by its name."""
        entry = self._entries.get(named)
        if entry is not None:
            return entry.opened.peer
        return next(
            (each for each in self.peers() if each.live is not None and each.live.name == named), None
        )

    def owner(self, named: str) -> str | None:
        """The key that began a session, by the session's id or name; None for nobody's, or no session.

        One that has ended is still its own, so that whoever began it may ask why.
        """
        runner = self.find(named)
        return self._entries[runner.session_id].key if runner else self._gone.get(named, (None, ""))[0]

    def why_ended(self, session_id: str) -> str | None:
        """The reason of one of the last KEPT sessions that ended; None for others."""
        return self._gone.get(session_id, (None, None))[1]

    def live(self, named: str) -> Live | None:
        """A session by its id or name."""
        runner = self.find(named)
        return runner.live if runner else None

    async def ended_because(self, session_id: str) -> str:
        """Wait for the end of a session that runs; gives its reason."""
        return await asyncio.shield(self._entries[session_id].task)

    def peers(self) -> list[Runner]:
        """What runs each session, oldest first."""
        return [entry.opened.peer for entry in self._entries.values()]

    async def close(self, named: str, reason: str) -> bool:
        """End a session, by id or name, and wait until all of it is freed; False when there is none."""
        runner = self.find(named)
        entry = self._entries.get(runner.session_id) if runner else None
        if entry is None:
            return False
        entry.opened.peer.close(reason)
        await asyncio.wait([entry.task])
        return True

    async def _close_a_silent_one(self) -> None:
        """End the oldest session whose client is silent, if there is one."""
        entry = next((entry for entry in self._entries.values() if entry.opened.peer.silent), None)
        if entry is not None:
            entry.opened.peer.close("peer lost: silent, and its place was needed")
            await asyncio.wait([entry.task])

    async def close_all(self, reason: str) -> None:
        """Let nobody in any more and end every session; those that do not end in time are cancelled."""
        self._closed = True
        entries = list(self._entries.values())
        for entry in entries:
            entry.opened.peer.close(reason)
        if not entries:
            return
        _, late = await asyncio.wait([entry.task for entry in entries], timeout=CLOSE_ALL_SECONDS)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)

    def frame_counts(self) -> FrameCounts:
        """Of the sessions that run and of those that have ended."""
        total = self._past
        for peer in self.peers():
            total = total.plus(_counts(peer))
        return total

    def memory_bytes(self) -> int:
        """What the engine keeps for the sessions that run: memories of objects, and past frames."""
        return sum(peer.snapshot()["stats"]["memory_bytes"] for peer in self.peers())

    def decoders(self) -> Counter[str]:
        """Sessions by who decodes their video, those left out that have had no picture yet."""
        found = (peer.snapshot()["stats"]["decoder"] for peer in self.peers())
        return Counter(each for each in found if each is not None)

    def _held_by(self, key: str | None) -> int:
        return self._opening[key] + sum(entry.key == key for entry in self._entries.values())

    async def _live(self, session_id: str, opened: Opened) -> str:
        """Run one session to its end; whatever the end is, nothing of it stays."""
        peer, reason = opened.peer, "cancelled"
        timer = (
            asyncio.get_running_loop().call_later(self._max_duration, peer.close, "time limit reached")
            if self._max_duration
            else None
        )
        try:
            reason = await peer.run()
        except Exception:
            reason = "failed"
            logger.exception("session %s failed", session_id)
        finally:
            if timer is not None:
                timer.cancel()
            opened.lane.close()
            self._past = self._past.plus(_counts(peer))
            # Of "failed: OSError" only the first part: a metric's label must not grow with what fails.
            self.ended[reason.partition(":")[0]] += 1
            self._gone[session_id] = self._entries.pop(session_id).key, reason
            if len(self._gone) > KEPT:
                del self._gone[next(iter(self._gone))]
        return reason


def _counts(peer: Runner) -> FrameCounts:
    stats = peer.snapshot()["stats"]
    return FrameCounts(
        received=stats["frames_in"],
        tracked=stats["frames_model"],
        sent=stats["frames_out"],
        dropped_in=stats["dropped_in"],
        dropped_out=stats["dropped_out"],
    )
