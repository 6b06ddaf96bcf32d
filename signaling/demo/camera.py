"""Footage as an aiortc camera track, in real time, with the moment of every picture known."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from fractions import Fraction

import av
import numpy as np
from aiortc import MediaStreamTrack
from numpy.typing import NDArray

from signaling.demo import barcode
from signaling.demo.footage import Footage

RATE = 90_000
TIME_BASE = Fraction(1, RATE)
TAIL = 4  # pictures after the last, for a receiver gives a picture out only when the next one has come


class Camera(MediaStreamTrack):
    """Shows the first picture, numbered by a barcode, until `roll`; then plays the footage once.

    Picture number n belongs to the moment n / fps after the start, whenever it is fetched; numbers whose
    moment has passed already are skipped, as a real camera's pictures would be.
    """

    kind = "video"

    def __init__(self, footage: Footage) -> None:
        super().__init__()
        self.footage = footage
        self.moments: dict[int, float] = {}
        self.done = asyncio.Event()
        self._started: float | None = None
        self._number = -1
        self._first: int | None = None

    @property
    def first(self) -> int | None:
        """The number of the footage's first moving picture, once it rolls."""
        return self._first

    @property
    def captured(self) -> Mapping[int, float]:
        """Monotonic moment of every picture of the footage that was filmed, by its index in it."""
        first, count = self._first, len(self.footage)
        if first is None:
            return {}
        return {n - first: at for n, at in self.moments.items() if 0 <= n - first < count}

    def roll(self) -> None:
        """Play from the next picture on."""
        self._first = self._number + 1

    async def recv(self) -> av.VideoFrame:
        if self._started is None:
            self._started = time.monotonic()
        fps = self.footage.fps
        self._number = max(self._number + 1, int((time.monotonic() - self._started) * fps))
        moment = self._started + self._number / fps
        await asyncio.sleep(moment - time.monotonic())
        number = self._number
        picture = await asyncio.to_thread(self._picture, number)
        self.moments[number] = moment
        video = av.VideoFrame.from_ndarray(picture, format="yuv420p")
        video.pts, video.time_base = round(number * RATE / fps), TIME_BASE
        return video

    def _picture(self, number: int) -> NDArray[np.uint8]:
        if self._first is None or number < self._first:
            return barcode.stamp(self.footage.picture(0), number)
        index, last = number - self._first, len(self.footage) - 1
        if index >= last + TAIL:
            self.done.set()
        return self.footage.picture(min(index, last))
