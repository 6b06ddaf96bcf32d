"""`/sessions/{id}/snapshot.jpg`, `.png`, `/mjpeg`: the masked picture for dashboards; docs/protocol.md 16."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Literal

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from signaling.errors import ApiError
from signaling.routes.common import live_of
from stream.outputs.glance import Glance
from stream.outputs.still import encode_still

FORMS: dict[str, Literal["jpeg", "png"]] = {"jpg": "jpeg", "png": "png"}
FIRST_SECONDS = 10.0
FPS, FPS_MOST = 5.0, 15.0
BOUNDARY = "livemask"


async def snapshot(request: Request) -> Response:
    """The newest picture; waits a while for the first."""
    glance = live_of(request).glance
    form = FORMS[request.url.path.rpartition(".")[2]]
    shown = glance.shown
    if shown is None:
        try:
            shown = await asyncio.wait_for(glance.next(), FIRST_SECONDS)
        except TimeoutError:
            shown = None
    if shown is None:
        raise ApiError(503, "NO_PICTURE", "the source has given no picture yet", {"retry-after": "2"})
    data = await asyncio.to_thread(encode_still, shown.image, form)
    headers = {"cache-control": "no-store", "x-frame-index": str(shown.frame.index)}
    return Response(data, 200, headers, f"image/{form}")


async def mjpeg(request: Request) -> Response:
    """multipart/x-mixed-replace, at most `?fps=` pictures a second (5; 15 is the most)."""
    glance = live_of(request).glance
    try:
        fps = float(request.query_params.get("fps", FPS))
    except ValueError:
        fps = 0.0
    if not 0 < fps <= FPS_MOST:
        raise ApiError(400, "INVALID_INPUT", f"fps: expected more than 0 and at most {FPS_MOST:g}")
    return StreamingResponse(
        _parts(glance, 1 / fps),
        media_type=f"multipart/x-mixed-replace; boundary={BOUNDARY}",
        headers={"cache-control": "no-store"},
    )


async def _parts(glance: Glance, pause: float) -> AsyncIterator[bytes]:
    shown = glance.shown or await glance.next()
    while shown is not None:
        data = await asyncio.to_thread(encode_still, shown.image, "jpeg")
        head = f"--{BOUNDARY}\r\nContent-Type: image/jpeg\r\nContent-Length: {len(data)}\r\n\r\n"
        yield head.encode() + data + b"\r\n"
        await asyncio.sleep(pause)
        shown = await glance.next()


routes = [
    Route("/sessions/{session_id}/snapshot.jpg", snapshot, methods=["GET"]),
    Route("/sessions/{session_id}/snapshot.png", snapshot, methods=["GET"]),
    Route("/sessions/{session_id}/mjpeg", mjpeg, methods=["GET"]),
]
