"""The newest picture of a source made ready for a step: converted, numbered, and encoded where that helps.

While the engine follows objects on one picture it can encode the next (`Preparer`). That one is taken as late
as the last steps allow: it should be encoded just when the engine gets free, and not be old by then.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from engine.types import Frame, MaskSet
from stream.latest import Latest
from stream.outage import Outage
from stream.picture import Picture
from stream.timeline import RTP_RATE, Timeline

NEWS = 0.3  # weight of the last step in how long they take
MARGIN = 0.004  # seconds to be early

InThread = Callable[[Callable[[], NDArray[np.uint8]]], Awaitable[NDArray[np.uint8]]]


@runtime_checkable
class Preparer(Protocol):
    """An engine that can begin with a picture before it is asked to follow objects on it."""

    def spare(self) -> bool:
        """Whether it has time now: else a picture would only wait longer, encoded."""
        ...

    def prepare(self, frame: Frame) -> None: ...


@dataclass(frozen=True, slots=True, eq=False)
class Taken:
    """A frame to follow objects on; monotonic seconds when its picture was taken, and was converted."""

    frame: Frame
    taken_at: float
    ready_at: float


class Intake:
    """Takes pictures out of `latest`, one after the other.

    Args:
        preparer: the engine if it can look ahead, else None: then nothing is taken before `next` asks.
        in_thread: runs a conversion.
        patient: the source waits for whoever takes its pictures, so they cannot be too old.

    Attributes:
        count: frames so far.
    """

    def __init__(
        self,
        latest: Latest[Picture | Outage],
        timeline: Timeline,
        preparer: Preparer | None,
        in_thread: InThread,
        patient: bool = False,
    ) -> None:
        self.count = 0
        self._latest, self._timeline, self._in_thread = latest, timeline, in_thread
        self._preparer, self._patient = preparer, patient
        self._asked = asyncio.Event()
        self._coming: asyncio.Task[Taken | Outage] | None = None
        self._delay: float | None = None

    async def next(self) -> Taken | Outage:
        """The next frame, or that there is none for now.

        Raises:
            LatestClosed: no more will come.
        """
        coming, self._coming = self._coming, None
        if coming is None:
            return await self._take()
        self._asked.set()
        return await coming

    def look_ahead(self) -> None:
        """A step has begun: get the picture for the one after it ready meanwhile."""
        if self._preparer is not None and self._delay is not None:
            self._asked.clear()
            self._coming = asyncio.create_task(self._ahead(self._preparer, self._delay))

    def learn(self, masks: MaskSet, seconds: float) -> None:
        """A step has been done in so many seconds."""
        encoding = masks.timings.get("read", 0.0) + masks.timings.get("encode", 0.0)
        spare = 0.0 if self._patient else max(0.0, seconds - encoding - MARGIN)
        self._delay = spare if self._delay is None else self._delay + NEWS * (spare - self._delay)

    async def close(self) -> None:
        if self._coming is not None:
            self._coming.cancel()
            await asyncio.gather(self._coming, return_exceptions=True)

    async def _ahead(self, preparer: Preparer, delay: float) -> Taken | Outage:
        try:
            async with asyncio.timeout(delay):
                await self._asked.wait()
        except TimeoutError:
            if not preparer.spare():
                await self._asked.wait()
        item = await self._take()
        if isinstance(item, Taken) and not self._asked.is_set():
            preparer.prepare(item.frame)
        return item

    async def _take(self) -> Taken | Outage:
        item = await self._latest.get()
        if isinstance(item, Outage):
            return item
        taken_at = time.monotonic()
        image = item.i420() if item.plain else await self._in_thread(item.i420)
        return Taken(self._frame(item, image), taken_at, time.monotonic())

    def _frame(self, picture: Picture, image: NDArray[np.uint8]) -> Frame:
        ticks = self._timeline.ticks(picture.pts, picture.captured_at)
        frame = Frame(
            self.count,
            image,
            picture.captured_at,
            ticks / RTP_RATE,
            self._timeline.rtp_timestamp(ticks),
            picture.capture_time,
        )
        self.count += 1
        return frame
