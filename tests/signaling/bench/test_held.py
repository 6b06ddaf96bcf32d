"""What a soak calls growth, and what a server tells of itself."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from signaling_service import Service

from signaling.bench.held import GRAIN_BYTES, Held, growing, look

QUIET = Held(memory=400 << 20, descriptors=20, threads=15, tasks=10, frames=0, people=1, processor=1.0)


def test_what_only_wavers_is_flat() -> None:
    looks = [replace(QUIET, memory=QUIET.memory + (i % 3 << 20), threads=15 + i % 2) for i in range(50)]
    assert growing(looks) == []


def test_what_is_made_once_is_not_growth() -> None:
    warming = [replace(QUIET, memory=QUIET.memory // 2, tasks=4) for _ in range(20)]
    assert growing([*warming, *[QUIET] * 30]) == []


@pytest.mark.parametrize("name", ["descriptors", "threads", "tasks"])
def test_one_more_now_and_then_is_growth(name: str) -> None:
    looks = [replace(QUIET, **{name: 20 + i // 10}) for i in range(50)]
    assert growing(looks) == [name]


def test_memory_that_is_lost_bit_by_bit_is_growth() -> None:
    looks = [replace(QUIET, memory=QUIET.memory + i * GRAIN_BYTES // 4) for i in range(50)]
    assert growing(looks) == ["memory"]


async def test_a_server_tells_what_it_holds(service: Service) -> None:
    held = await asyncio.to_thread(look, service.url)
    assert held.memory > 10 << 20
    assert min(held.descriptors, held.threads, held.tasks) > 1
    assert (held.frames, held.people) == (0, 0)
