"""`/sessions`: an offer in, an answer out, and what runs since; docs/protocol.md section 1."""

from __future__ import annotations

import json

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from signaling.errors import ApiError
from signaling.opening import open_session
from signaling.rights import Right
from signaling.routes.common import admit, begin, may, media_type, refused, unknown
from signaling.state import state_of
from signaling.turn import ice_servers
from stream.options import SDP_BYTES, Offer, read_offer
from stream.replies import PROTOCOL
from stream.wire import WireError

# An SDP within its limit, JSON escapes included, and the other fields.
BODY_BYTES = 2 * SDP_BYTES


async def create(request: Request) -> Response:
    """201 with the answer; 400, 403, 404, 413, 415, 429 or 503 with the reason."""
    state = state_of(request)
    outcome = state.metrics.offers.labels
    try:
        admit(state)
        offer = await _read(request)
        session_id, answer = await begin(request, lambda session_id: open_session(state, session_id, offer))
    except ApiError:
        outcome("refused").inc()
        raise
    except WireError as error:
        outcome("refused").inc()
        raise refused(error) from None
    outcome("answered").inc()
    body = {
        "id": session_id,
        **({"sdp": answer, "type": "answer"} if offer.sdp is not None else {}),
        "protocol": PROTOCOL,
        "ice_servers": ice_servers(state.settings),
        "model": {"name": state.worker.model.name, "why": state.worker.model.why},
    }
    return JSONResponse(body, 201, headers={"location": f"/sessions/{session_id}"})


async def _read(request: Request) -> Offer:
    # A form of another site's page can post text and form data, but not this type.
    if media_type(request) != "application/json":
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


async def ice(request: Request) -> Response:
    """STUN and TURN servers for an offer, TURN with credentials that expire."""
    servers = ice_servers(state_of(request).settings)
    return JSONResponse({"ice_servers": servers}, headers={"cache-control": "no-store"})


async def listing(request: Request) -> Response:
    """Every session that runs and that the key may watch."""
    peers = state_of(request).sessions.peers()
    shown = [peer.snapshot() for peer in peers if may(request, Right.WATCH, peer.session_id)]
    return JSONResponse({"sessions": shown})


async def show(request: Request) -> Response:
    """One session."""
    peer = state_of(request).sessions.find(request.path_params["session_id"])
    if peer is None:
        raise unknown(request)
    return JSONResponse(peer.snapshot())


async def delete(request: Request) -> Response:
    """End one session; 204 when everything of it is freed."""
    if not await state_of(request).sessions.close(request.path_params["session_id"], "deleted"):
        raise unknown(request)
    return Response(status_code=204)


routes = [
    Route("/sessions/ice-servers", ice, methods=["GET"]),
    Route("/sessions", listing, methods=["GET"]),
    Route("/sessions", create, methods=["POST"]),
    Route("/sessions/{session_id}", show, methods=["GET"]),
    Route("/sessions/{session_id}", delete, methods=["DELETE"]),
]
