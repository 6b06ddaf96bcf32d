"""What a server process holds, as it tells itself, and whether that grows."""

from __future__ import annotations

import re
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass

METRIC = re.compile(r"^(\w+(?:\{[^}]*\})?) (\S+)$", re.MULTILINE)
# Memory: an allocator keeps what was freed and gives it out again, in an order of its own.
GRAIN_BYTES = 4 << 20
GRAIN_SHARE = 0.02
COUNTS = ("descriptors", "threads", "tasks")


@dataclass(frozen=True, slots=True)
class Held:
    """One look at a server.

    Attributes:
        memory: resident bytes.
        descriptors, threads, tasks: open files and sockets, native threads without the event loop's pool
            (which is bounded), tasks of the event loop.
        frames: processed since the start, by all sessions.
        people: sessions and viewers now.
        processor: seconds of processor time since the start.
    """

    memory: int
    descriptors: int
    threads: int
    tasks: int
    frames: int
    people: int
    processor: float


def look(url: str) -> Held:
    """Ask the server at `url` (`GET /metrics`, without a key: a server of our own on loopback)."""
    with urllib.request.urlopen(f"{url}/metrics", timeout=60) as response:
        told = {name: float(value) for name, value in METRIC.findall(response.read().decode())}
    return Held(
        memory=round(told["process_resident_memory_bytes"]),
        descriptors=round(told["process_open_fds"]),
        threads=round(told["livemask_threads"] - told["livemask_pool_threads"]),
        tasks=round(told["livemask_tasks"]),
        frames=round(told['livemask_frames_total{stage="tracked"}']),
        people=round(told["livemask_sessions"] + told["livemask_viewers"]),
        processor=told["process_cpu_seconds_total"],
    )


def growing(looks: Sequence[Held]) -> list[str]:
    """What grows from look to look, by name; an empty list when all is flat.

    The first half is warming up: pools of threads and of database connections fill as they are needed. Of the
    rest the lower quartiles of both halves are held against each other: counts may not be higher, memory not
    by more than GRAIN_BYTES and GRAIN_SHARE.
    """
    settled = looks[len(looks) // 2 :]
    early, late = settled[: len(settled) // 2], settled[len(settled) // 2 :]
    found = [name for name in COUNTS if _usual(late, name) > _usual(early, name)]
    before, after = _usual(early, "memory"), _usual(late, "memory")
    if after - before > max(GRAIN_BYTES, GRAIN_SHARE * before):
        found.insert(0, "memory")
    return found


def _usual(looks: Sequence[Held], name: str) -> int:
    return sorted(int(getattr(look, name)) for look in looks)[len(looks) // 4]
