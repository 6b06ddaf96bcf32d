"""Sender reports turn RTP timestamps into the sender's wall clock."""

from __future__ import annotations

import time

import pytest
from link import linked
from scene import Camera, ColourEngine, Scene

from stream.sender_clock import NTP_TO_UNIX, SenderClock


def ntp(unix: float) -> int:
    return int((unix + NTP_TO_UNIX) * 2**32)


def test_a_timestamp_lies_as_far_from_a_report_in_time_as_in_ticks() -> None:
    clock = SenderClock()
    assert clock.time(0) is None
    clock.add(ntp(1000.0), 2**32 - 90)
    assert clock.time(2**32 - 90) == pytest.approx(1000.0)
    assert clock.time(90_000 - 90) == pytest.approx(1001.0), "the timestamp wraps"
    assert clock.time(2**32 - 45_090) == pytest.approx(999.5)


def test_one_report_that_is_off_moves_nothing() -> None:
    clock = SenderClock()
    for second in range(20):
        late = 0.4 if second == 17 else 0.0005 * (second % 3)
        clock.add(ntp(1000.0 + second + late), 90_000 * second)
    assert clock.time(90_000 * 30) == pytest.approx(1030.0005, abs=1e-4)


async def test_results_name_the_capture_of_their_picture() -> None:
    scene = Scene()
    async with linked(Camera(scene, fps=25), ColourEngine().step) as link:
        await link.until(lambda: sum(r["capture_time"] is not None for r in link.of("result")) > 20)
    timed = [result for result in link.of("result") if result["capture_time"] is not None]
    # A wrong origin of the RTP clock would be off by hours; the rest is how late a busy machine sends.
    assert all(abs(time.time() - result["capture_time"]) < 60 for result in timed)
