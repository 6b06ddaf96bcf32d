"""What several routes do alike: find a session, take an SDP, admit an offer."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable

from starlette.requests import HTTPConnection, Request
from starlette.responses import Response

from signaling.errors import ApiError
from signaling.rights import Principal, Right, allowed
from signaling.sessions import HolderFull, Opened, ServerFull
from signaling.state import AppState, state_of
from signaling.turn import links
from stream.live import Live
from stream.options import SDP_BYTES
from stream.wire import WireError

HTTP_STATUS = {
    "TOO_LARGE": 413,
    "RATE_LIMITED": 429,
    "SESSION_CLOSED": 410,
    "FORBIDDEN": 403,
    "INTERNAL_ERROR": 500,
}


def live_of(connection: HTTPConnection) -> Live:
    """The session that the path names, by id or name.

    Raises:
        ApiError: 404.
    """
    live = state_of(connection).sessions.live(connection.path_params["session_id"])
    if live is None:
        raise unknown(connection)
    return live


def unknown(connection: HTTPConnection) -> ApiError:
    """404, with the reason if the session that the path names has ended lately."""
    why = state_of(connection).sessions.why_ended(connection.path_params["session_id"])
    known = f"this session has ended: {why}" if why else "there is no such session; it may have ended"
    return ApiError(404, "NOT_FOUND", known)


def refused(error: WireError) -> ApiError:
    """A refusal of the wire as one of HTTP."""
    return ApiError(HTTP_STATUS.get(error.code, 400), error.code, error.reason)


def admit(state: AppState) -> None:
    """Refuse at once what cannot be served: before the model is there, and more offers than are bearable."""
    if not state.worker.ready:
        raise ApiError(
            503, "MODEL_LOADING", state.worker.error or "the model is being loaded", {"retry-after": "2"}
        )
    if not state.offers.take(time.monotonic()):
        raise ApiError(429, "RATE_LIMITED", "too many offers at once; try again", {"retry-after": "1"})


def full(what: str) -> ApiError:
    return ApiError(503, "SERVER_FULL", f"all {what} are taken; try again later", {"retry-after": "5"})


async def read_sdp(request: Request) -> str:
    """An SDP as a body of its own (RFC 9725).

    Raises:
        ApiError: 415, 413 or 400.
    """
    if media_type(request) != "application/sdp":
        raise ApiError(415, "INVALID_INPUT", "Content-Type: expected application/sdp")
    body = await request.body()
    if len(body) > SDP_BYTES:
        raise ApiError(413, "TOO_LARGE", f"sdp: expected at most {SDP_BYTES} bytes")
    try:
        return body.decode()
    except UnicodeDecodeError:
        raise ApiError(400, "INVALID_INPUT", "sdp: expected UTF-8") from None


def media_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def who_of(connection: HTTPConnection) -> Principal:
    """Whose key the request came with."""
    who = connection.state.who
    assert isinstance(who, Principal)
    return who


def may(connection: HTTPConnection, right: Right, session_id: str) -> bool:
    """Whether the request's key may do this to a session."""
    return allowed(who_of(connection), right, state_of(connection).sessions.owner(session_id))


async def begin(connection: HTTPConnection, make: Callable[[str], Awaitable[Opened]]) -> tuple[str, str]:
    """Begin a session of the request's key; gives its id and the SDP answer.

    Raises:
        ApiError: 503 or 429, no place.
        WireError: an offer that cannot be answered.
    """
    sessions, who = state_of(connection).sessions, who_of(connection)
    try:
        return await sessions.open(make, who.key_id, who.max_jobs)
    except ServerFull:
        raise full(f"{sessions.limit} sessions") from None
    except HolderFull:
        text = f"this key may have {who.max_jobs} sessions at once"
        raise ApiError(429, "RATE_LIMITED", text, {"retry-after": "5"}) from None


def answered(state: AppState, answer: str, headers: dict[str, str]) -> Response:
    """201 with an SDP answer, STUN and TURN servers in Link headers, one each (RFC 9725 section 4.6)."""
    response = Response(answer, 201, headers, "application/sdp")
    response.raw_headers += links(state.settings)
    return response


async def describe_endpoint(request: Request) -> Response:
    """OPTIONS of an endpoint that takes an SDP (RFC 9725 section 4.1)."""
    return Response(status_code=204, headers={"accept-post": "application/sdp"})
