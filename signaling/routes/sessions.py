"""`/sessions`: an offer in, an answer out, and what runs since; docs/protocol.md section 1."""

from __future__ import annotations

import json
import time

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from signaling.errors import ApiError
from signaling.opening import open_session
from signaling.sessions import ServerFull
from signaling.state import AppState, state_of
from stream.options import SDP_BYTES, Offer, read_offer
from stream.replies import PROTOCOL
from stream.wire import WireError

# An SDP within its limit, JSON escapes included, and the other fields.
BODY_BYTES = 2 * SDP_BYTES
HTTP_STATUS = {"TOO_LARGE": 413}


async def create(request: Request) -> Response:
    """201 with the answer; 400, 403, 404, 413, 415, 429 or 503 with the reason."""
    state = state_of(request)
    outcome = state.metrics.offers.labels
    try:
        _admit(state)
        offer = await _read(request)
        session_id, answer = await state.sessions.open(
            lambda session_id: open_session(state, session_id, offer), request.state.key
        )
    except ServerFull:
        outcome("refused").inc()
        raise ApiError(
            503,
            "SERVER_FULL",
            f"all {state.sessions.limit} sessions are taken; try again later",
            {"retry-after": "5"},
        ) from None
    except ApiError:
        outcome("refused").inc()
        raise
    except WireError as error:
        outcome("refused").inc()
        raise ApiError(HTTP_STATUS.get(error.code, 400), error.code, error.reason) from None
    outcome("answered").inc()
    body = {
        "id": session_id,
        **({"sdp": answer, "type": "answer"} if offer.sdp is not None else {}),
        "protocol": PROTOCOL,
        "ice_servers": [{"urls": url} for url in state.settings.ice_servers],
        "model": {"name": state.worker.model.name, "why": state.worker.model.why},
    }
    return JSONResponse(body, 201, headers={"location": f"/sessions/{session_id}"})


def _admit(state: AppState) -> None:
    """Refuse at once what cannot be served: before the model is there, and more offers than are bearable."""
    if not state.worker.ready:
        raise ApiError(
            503, "MODEL_LOADING", state.worker.error or "the model is being loaded", {"retry-after": "2"}
        )
    if not state.offers.take(time.monotonic()):
        raise ApiError(429, "RATE_LIMITED", "too many offers at once; try again", {"retry-after": "1"})


async def _read(request: Request) -> Offer:
    # A form of another site's page can post text and form data, but not this type.
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise ApiError(415, "INVALID_INPUT", "Content-Type: expected application/json")
    try:
        body = json.loads(await _body(request))
    except (ValueError, RecursionError):
        raise ApiError(400, "INVALID_INPUT", "body: expected JSON") from None
    return read_offer(body)


async def _body(request: Request) -> bytes:
    """The body, read no further than its limit whatever its Content-Length says."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > BODY_BYTES:
            raise ApiError(413, "TOO_LARGE", f"body: expected at most {BODY_BYTES} bytes")
    return bytes(body)


async def listing(request: Request) -> Response:
    """Every session that runs."""
    return JSONResponse({"sessions": [peer.snapshot() for peer in state_of(request).sessions.peers()]})


async def show(request: Request) -> Response:
    """One session."""
    peer = state_of(request).sessions.find(request.path_params["session_id"])
    if peer is None:
        raise _unknown()
    return JSONResponse(peer.snapshot())


async def delete(request: Request) -> Response:
    """End one session; 204 when everything of it is freed."""
    if not await state_of(request).sessions.close(request.path_params["session_id"], "deleted"):
        raise _unknown()
    return Response(status_code=204)


def _unknown() -> ApiError:
    return ApiError(404, "NOT_FOUND", "there is no such session; it may have ended")


routes = [
    Route("/sessions", listing, methods=["GET"]),
    Route("/sessions", create, methods=["POST"]),
    Route("/sessions/{session_id}", show, methods=["GET"]),
    Route("/sessions/{session_id}", delete, methods=["DELETE"]),
]
