"""A client and a peer of this process, joined by a real WebRTC connection over the loopback."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import numpy as np
from aiortc import MediaStreamTrack
from aiortc.mediastreams import MediaStreamError
from numpy.typing import NDArray

from stream.client import LiveClient
from stream.options import SessionOptions
from stream.peer import Peer
from stream.session import Step
from stream.wire import Message


class Link:
    """Both ends, and all that reached the client.

    Attributes:
        pictures: RGB pictures received, by the RTP timestamp that they were sent under.
        messages: all messages but the answers that `client.prompt` returns.
    """

    def __init__(self, track: MediaStreamTrack | None, codec: str | None, binary: bool) -> None:
        self.pictures: dict[int, NDArray[np.uint8]] = {}
        self.messages: list[Message] = []
        self.client = LiveClient(track, codec=codec, binary=binary, listener=self._hear)
        self.peer: Peer
        self.run: asyncio.Task[str]
        self._changed = asyncio.Event()

    def of(self, kind: str) -> list[Message]:
        return [message for message in self.messages if message["type"] == kind]

    @property
    def matched(self) -> list[tuple[NDArray[np.uint8], Message]]:
        """Received pictures with the results that carry their timestamps."""
        results = {message["rtp_timestamp"]: message for message in self.of("result")}
        return [(self.pictures[stamp], results[stamp]) for stamp in self.pictures if stamp in results]

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until something that arrived makes `condition` true."""
        async with asyncio.timeout(30):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    async def watch(self) -> None:
        """Receive video until it ends."""
        while True:
            try:
                frame = await self.client.video.recv()
            except MediaStreamError:
                return
            self.pictures[self.client.rtp_timestamp(frame)] = frame.to_ndarray(format="rgb24")
            self._changed.set()

    def _hear(self, message: Message) -> None:
        self.messages.append(message)
        self._changed.set()


@asynccontextmanager
async def linked(
    track: MediaStreamTrack | None,
    step: Step,
    options: SessionOptions | None = None,
    codec: str | None = None,
    binary: bool = False,
) -> AsyncIterator[Link]:
    link = Link(track, codec, binary)
    link.peer = Peer("9f0c", step, options)
    answer = await link.peer.answer(await link.client.offer())
    link.run = asyncio.create_task(link.peer.run())
    try:
        await link.client.accept(answer)
        watching = asyncio.create_task(link.watch())
        yield link
        watching.cancel()
    finally:
        link.peer.close("test over")
        await link.run
        await link.client.close()
