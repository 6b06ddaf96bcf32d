"""Who watches a session of the service under test: WHEP players and further pages, over any wire."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import numpy as np
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError
from signaling_service import Service, until

from signaling.bench.relay import Relay
from stream.wire import Message

CLICK = {"prompts": [{"x": 50, "y": 50, "object_id": 5}], "width": 640, "height": 480}


async def sample(service: Service) -> str:
    """A session on the built-in clip that nobody watches; its id."""
    answer = await service.http.post("/sessions", json={"source": "sample"})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


class Player:
    """Receives pictures and nothing else."""

    def __init__(self, connection: RTCPeerConnection) -> None:
        self.connection = connection
        self.frames: list[np.ndarray] = []
        self.location = ""
        self.headers = httpx.Headers()
        self._task: asyncio.Task[None] | None = None

    def play(self) -> None:
        (receiver,) = self.connection.getReceivers()

        async def watch() -> None:
            while True:
                try:
                    frame = await receiver.track.recv()
                except MediaStreamError:
                    return
                self.frames.append(frame.to_ndarray(format="rgb24"))

        self._task = asyncio.create_task(watch())

    async def complain(self) -> None:
        """Say what a player says that lost a picture: RTCP PLI (RFC 4585)."""
        (receiver,) = self.connection.getReceivers()
        (source,) = receiver.getSynchronizationSources()
        await receiver._send_rtcp_pli(source.source)

    async def close(self) -> None:
        await self.connection.close()
        if self._task is not None:
            await self._task


@asynccontextmanager
async def player(
    service: Service, session: str, relay: Relay | None = None, **headers: str
) -> AsyncIterator[Player]:
    """A WHEP player; all that it sends and receives passes the relay, if there is one."""
    connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    connection.addTransceiver("video", "recvonly")
    sdp = await offered(connection, relay)
    answer = await service.http.post(
        f"/whep/{session}", content=sdp, headers={"content-type": "application/sdp", **headers}
    )
    assert answer.status_code == 201, answer.text
    playing = Player(connection)
    playing.location, playing.headers = answer.headers["location"], answer.headers
    await accept(connection, answer.text, relay)
    playing.play()
    try:
        yield playing
    finally:
        await playing.close()


class Page(Player):
    """A second page on a session: video and both channels."""

    def __init__(self) -> None:
        super().__init__(RTCPeerConnection(RTCConfiguration(iceServers=[])))
        self.messages: list[Message] = []
        self.answer: Message = {}
        self.connection.addTransceiver("video", "recvonly")
        self._prompts = self.connection.createDataChannel("prompts")
        self._results = self.connection.createDataChannel("results", ordered=False, maxRetransmits=0)
        for channel in (self._prompts, self._results):
            channel.on("message", lambda data: self.messages.append(json.loads(data)))

    def of(self, kind: str) -> list[Message]:
        return [message for message in self.messages if message["type"] == kind]

    def say(self, message: Message) -> None:
        self._prompts.send(json.dumps(message))


@asynccontextmanager
async def page_viewer(
    service: Service, session: str, relay: Relay | None = None, **headers: str
) -> AsyncIterator[Page]:
    page = Page()
    body = {"sdp": await offered(page.connection, relay), "type": "offer"}
    answer = await service.http.post(f"/sessions/{session}/viewers", json=body, headers=headers)
    assert answer.status_code == 201, answer.text
    page.answer = answer.json()
    await accept(page.connection, page.answer["sdp"], relay)
    page.play()
    try:
        await until(lambda: page.of("ready"))
        yield page
    finally:
        await page.close()


async def offered(connection: RTCPeerConnection, relay: Relay | None) -> str:
    """The offer to send."""
    await connection.setLocalDescription(await connection.createOffer())
    sdp = str(connection.localDescription.sdp)
    return await relay.rewrite(sdp) if relay else sdp


async def accept(connection: RTCPeerConnection, answer: str, relay: Relay | None) -> None:
    """Take the answer in. A player may call the server directly; behind a relay it hears nothing then."""
    sdp = await relay.rewrite(answer) if relay else answer
    await connection.setRemoteDescription(RTCSessionDescription(sdp, "answer"))
