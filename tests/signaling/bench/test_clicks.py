"""A person far away clicks something fast, with the bundled model: `livemask bench clicks`, once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

import numpy as np
import pytest

from engine.models import load_model
from engine.worker import Worker
from signaling.bench import clicks
from signaling.bench.crossing import Crossing


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    worker = Worker(lambda: load_model("pico", device="cpu"))
    worker.start()
    while not worker.ready:
        assert worker.error is None
        time.sleep(0.02)
    yield worker
    worker.stop()


def test_what_crosses_is_where_it_is_said_to_be() -> None:
    clip = Crossing(4, width=320, height=240)
    for index in (0, 7, 25):
        picture, mask = clip.frame(index)
        assert picture.shape == (240, 320, 3)
        assert np.array_equal(mask, clip.mask(index))
        x, y = clip.centre(index)
        assert mask[round(y), round(x)]
    assert abs(clip.centre(1)[0] - clip.centre(0)[0]) == pytest.approx(600 / 30)


def test_a_late_click_gives_what_one_in_time_gives_and_without_the_past_it_misses(worker: Worker) -> None:
    clip = Crossing(2, seconds=1.4)
    near, far, blind = (
        asyncio.run(clicks.click(worker, clip, delay, history=history))
        for delay, history in ((0.0, 2.0), (clicks.DELAY, 2.0), (clicks.DELAY, 0.0))
    )
    arrival = clicks.CLICKED + 18  # 300 ms each way at 30 frames a second
    assert near.shown == clicks.CLICKED
    assert blind.shown == arrival
    assert arrival < far.shown <= arrival + 9
    assert far.preview is not None
    ours, theirs = (clicks.agreement(clip, each, far.shown) for each in (far, near))
    assert theirs > 0.8
    assert abs(ours - theirs) <= 0.02
    assert clicks.agreement(clip, blind, far.shown) < 0.1
