"""`/sessions/{id}/results`: what the tracker finds, as server-sent events or over a WebSocket."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import suppress

from starlette.requests import HTTPConnection, Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from signaling.errors import ApiError
from signaling.routes.common import live_of
from stream import wire
from stream.live import Live
from stream.outputs.feed import Feed

KEEP_ALIVE_SECONDS = 10.0
GONE = 4404
REASON_BYTES = 123  # of a close frame (RFC 6455 section 5.5)


async def events(request: Request) -> Response:
    """Server-sent events (WHATWG HTML 9.2): `state`, then each `state` and `result`; `end` at the end."""
    live = live_of(request)
    headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
    return StreamingResponse(_events(live, _feed(request)), media_type="text/event-stream", headers=headers)


async def _events(live: Live, feed: Feed) -> AsyncIterator[str]:
    live.session.add_output(feed)
    try:
        yield _event("state", live.session.state())
        while True:
            try:
                message = await asyncio.wait_for(feed.next(), KEEP_ALIVE_SECONDS)
            except TimeoutError:
                yield ": still here\n\n"
                continue
            if message is None:
                yield _event("end", {"type": "end"})
                return
            yield _event(message["type"], message)
    finally:
        live.session.remove_output(feed)


def _event(kind: str, message: wire.Message) -> str:
    return f"event: {kind}\ndata: {json.dumps(message, separators=(',', ':'))}\n\n"


async def socket(websocket: WebSocket) -> None:
    """The same messages over a WebSocket, JSON text or (`?encoding=msgpack`) binary."""
    try:
        live = live_of(websocket)
        feed = _feed(websocket)
    except ApiError as error:
        await websocket.accept()
        await websocket.close(GONE, error.detail.encode()[:REASON_BYTES].decode(errors="ignore"))
        return
    await websocket.accept()
    live.session.add_output(feed)
    telling = asyncio.create_task(_tell(websocket, live, feed))
    try:
        with suppress(WebSocketDisconnect):
            while not telling.done():
                hearing = asyncio.create_task(websocket.receive_text())
                await asyncio.wait([telling, hearing], return_when=asyncio.FIRST_COMPLETED)
                if hearing.done():
                    hearing.result()  # what a reader says is ignored, that it leaves is not
                hearing.cancel()
    finally:
        live.session.remove_output(feed)
        telling.cancel()
        await asyncio.gather(telling, return_exceptions=True)


async def _tell(websocket: WebSocket, live: Live, feed: Feed) -> None:
    binary = websocket.query_params.get("encoding") == "msgpack"
    message: wire.Message | None = live.session.state()
    while message is not None:
        data = wire.encode(message, binary=binary)
        await (websocket.send_bytes(data) if isinstance(data, bytes) else websocket.send_text(data))
        message = await feed.next()
    await websocket.close(1000, "the session has ended")


def _feed(connection: HTTPConnection) -> Feed:
    rle = connection.query_params.get("rle", "true")
    if rle not in ("true", "false"):
        raise ApiError(400, "INVALID_INPUT", f"rle: expected true or false, got {rle!r}")
    return Feed(rle=rle == "true")


routes = [
    Route("/sessions/{session_id}/results", events, methods=["GET"]),
    WebSocketRoute("/sessions/{session_id}/results", socket),
]
