"""fal's realtime WebSocket: `{app}/realtime`, msgpack or JSON in, answered in kind; errors as JSON text.

Inputs wait in a buffer of `max_buffering`; when it is full the oldest goes, so that a camera never falls
behind. A message with `video_url` is run as a request of the queue; one with a picture goes to the
connection's own tracker.
"""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import time
from collections import Counter, deque
from collections.abc import Mapping
from typing import Any

from starlette.routing import BaseRoute, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from signaling.fal.access import REALTIME
from signaling.fal.endpoints import Endpoint, find_endpoint
from signaling.fal.errors import FalError
from signaling.fal.live import LiveInput, LiveTracker, is_live, merged, read_live
from signaling.fal.service import FalService
from signaling.fal.submission import enqueue, outcome_of, wait_for
from signaling.fal.surfaces import files_origin, normal_app
from signaling.rights import Principal
from stream.wire import Message, WireError, decode, encode, request_id_of

logger = logging.getLogger("livemask.fal")

MAX_BUFFERING = 60
POLICY_VIOLATION = 1008
TRY_AGAIN_LATER = 1013
UNAUTHORIZED = {"status": "error", "error": "Unauthorized"}
TIMEOUT = WireError("TIMEOUT", "no inputs, reconnect when needed!")
CODES = {401: "UNAUTHORIZED", 403: "FORBIDDEN", 404: "NOT_FOUND", 413: "TOO_LARGE", 429: "TOO_MANY_REQUESTS"}


class RealtimeRoutes:
    """The handlers, around one service."""

    def __init__(self, service: FalService) -> None:
        self._service = service
        self._open: Counter[str] = Counter()

    def routes(self) -> list[BaseRoute]:
        return [
            WebSocketRoute("/{app:path}/realtime", self.connect),
            WebSocketRoute("/{app:path}", self.connect),
        ]

    async def connect(self, socket: WebSocket) -> None:
        """Refusals are told after the handshake: a browser shows nothing of one that fails."""
        await socket.accept()
        app = normal_app(socket.path_params["app"]).removesuffix("/realtime")
        try:
            who = await self._admit(socket, app)
            endpoint = find_endpoint(app)
        except FalError as error:
            message = UNAUTHORIZED if error.status == 401 else _wire_error(error, None).message()
            await socket.send_text(json.dumps(message))
            return await socket.close(POLICY_VIOLATION, error.kind)
        full = self._full(who)
        if full is not None:
            await socket.send_text(json.dumps(WireError("TOO_MANY_CONNECTIONS", full).message()))
            return await socket.close(TRY_AGAIN_LATER, "too many connections")
        self._open[who.key_id] += 1
        try:
            await Connection(self._service, socket, endpoint, who).run()
        finally:
            self._open -= Counter([who.key_id])

    def _full(self, who: Principal) -> str | None:
        """Why there is no place, None when there is one."""
        settings = self._service.settings
        if self._open.total() >= settings.realtime_connections:
            return f"This server takes {settings.realtime_connections} realtime connections at once"
        mine = who.max_jobs or settings.key_jobs
        return f"This key may have {mine} at once" if self._open[who.key_id] >= mine else None

    async def _admit(self, socket: WebSocket, app: str) -> Principal:
        service = self._service
        token = socket.query_params.get("fal_jwt_token")
        claims = service.signer.read_token(token, REALTIME) if token else None
        apps = (claims or {}).get("apps") or []
        alias = app.split("/")[1] if "/" in app else app
        if apps and not {app, alias, f"{app}/realtime"} & set(apps):
            raise FalError(401, f"This token is for {', '.join(apps)}", "unauthorized")
        return await service.access.require(socket, "run", REALTIME)


class Connection:
    """One socket: a reader that fills the buffer, a worker that empties it, one end."""

    def __init__(self, service: FalService, socket: WebSocket, endpoint: Endpoint, who: Principal) -> None:
        self._service, self._socket, self._endpoint, self._who = service, socket, endpoint, who
        self._buffer: deque[tuple[Message | LiveInput, bool]] = deque()
        self._limit = buffering(socket.query_params.get("max_buffering"))
        self._filled = asyncio.Event()
        self._tracker: LiveTracker | None = None
        self._last_input = time.monotonic()
        self._busy = False

    async def run(self) -> None:
        working = asyncio.create_task(self._work())
        try:
            await self._read()
        except WebSocketDisconnect:
            pass
        finally:
            working.cancel()
            await asyncio.gather(working, return_exceptions=True)
            if self._tracker is not None:
                self._tracker.close()

    async def _read(self) -> None:
        idle = self._service.settings.realtime_idle_seconds
        while True:
            try:
                async with asyncio.timeout(idle):
                    received = await self._socket.receive()
            except TimeoutError:
                if self._busy or time.monotonic() - self._last_input < idle:
                    continue
                await self._refuse(TIMEOUT)
                return await self._socket.close(1000)
            if received["type"] == "websocket.disconnect":
                return
            data = received.get("bytes") if received.get("bytes") is not None else received.get("text")
            self._last_input = time.monotonic()
            await self._take(data or "")

    async def _take(self, data: bytes | str) -> None:
        """Check one message and put it into the buffer; the oldest there makes room, its prompts stay."""
        try:
            message = decode(data, self._service.settings.body_bytes)
            live = "video_url" in self._endpoint.files and is_live(message)
            item: Message | LiveInput = read_live(message) if live else message
        except WireError as error:
            return await self._refuse(error)
        binary = isinstance(data, bytes)
        while len(self._buffer) >= self._limit:
            older, _ = self._buffer.popleft()
            follower = self._buffer[0][0] if self._buffer else item
            if isinstance(older, LiveInput) and isinstance(follower, LiveInput):
                merged(older, follower)
        self._buffer.append((item, binary))
        self._filled.set()

    async def _work(self) -> None:
        while True:
            self._busy = bool(self._buffer)
            if not self._buffer:
                self._filled.clear()
                await self._filled.wait()
                continue
            item, binary = self._buffer.popleft()
            request_id = item.request_id if isinstance(item, LiveInput) else request_id_of(item)
            try:
                reply = await (self._live(item) if isinstance(item, LiveInput) else self._request(item))
                await self._send(reply, binary)
            except WireError as error:
                await self._refuse(error)
            except FalError as error:
                await self._refuse(_wire_error(error, request_id))
            except (WebSocketDisconnect, asyncio.CancelledError):
                raise
            except Exception:
                logger.exception("a realtime input failed")
                await self._refuse(WireError("INTERNAL_ERROR", "the server's log says what", request_id))
            self._last_input = time.monotonic()

    async def _live(self, asked: LiveInput) -> dict[str, Any]:
        if self._tracker is None:
            if not self._service.ready():
                raise WireError("NOT_READY", "the model is still being loaded", asked.request_id)
            self._tracker = LiveTracker(self._service.open_lane(), self._service.settings.image_pixels)
        if asked.url is not None:
            settings = self._service.settings
            asked.data = await self._service.inbox.read_picture(
                asked.url,
                files_origin(self._socket, settings.public_url),
                settings.body_bytes,
                ("image_url",),
            )
        return await self._tracker.step(asked)

    async def _request(self, message: Message) -> dict[str, Any]:
        """Run the input as a request; it is cancelled when the client goes."""
        service = self._service
        job = await enqueue(service, self._socket, self._endpoint, _plain(message), self._who)
        try:
            outcome = outcome_of(await wait_for(service, job.id))
        except asyncio.CancelledError:
            service.spawn(service.cancel(job.id))
            raise
        if outcome.http_status != 200:
            raise FalError(
                outcome.http_status, outcome.result["detail"], outcome.error_type or "internal_error"
            )
        request_id = request_id_of(message)
        return {**outcome.result, **({} if request_id is None else {"request_id": request_id})}

    async def _send(self, reply: Mapping[str, Any], binary: bool) -> None:
        encoded = encode(reply if binary else _json_ready(reply), binary=binary)
        if isinstance(encoded, bytes):
            await self._socket.send_bytes(encoded)
        else:
            await self._socket.send_text(encoded)

    async def _refuse(self, error: WireError) -> None:
        await self._socket.send_text(json.dumps(error.message()))


def buffering(text: str | None) -> int:
    """How many inputs wait; 1 when the client does not say: the newest, while one is worked on."""
    return min(max(int(text), 1), MAX_BUFFERING) if text is not None and text.isdecimal() else 1


def _wire_error(error: FalError, request_id: str | int | None) -> WireError:
    code = "INVALID_INPUT" if error.status in (400, 422) else CODES.get(error.status, "INTERNAL_ERROR")
    return WireError(code, error.message, request_id)


def _plain(message: Message) -> Message:
    """A message as a request's input: a picture that came as bytes becomes a data URI."""
    data = message.get("image_bytes")
    plain = {name: value for name, value in message.items() if name not in ("image_bytes", "request_id")}
    if isinstance(data, bytes):
        plain["image_url"] = "data:application/octet-stream;base64," + base64.b64encode(data).decode()
    return plain


def _json_ready(value: Any) -> Any:
    """The reply for JSON: bytes as base64."""
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, dict):
        return {name: _json_ready(item) for name, item in value.items()}
    return [_json_ready(item) for item in value] if isinstance(value, list) else value
