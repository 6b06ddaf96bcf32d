"""A person at the other end: opens a session, clicks, and keeps all that comes back with its moment."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import IO, Any

import av
import numpy as np
from aiortc.mediastreams import MediaStreamError
from numpy.typing import NDArray

from signaling.demo import barcode
from signaling.demo.camera import RATE, Camera
from signaling.demo.footage import Footage
from signaling.serverprocess import get_json
from stream.client import LiveClient
from stream.picture import Picture
from stream.timeline import RTP_MODULUS

FIRST_PICTURE_SECONDS = 30.0
LAST_PICTURE_SECONDS = 3.0
SETTLE_SECONDS = 1.0  # the bitrates and the model warm to the stream before the click


@dataclass(slots=True)
class Seen:
    """One masked picture that arrived: when (monotonic), and its place in the spool file."""

    at: float
    place: int


@dataclass(slots=True)
class Recording:
    """All that came back. Pictures and results are by index in the footage.

    Attributes:
        clicks: for each object, seconds from sending the click to the first picture that shows its mask.
        captured: monotonic moment of each picture that the camera filmed.
        seen: masked pictures that arrived.
        results: `result` messages (docs/protocol.md section 8).
        server: the session's snapshot at the end.
        health: what the server said of itself and its model.
    """

    footage: Footage
    spool: IO[bytes] | None
    clicks: dict[int, float] = field(default_factory=dict)
    captured: Mapping[int, float] = field(default_factory=dict)
    seen: dict[int, Seen] = field(default_factory=dict)
    results: dict[int, dict[str, Any]] = field(default_factory=dict)
    server: dict[str, Any] = field(default_factory=dict)
    health: dict[str, Any] = field(default_factory=dict)

    def picture(self, index: int) -> NDArray[np.uint8]:
        """The masked picture of `index` as I420; there must be a spool."""
        assert self.spool is not None
        height, width = self.footage.height, self.footage.width
        size = height * width * 3 // 2
        self.spool.seek(self.seen[index].place * size)
        return np.frombuffer(self.spool.read(size), np.uint8).reshape(height * 3 // 2, width)


class Watcher:
    """One session of one client, from the offer to the last picture.

    Args:
        spool: an empty binary file for the pictures, or None to keep only their moments.
        options: further fields of `POST /sessions`.
    """

    def __init__(
        self, url: str, footage: Footage, spool: IO[bytes] | None, options: Mapping[str, object] | None = None
    ) -> None:
        self._url = url
        self._footage = footage
        self._spool = spool
        # Plain until the first click: in some modes a picture without objects is black, barcode and all.
        self._options = {**(options or {}), "apply_mask": False}
        self._camera = Camera(footage)
        self._results: dict[int, dict[str, Any]] = {}  # by RTP timestamp
        self._seen: dict[int, Seen] = {}  # by RTP timestamp
        self._arrived = asyncio.Condition()
        self._slate: tuple[int, int] | None = None  # a number and the RTP timestamp it came back under

    async def play(self) -> Recording:
        """Run the whole session.

        Raises:
            TimeoutError: no picture came back, or a click was not answered.
            stream.wire.WireError: a click was refused.
        """
        live = await LiveClient.connect(
            self._url, self._camera, options=self._options, listener=self._on_message
        )
        reading = asyncio.create_task(self._read(live))
        try:
            await asyncio.wait_for(self._until(lambda: self._slate is not None), FIRST_PICTURE_SECONDS)
            await asyncio.sleep(SETTLE_SECONDS)
            clicks = await self._click(live)
            self._camera.roll()
            await self._camera.done.wait()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._until(self._complete), LAST_PICTURE_SECONDS)
            return await self._record(live, clicks)
        finally:
            reading.cancel()
            await live.close()
            await asyncio.gather(reading, return_exceptions=True)

    # What comes back.

    def _on_message(self, message: Mapping[str, Any]) -> None:
        if message.get("type") == "result":
            self._results[message["rtp_timestamp"]] = dict(message)

    async def _read(self, live: LiveClient) -> None:
        with suppress(MediaStreamError):
            while True:
                video = await live.video.recv()
                at = time.monotonic()
                if isinstance(video, av.VideoFrame):
                    await self._keep(live.rtp_timestamp(video), at, video)

    async def _keep(self, rtp_timestamp: int, at: float, video: av.VideoFrame) -> None:
        place = len(self._seen)
        if self._slate is None or self._spool is not None:
            picture = await asyncio.to_thread(Picture(video, at).i420)
            if self._slate is None and (number := barcode.read(picture)) is not None:
                self._slate = (number, rtp_timestamp)
            if self._spool is not None:
                await asyncio.to_thread(self._spool.write, picture.tobytes())
        async with self._arrived:
            self._seen[rtp_timestamp] = Seen(at, place)
            self._arrived.notify_all()

    async def _until(self, holds: Any) -> None:
        async with self._arrived:
            await self._arrived.wait_for(holds)

    # What is done.

    async def _click(self, live: LiveClient) -> dict[int, float]:
        """Click the objects one after the other; seconds until each mask was in the picture."""
        taken = {}
        for message in self._footage.prompts():
            newest = max(self._seen.items(), key=lambda item: item[1].at)[0]
            sent_at = time.monotonic()
            frame = {"width": self._footage.width, "height": self._footage.height, "rtp_timestamp": newest}
            ack = await live.prompt({**frame, "apply_mask": True, **message})
            shows = ack["rtp_timestamp"]
            await asyncio.wait_for(self._until(lambda wanted=shows: self._first_since(wanted)), 20)
            taken[int(message["object_id"])] = self._first_since(shows)[0].at - sent_at
        return taken

    def _first_since(self, rtp_timestamp: int) -> list[Seen]:
        """The earliest picture sent under `rtp_timestamp` or later, if it has come."""
        since = [
            seen
            for stamp, seen in self._seen.items()
            if (stamp - rtp_timestamp) % RTP_MODULUS < RTP_MODULUS // 2
        ]
        return sorted(since, key=lambda seen: seen.at)[:1]

    def _complete(self) -> bool:
        """Whether the last picture of the footage has come back, or one after it."""
        return any(self._index(stamp) >= len(self._footage) - 1 for stamp in self._seen)

    async def _record(self, live: LiveClient, clicks: dict[int, float]) -> Recording:
        assert live.location is not None
        server = await asyncio.to_thread(get_json, live.location)
        health = await asyncio.to_thread(get_json, f"{self._url}/health")
        filmed = range(len(self._footage))
        return Recording(
            self._footage,
            self._spool,
            clicks,
            self._camera.captured,
            {index: seen for stamp, seen in self._seen.items() if (index := self._index(stamp)) in filmed},
            {
                index: result
                for stamp, result in self._results.items()
                if (index := self._index(stamp)) in filmed
            },
            server,
            health,
        )

    def _index(self, rtp_timestamp: int) -> int:
        """Index in the footage of the picture sent under `rtp_timestamp`, by the clock since the barcode."""
        assert self._slate is not None
        number, stamp = self._slate
        since = (rtp_timestamp - stamp + RTP_MODULUS // 2) % RTP_MODULUS - RTP_MODULUS // 2
        first = self._camera.first
        return -1 if first is None else number + round(since * self._footage.fps / RATE) - first
