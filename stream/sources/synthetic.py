"""Generated pictures at a camera's pace: the built-in clip for clients without a camera."""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import AsyncIterator, Callable

import av
import numpy as np
from numpy.typing import NDArray

from engine.synthetic import SyntheticClip
from stream.picture import Picture
from stream.sources.pace import Pace

Paint = Callable[[int], NDArray[np.uint8]]


class SyntheticSource:
    """Frame i of `paint` at time i / fps, endless or `count` frames long.

    Frames whose time has passed already are left out rather than delivered late.

    Args:
        paint: frame number to RGB uint8 [H, W, 3]; called in a thread.
        fps: frames a second.
        count: how many frames there are; None for no end.
    """

    name = "sample"

    def __init__(self, paint: Paint, fps: float = 30.0, count: int | None = None) -> None:
        self._paint = paint
        self._fps = fps
        self._count = count
        self._pace = Pace()

    async def frames(self) -> AsyncIterator[Picture]:
        started = time.monotonic()
        index = 0
        while self._count is None or index < self._count:
            rgb = await asyncio.to_thread(self._paint, index)
            if not await self._pace.until(started + index / self._fps):
                return
            video = av.VideoFrame.from_ndarray(rgb, format="rgb24")
            yield Picture(video, time.monotonic(), index / self._fps)
            index = max(index + 1, int((time.monotonic() - started) * self._fps))

    async def close(self) -> None:
        self._pace.close()


async def sample_source() -> SyntheticSource:
    """The built-in clip, 640x480 at 30 fps, over and over."""
    clip = await asyncio.to_thread(_sample_clip)
    return SyntheticSource(lambda index: clip.frame(index)[0], clip.fps)


@functools.cache
def _sample_clip() -> SyntheticClip:
    return SyntheticClip()
