"""Watching a session: WHEP players (draft-ietf-wish-whep) and further pages; docs/protocol.md section 14."""

from __future__ import annotations

import json
from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from signaling.errors import ApiError
from signaling.rights import Right
from signaling.routes.common import (
    admit,
    answered,
    describe_endpoint,
    full,
    live_of,
    may,
    media_type,
    read_sdp,
    refused,
    unknown,
)
from signaling.state import AppState, state_of
from signaling.turn import ice_servers, reach
from signaling.viewers import ViewersFull
from stream.live import Live
from stream.options import SDP_BYTES, Offer, read_offer
from stream.replies import PROTOCOL
from stream.viewer import Viewer
from stream.wire import WireError


async def whep(request: Request) -> Response:
    """201 with an SDP answer, the viewer's place in Location, STUN and TURN in Link."""
    state, live = state_of(request), live_of(request)
    admit(state)
    sdp = await read_sdp(request)
    codec = "h264" if "H264/90000" in sdp else None
    viewer_id, answer = await _open(state, live, sdp, lambda each: _viewer(state, each, live, codec=codec))
    headers = {
        "location": f"/whep/{request.path_params['session_id']}/{viewer_id}",
        "etag": f'"{viewer_id}"',
    }
    return answered(state, answer, headers)


async def page(request: Request) -> Response:
    """The same for a page: JSON, with data channels; who may prompt may prompt here too."""
    state, live = state_of(request), live_of(request)
    admit(state)
    offer = await _read(request)
    options, may_prompt = offer.options, may(request, Right.PROMPT, live.session_id)
    viewer_id, answer = await _open(
        state,
        live,
        offer.sdp or "",
        lambda each: Viewer(
            each,
            live,
            reach(state.settings),
            codec=options.codec,
            may_prompt=may_prompt,
            binary=options.binary,
        ),
    )
    body = {
        "id": viewer_id,
        "session_id": live.session_id,
        "sdp": answer,
        "type": "answer",
        "protocol": PROTOCOL,
        "may_prompt": may_prompt,
        "ice_servers": ice_servers(state.settings),
    }
    location = f"/sessions/{live.session_id}/viewers/{viewer_id}"
    return JSONResponse(body, 201, headers={"location": location})


async def leave(request: Request) -> Response:
    """End one viewer; the session goes on."""
    path = request.path_params
    if not await state_of(request).viewers.close(path["viewer_id"], path["session_id"]):
        raise unknown(request)
    return Response(status_code=200 if request.url.path.startswith("/whep/") else 204)


async def patch(request: Request) -> Response:
    """Neither trickle nor restart: the answer holds all candidates, and a new address needs a new offer."""
    raise ApiError(
        405, "UNSUPPORTED", "no trickle ICE and no ICE restart here: send a new offer", {"allow": "DELETE"}
    )


async def _read(request: Request) -> Offer:
    if media_type(request) != "application/json":
        raise ApiError(415, "INVALID_INPUT", "Content-Type: expected application/json")
    try:
        return read_offer(json.loads(await request.body()))
    except WireError as error:
        raise refused(error) from None
    except (ValueError, RecursionError):
        raise ApiError(400, "INVALID_INPUT", "body: expected JSON") from None


def _viewer(state: AppState, viewer_id: str, live: Live, codec: str | None) -> Viewer:
    return Viewer(viewer_id, live, reach(state.settings), codec=codec)


async def _open(state: AppState, live: Live, sdp: str, make: Callable[[str], Viewer]) -> tuple[str, str]:
    async def seated(viewer_id: str) -> tuple[Viewer, str]:
        viewer = make(viewer_id)
        return viewer, await viewer.answer(sdp)

    try:
        return await state.viewers.open(seated)
    except ViewersFull:
        raise full(f"{state.viewers.limit} viewers' places") from None
    except WireError as error:
        raise refused(error) from None


routes = [
    Route("/whep/{session_id}", describe_endpoint, methods=["OPTIONS"]),
    Route("/whep/{session_id}", whep, methods=["POST"], max_body_size=2 * SDP_BYTES),
    Route("/whep/{session_id}/{viewer_id}", leave, methods=["DELETE"]),
    Route("/whep/{session_id}/{viewer_id}", patch, methods=["PATCH"]),
    Route("/sessions/{session_id}/viewers", page, methods=["POST"], max_body_size=2 * SDP_BYTES),
    Route("/sessions/{session_id}/viewers/{viewer_id}", leave, methods=["DELETE"]),
]
