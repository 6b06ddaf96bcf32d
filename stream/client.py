"""A client in Python: what the page does, for tests, the demo, benchmarks and scripts.

live = await LiveClient.connect("http://127.0.0.1:8000", track)
ack = await live.prompt({"prompts": [{"x": 312, "y": 208, "object_id": 1}]})
frame = await live.video.recv()
await live.close()
"""

from __future__ import annotations

import asyncio
import json
import urllib.request
from collections.abc import Callable, Mapping
from urllib.parse import urljoin

import av
from aiortc import (
    MediaStreamTrack,
    RTCConfiguration,
    RTCDataChannel,
    RTCPeerConnection,
    RTCSessionDescription,
)

from stream import codecs, wire
from stream.jitter import release_at_marker
from stream.sender_clock import rtp_timestamp_of
from stream.wire import Message, WireError

Listener = Callable[[Message], None]


class LiveClient:
    """One session from the client's side.

    Args:
        track: the camera; None to only receive (source "sample").
        codec: the only one to offer, "vp8" or "h264"; None offers all.
        binary: send msgpack instead of JSON.
        listener: called with every message that is not the answer to `prompt`: results, stats, state, ...
    """

    def __init__(
        self,
        track: MediaStreamTrack | None,
        *,
        codec: str | None = None,
        binary: bool = False,
        listener: Listener | None = None,
    ) -> None:
        self.location: str | None = None
        self._binary = binary
        self._listener = listener or (lambda message: None)
        self._answers: dict[wire.RequestId, asyncio.Future[Message]] = {}
        self._requests = 0
        self._headers: dict[str, str] = {}
        self._connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self._transceiver = self._connection.addTransceiver(
            track or "video", "sendrecv" if track else "recvonly"
        )
        release_at_marker(self._transceiver.receiver)
        self._transceiver.setCodecPreferences(
            [
                each
                for each in codecs.preferred(codec)
                if each.mimeType.lower() in (f"video/{codec}", "video/rtx")
            ]
        )
        self._prompts = self._channel("prompts")
        self._results = self._channel("results", ordered=False, maxRetransmits=0)

    @classmethod
    async def connect(
        cls,
        url: str,
        track: MediaStreamTrack | None,
        *,
        options: Mapping[str, object] | None = None,
        key: str | None = None,
        codec: str | None = None,
        binary: bool = False,
        listener: Listener | None = None,
    ) -> LiveClient:
        """Open a session at the server `url`.

        Args:
            options: further fields of `POST /sessions`.
            key: the server's key, where it wants one.

        Raises:
            urllib.error.HTTPError: the server refuses.
            TimeoutError: no connection within 20 s.
        """
        client = cls(track, codec=codec, binary=binary, listener=listener)
        client._headers = {"Authorization": f"Bearer {key}"} if key else {}
        try:
            body = {**(options or {}), "sdp": await client.offer(), "type": "offer"}
            answer = await client._request("POST", urljoin(url, "/sessions"), body)
            client.location = urljoin(url, f"/sessions/{answer['id']}")
            await client.accept(answer["sdp"])
        except BaseException:
            await client.close()
            raise
        return client

    async def offer(self) -> str:
        """Our SDP offer with all candidates."""
        await self._connection.setLocalDescription(await self._connection.createOffer())
        return str(self._connection.localDescription.sdp)

    async def accept(self, sdp: str) -> None:
        """Take the server's answer and wait until the prompts channel is open."""
        opened = asyncio.Event()
        self._prompts.on("open", opened.set)
        await self._connection.setRemoteDescription(RTCSessionDescription(sdp, "answer"))
        if self._transceiver.sender.track is not None:  # a browser, too, starts above aiortc's 0.5 Mb/s
            codecs.use_live_encoder(self._transceiver.sender, self._transceiver._codecs[0])
        if self._prompts.readyState != "open":
            await asyncio.wait_for(opened.wait(), 20)

    @property
    def video(self) -> MediaStreamTrack:
        """The masked video. Read it all the time: aiortc queues what is not read."""
        return self._transceiver.receiver.track

    def rtp_timestamp(self, frame: av.VideoFrame) -> int:
        """The RTP timestamp under which `frame` of `video` was sent: the key to its result."""
        return rtp_timestamp_of(self._transceiver.receiver, frame)

    async def prompt(self, message: Mapping[str, object], within: float = 20.0) -> Message:
        """Send a prompt message and wait for its `ack`; a `request_id` is added if it has none.

        Raises:
            WireError: the server refused it.
            TimeoutError: no answer in time.
        """
        self._requests += 1
        body = {"request_id": f"r{self._requests}", **message}
        answer: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self._answers[body["request_id"]] = answer  # type: ignore[index]
        try:
            self.send(wire.encode(body, binary=self._binary))
            return await asyncio.wait_for(answer, within)
        finally:
            del self._answers[body["request_id"]]  # type: ignore[arg-type]

    def send(self, data: bytes | str) -> None:
        """Send raw data on the prompts channel."""
        self._prompts.send(data)

    async def close(self) -> None:
        """End the session; safe to call twice."""
        location, self.location = self.location, None
        if location is not None:
            try:
                await self._request("DELETE", location, None)
            except OSError:
                pass  # it has ended already, or the server has
        await self._connection.close()

    def _channel(self, label: str, ordered: bool = True, maxRetransmits: int | None = None) -> RTCDataChannel:
        channel = self._connection.createDataChannel(label, ordered=ordered, maxRetransmits=maxRetransmits)
        channel.on("message", self._on_message)
        return channel

    def _on_message(self, data: bytes | str) -> None:
        message = wire.decode(data)
        if message.get("type") == "ping":
            self.send(wire.encode({"type": "pong", "id": message["id"]}, binary=self._binary))
            return
        answer = self._answers.get(message.get("request_id"))
        if answer is None or answer.done() or message["type"] not in ("ack", "x-fal-error"):
            self._listener(message)
        elif message["type"] == "ack":
            answer.set_result(message)
        else:
            answer.set_exception(WireError(message["error"], message["reason"], message["request_id"]))

    async def _request(self, method: str, url: str, body: Message | None) -> Message:
        return await asyncio.to_thread(self._fetch, method, url, body)

    def _fetch(self, method: str, url: str, body: Message | None) -> Message:
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json", **self._headers}
        request = urllib.request.Request(url, data, headers, method=method)
        with urllib.request.urlopen(request, timeout=30) as response:
            text = response.read()
        return dict(json.loads(text)) if text else {}
