import asyncio
import socket
import urllib.error
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import uvicorn
from scene import Camera, ColourEngine, Scene
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from stream.client import LiveClient
from stream.options import read_offer
from stream.peer import Peer
from stream.wire import Message, WireError


class Server:
    """The least HTTP that docs/protocol.md section 1 asks for."""

    def __init__(self) -> None:
        self.peers: dict[str, Peer] = {}
        self.tasks: list[asyncio.Task[str]] = []
        self.headers: list[str | None] = []

    async def create(self, request: Request) -> Response:
        self.headers.append(request.headers.get("authorization"))
        try:
            offer = read_offer(await request.json())
        except WireError as error:
            return JSONResponse({"detail": error.reason, "error_type": error.code}, 400)
        peer = Peer("s1", ColourEngine().step, offer.options)
        answer = await peer.answer(offer.sdp)
        self.peers["s1"] = peer
        self.tasks.append(asyncio.create_task(peer.run()))
        return JSONResponse({"id": "s1", "sdp": answer, "type": "answer"}, 201)

    async def delete(self, request: Request) -> Response:
        self.peers.pop(request.path_params["id"]).close("deleted")
        return Response(status_code=204)


@asynccontextmanager
async def serving() -> AsyncIterator[tuple[Server, str]]:
    server = Server()
    routes = [
        Route("/sessions", server.create, methods=["POST"]),
        Route("/sessions/{id}", server.delete, methods=["DELETE"]),
    ]
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        http = uvicorn.Server(uvicorn.Config(Starlette(routes=routes), log_level="error"))
        task = asyncio.create_task(http.serve([listening]))
        try:
            yield server, f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            for peer in server.peers.values():
                peer.close("test over")
            await asyncio.gather(*server.tasks)
            http.should_exit = True
            await task


async def test_connects_prompts_watches_and_leaves() -> None:
    heard: list[Message] = []
    async with serving() as (server, url):
        live = await LiveClient.connect(
            url, Camera(Scene()), options={"encoding": "msgpack"}, key="secret", listener=heard.append
        )
        ack = await live.prompt({"prompts": [{"x": 30, "y": 50, "object_id": 3}]})
        assert ack["object_ids"] == [3]
        frame = await live.video.recv()
        assert (frame.width, frame.height) == (320, 240)
        await live.close()
        await live.close()
        assert await server.tasks[0] in ("deleted", "connection closed")
    assert server.headers == ["Bearer secret"]
    assert heard[0]["type"] == "ready"
    assert heard[0]["encoding"] == "msgpack"


async def test_a_refused_prompt_raises_and_an_own_request_id_is_kept() -> None:
    async with serving() as (_, url):
        live = await LiveClient.connect(url, Camera(Scene()))
        with pytest.raises(WireError, match="UNKNOWN_OBJECT") as caught:
            await live.prompt({"remove": 5, "request_id": "mine"})
        assert caught.value.request_id == "mine"
        await live.close()


async def test_a_refused_offer_raises_and_leaves_nothing() -> None:
    async with serving() as (server, url):
        with pytest.raises(urllib.error.HTTPError) as caught:
            await LiveClient.connect(url, Camera(Scene()), options={"source": "moon"})
        assert caught.value.code == 400
        assert b"INVALID_INPUT" in caught.value.read()
        assert not server.tasks
