"""What the routes have in common: bodies in, errors and server-sent events out."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator, Mapping
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from signaling.fal.errors import FalError
from signaling.fal.jobs import Outcome

logger = logging.getLogger("livemask.fal")

KEEP_ALIVE = b": keep-alive\n\n"


async def read_json(request: Request, limit: int) -> Any:
    """The JSON body, None when there is none.

    Raises:
        FalError: 413 too large, 400 not JSON.
    """
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise FalError(
                413, f"The body is larger than {limit} bytes; upload large files", "file_too_large"
            )
    if not body:
        return None
    try:
        return strict_json(body)
    except ValueError as error:
        raise FalError(400, f"The body is not JSON ({error})", "bad_request") from None


def strict_json(text: str | bytes | bytearray) -> Any:
    """What a JSON text says, if it can be said again: numbers are finite, text is Unicode.

    Python's reader also takes NaN, 1e999 (as infinity) and half a surrogate pair.

    Raises:
        ValueError
    """
    try:
        value = json.loads(text)
        json.dumps(value, allow_nan=False, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise ValueError("half a surrogate pair is no text") from None
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    return value


def answer(outcome: Outcome, request_id: str) -> Response:
    """How a finished request is answered, whether it went well or not."""
    headers = {"x-fal-request-id": request_id}
    if outcome.error_type:
        headers["x-fal-error-type"] = outcome.error_type
        headers["x-fal-retryable"] = "false"
    if outcome.error_type == "request_timeout":
        headers["x-fal-request-timeout-type"] = "user"
    if outcome.http_status == 422:
        headers["x-fal-billable-units"] = "0"
    return JSONResponse(outcome.result, outcome.http_status, headers)


def refusal(error: FalError) -> Response:
    return JSONResponse(error.body, error.status, error.headers)


async def on_fal_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, FalError)
    return refusal(error)


async def on_http_exception(request: Request, error: Exception) -> Response:
    """Starlette's own refusals in fal's words."""
    assert isinstance(error, HTTPException)
    detail = f"Path {request.url.path} not found" if error.status_code == 404 else error.detail
    return JSONResponse({"detail": detail}, error.status_code, error.headers)


async def on_exception(request: Request, error: Exception) -> Response:
    return JSONResponse(
        {"detail": "Internal Server Error"}, 500, {"x-fal-error-type": "internal_server_error"}
    )


def event(data: Mapping[str, Any]) -> bytes:
    """One server-sent event. Escaped to ASCII, for the JavaScript client decodes each chunk by itself."""
    return b"data: " + json.dumps(data, ensure_ascii=True).encode() + b"\n\n"


def events(source: AsyncIterator[bytes], headers: Mapping[str, str] | None = None) -> Response:
    quiet = {"cache-control": "no-cache", "x-accel-buffering": "no", **(headers or {})}
    return StreamingResponse(source, media_type="text/event-stream", headers=quiet)
