"""How the service is: `/health` for probes and people, `/metrics` for Prometheus."""

from __future__ import annotations

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from signaling.state import state_of
from stream.encoders import VP8


async def health(request: Request) -> Response:
    """200 once the model is loaded and warm; before, and when it failed, 503 and why."""
    state = state_of(request)
    worker = state.worker
    if worker.ready:
        body = {
            "status": "ok",
            "model": {"name": worker.model.name, "why": worker.model.why},
            "encoders": {"h264": state.h264, "vp8": VP8},
            "decoder": state.decoder,
            "sessions": len(state.sessions),
            "max_sessions": state.settings.max_sessions,
        }
        return JSONResponse(body, headers={"cache-control": "no-store"})
    status, why = ("failed", worker.error) if worker.error else ("loading", "the model is being loaded")
    return JSONResponse(
        {"status": status, "why": why}, 503, headers={"retry-after": "2", "cache-control": "no-store"}
    )


async def metrics(request: Request) -> Response:
    """Prometheus' exposition format."""
    return Response(state_of(request).metrics.text(), media_type=CONTENT_TYPE_LATEST)


routes = [Route("/health", health), Route("/metrics", metrics)]
