"""The faults of docs/reliability.md that a test can keep: bad wires, and coming and going without end."""

from __future__ import annotations

import asyncio
import time
from contextlib import closing

import pytest
from players import player, sample
from signaling_service import Service, held, until

from signaling.bench.relay import Relay, Weather


@pytest.mark.parametrize(
    "weather",
    [Weather(loss=0.02, delay=0.02), Weather(delay=0.05, jitter=0.03)],
    ids=["loss and delay", "jitter and reordering"],
)
async def test_video_goes_on_over_a_bad_wire(service: Service, weather: Weather) -> None:
    session = await sample(service)
    relay = Relay(weather)
    with closing(relay):
        async with player(service, session, relay) as playing:
            await until(lambda: len(playing.frames) >= 25, 40)
            assert relay.passed > 100


async def test_video_comes_back_after_the_wire_was_dark(service: Service) -> None:
    session = await sample(service)
    relay = Relay(Weather())
    with closing(relay):
        async with player(service, session, relay) as playing:
            await until(lambda: len(playing.frames) >= 5, 40)
            relay.weather.dark = True
            await asyncio.sleep(5.0)  # more is lost than can be sent again
            seen = len(playing.frames)
            relay.weather.dark = False
            lit_at = time.monotonic()
            await until(lambda: len(playing.frames) >= seen + 5, 5)
            print(f"back after {time.monotonic() - lit_at:.2f} s")
            assert relay.lost > 10


async def test_viewers_that_come_and_go_leave_nothing_behind(service: Service) -> None:
    session = await sample(service)

    async def visit() -> None:
        async with player(service, session) as watching:
            await until(lambda: len(watching.frames) >= 1)
            await service.http.delete(watching.location)

    await visit()  # what is made once stays
    await asyncio.sleep(0.5)
    before = held()
    for _ in range(6):
        await visit()
    await until(lambda: not held() - before, 20, lambda: held() - before)
    live = service.registry.live(session)
    assert live is not None
    assert live.broadcast.renditions == {}
