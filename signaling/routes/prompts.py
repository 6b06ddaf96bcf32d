"""`POST /sessions/{id}/prompts`: the prompt message of the data channel over HTTP; docs/protocol.md 13."""

from __future__ import annotations

import asyncio

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from signaling.errors import ApiError
from signaling.routes.common import live_of, media_type, refused
from stream import wire
from stream.prompt_message import read_prompt_message
from stream.wire import MASK_MESSAGE_BYTES, WireError

# A camera that is out has no next picture; the message waits for it, its sender need not.
WAIT_SECONDS = 20.0
BINARY = ("application/msgpack", "application/x-msgpack")


async def prompt(request: Request) -> Response:
    """200 with the `ack`; 202 when it will act on a picture yet to come; else the error of section 9."""
    session = live_of(request).session
    kind = media_type(request)
    if kind not in ("application/json", *BINARY):
        raise ApiError(415, "INVALID_INPUT", "Content-Type: expected application/json or application/msgpack")
    body = await request.body()
    try:
        data = body if kind in BINARY else body.decode("utf-8", "surrogateescape")
        message = read_prompt_message(wire.decode(data))
        answer = session.submit(message)
        ack = await asyncio.wait_for(asyncio.shield(answer), WAIT_SECONDS)
    except TimeoutError:
        answer.add_done_callback(lambda done: done.cancelled() or done.exception())
        return JSONResponse({"type": "pending", "request_id": message.request_id}, 202)
    except WireError as error:
        raise refused(error) from None
    timings = {name: round(seconds, 4) for name, seconds in ack.timings.items()}
    return JSONResponse({**ack.message(), "timings": timings})


routes = [
    Route("/sessions/{session_id}/prompts", prompt, methods=["POST"], max_body_size=MASK_MESSAGE_BYTES + 1024)
]
