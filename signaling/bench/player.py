"""A WHEP player (draft-ietf-wish-whep) in Python: receives a session's video and nothing else."""

from __future__ import annotations

import asyncio
import time
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Self
from urllib.parse import urljoin

import av
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError

from signaling.bench.relay import Relay
from stream.jitter import release_at_marker

ANSWER_SECONDS = 30.0


class Player:
    """Watches one session until it is left; used as an async context manager.

    Args:
        url: of the server.
        session: id or name.
        on_frame: called with each picture decoded.
        relay: what every packet is to pass; directly if not given.

    Attributes:
        arrivals: `time.monotonic()` of each picture.

    Raises (on entering):
        urllib.error.HTTPError: the server refuses.
    """

    def __init__(
        self,
        url: str,
        session: str,
        on_frame: Callable[[av.VideoFrame], None] | None = None,
        relay: Relay | None = None,
    ) -> None:
        self.arrivals: list[float] = []
        self._url, self._session = url, session
        self._on_frame = on_frame
        self._relay = relay
        self._location: str | None = None
        self._came = asyncio.Condition()
        self._connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self._receiver = self._connection.addTransceiver("video", "recvonly").receiver
        release_at_marker(self._receiver)
        self._watching: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        await self._connection.setLocalDescription(await self._connection.createOffer())
        try:
            answer = await asyncio.to_thread(self._post, await self._altered(self._offered))
            sdp = await self._altered(answer)
            await self._connection.setRemoteDescription(RTCSessionDescription(sdp, "answer"))
        except BaseException:
            await self._connection.close()
            raise
        self._watching = asyncio.create_task(self._watch())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._location is not None:
            with suppress(OSError):  # it has ended already, or the server has
                await asyncio.to_thread(self._delete, self._location)
        await self.vanish()

    async def vanish(self) -> None:
        """Close our end without telling the server by HTTP."""
        self._location = None
        await self._connection.close()
        if self._watching is not None:
            await self._watching

    async def until(self, pictures: int, within: float = 60.0) -> None:
        """Wait until so many pictures have come.

        Raises:
            TimeoutError: they did not.
        """
        async with self._came:
            await asyncio.wait_for(self._came.wait_for(lambda: len(self.arrivals) >= pictures), within)

    @property
    def _offered(self) -> str:
        return str(self._connection.localDescription.sdp)

    async def _altered(self, sdp: str) -> str:
        return await self._relay.rewrite(sdp) if self._relay else sdp

    async def _watch(self) -> None:
        with suppress(MediaStreamError):
            while True:
                video = await self._receiver.track.recv()
                async with self._came:
                    self.arrivals.append(time.monotonic())
                    self._came.notify_all()
                if self._on_frame is not None and isinstance(video, av.VideoFrame):
                    self._on_frame(video)

    def _post(self, offer: str) -> str:
        headers = {"Content-Type": "application/sdp"}
        request = urllib.request.Request(
            urljoin(self._url, f"/whep/{self._session}"), offer.encode(), headers, method="POST"
        )
        with urllib.request.urlopen(request, timeout=ANSWER_SECONDS) as response:
            self._location = urljoin(self._url, response.headers["Location"])
            return str(response.read().decode())

    def _delete(self, location: str) -> None:
        urllib.request.urlopen(urllib.request.Request(location, method="DELETE"), timeout=30).close()
