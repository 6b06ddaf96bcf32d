"""`/whip/{name}`: OBS, FFmpeg and GStreamer publish a camera here (RFC 9725); docs/protocol.md section 15."""

from __future__ import annotations

import re

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from signaling.errors import ApiError
from signaling.opening import open_lane
from signaling.routes.common import admit, answered, begin, describe_endpoint, read_sdp, refused, unknown
from signaling.sessions import Opened
from signaling.state import AppState, state_of
from signaling.turn import reach
from stream.options import SDP_BYTES
from stream.publisher import Publisher
from stream.wire import WireError

NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")


async def publish(request: Request) -> Response:
    """201 with an SDP answer, the session in Location, an ETag, STUN and TURN in Link.

    409 while a stream of that name is on; 4xx and 503 as for sessions.
    """
    state, name = state_of(request), request.path_params["name"]
    if not NAME.fullmatch(name):
        raise ApiError(404, "NOT_FOUND", "name: expected 1 to 64 letters, digits, '-', '_' or '.'")
    admit(state)
    sdp = await read_sdp(request)
    if state.sessions.live(name) is not None or name in state.sources.cameras:
        raise ApiError(409, "NAME_TAKEN", f"{name!r} is being published, or is a camera's name")
    try:
        session_id, answer = await begin(request, lambda session_id: _open(state, session_id, name, sdp))
    except WireError as error:
        raise refused(error) from None
    headers = {"location": f"/whip/{name}/{session_id}", "etag": f'"{session_id}"'}
    return answered(state, answer, headers)


async def _open(state: AppState, session_id: str, name: str, sdp: str) -> Opened:
    lane, step = open_lane(state)
    try:
        publisher = Publisher(session_id, name, step, reach(state.settings), h264=state.h264)
        return Opened(publisher, lane, await publisher.answer(sdp))
    except BaseException:
        lane.close()
        raise


async def stop(request: Request) -> Response:
    """200: the stream has ended."""
    state, path = state_of(request), request.path_params
    live = state.sessions.live(path["session_id"])
    if live is None or live.name != path["name"]:
        raise unknown(request)
    await state.sessions.close(path["session_id"], "deleted")
    return Response(status_code=200)


async def patch(request: Request) -> Response:
    """Neither trickle nor restart: the answer holds all candidates, and a new address needs a new offer."""
    raise ApiError(
        405, "UNSUPPORTED", "no trickle ICE and no ICE restart here: send a new offer", {"allow": "DELETE"}
    )


async def reserved(request: Request) -> Response:
    """405: RFC 9725 section 4.2 keeps these methods for later."""
    allowed = "DELETE" if "session_id" in request.path_params else "OPTIONS, POST"
    raise ApiError(405, "UNSUPPORTED", f"expected {allowed}, got {request.method}", {"allow": allowed})


routes = [
    Route("/whip/{name}", describe_endpoint, methods=["OPTIONS"]),
    Route("/whip/{name}", publish, methods=["POST"], max_body_size=2 * SDP_BYTES),
    Route("/whip/{name}/{session_id}", stop, methods=["DELETE"]),
    Route("/whip/{name}/{session_id}", patch, methods=["PATCH"]),
    Route("/whip/{name}", reserved, methods=["GET", "PUT"]),
    Route("/whip/{name}/{session_id}", reserved, methods=["GET", "POST", "PUT"]),
]
