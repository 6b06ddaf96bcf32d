"""`/cameras`: the names that a client may ask for, and which sessions follow each; docs/protocol.md 12."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from signaling.state import state_of


async def listing(request: Request) -> Response:
    """Every camera by name; never its address."""
    state = state_of(request)
    lives = [runner.live for runner in state.sessions.peers()]
    cameras = [
        {
            "name": camera.name,
            "autostart": camera.autostart,
            "sessions": [live.session_id for live in lives if live is not None and live.name == camera.name],
        }
        for camera in state.sources.cameras.values()
    ]
    return JSONResponse({"cameras": cameras})


routes = [Route("/cameras", listing, methods=["GET"])]
