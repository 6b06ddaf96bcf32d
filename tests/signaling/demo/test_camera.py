"""The demo's camera: real time, numbered until it rolls, late pictures skipped."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

import av
import numpy as np
from numpy.typing import NDArray

from signaling.demo import barcode
from signaling.demo.camera import TAIL, Camera
from signaling.demo.footage import Message


class Greys:
    """Pictures whose brightness is their index."""

    name = "greys"
    width, height, fps = 160, 120, 100.0

    def __len__(self) -> int:
        return 20

    def picture(self, index: int) -> NDArray[np.uint8]:
        return np.full((180, 160), 50 + index, np.uint8)

    def truth(self, index: int) -> None:
        return None

    def prompts(self) -> Sequence[Message]:
        return []

    def moments(self) -> Sequence[int]:
        return [0]


def luma(video: av.VideoFrame) -> NDArray[np.uint8]:
    return video.to_ndarray(format="yuv420p")


async def play(camera: Camera) -> dict[int, int]:
    """Fetch to the end; the brightness of each picture by its number."""
    shown = {}
    while not camera.done.is_set():
        video = await camera.recv()
        shown[number(video)] = int(luma(video)[0, 0]) - 50
    return shown


def number(video: av.VideoFrame) -> int:
    assert video.pts is not None
    return round(video.pts * Greys.fps / 90_000)


async def test_the_first_picture_is_numbered_until_it_rolls() -> None:
    camera = Camera(Greys())
    for _ in range(3):
        video = await camera.recv()
        assert barcode.read(luma(video)) == number(video)
    camera.roll()
    video = await camera.recv()
    assert barcode.read(luma(video)) is None
    assert number(video) == camera.first or luma(video)[0, 0] > 50


async def test_every_picture_comes_at_its_moment() -> None:
    camera = Camera(Greys())
    await camera.recv()
    camera.roll()
    shown = await play(camera)
    assert camera.first is not None
    for n, index in shown.items():
        assert index == min(n - camera.first, 19), "the last one stands still"
    times = camera.captured
    assert set(times) <= set(range(20))
    base = min(times.items())
    for index, moment in times.items():
        assert abs((moment - base[1]) - (index - base[0]) / Greys.fps) < 1e-6


async def test_no_picture_comes_before_its_moment() -> None:
    camera = Camera(Greys())
    for _ in range(10):
        video = await camera.recv()
        assert time.monotonic() >= camera.moments[number(video)]


async def test_a_late_fetch_skips_what_has_passed() -> None:
    camera = Camera(Greys())
    first = number(await camera.recv())
    await asyncio.sleep(0.1)
    assert number(await camera.recv()) >= first + 9


async def test_it_is_done_after_its_tail() -> None:
    camera = Camera(Greys())
    await camera.recv()
    camera.roll()
    shown = await play(camera)
    assert camera.first is not None
    assert max(shown) >= camera.first + len(Greys()) - 1 + TAIL
