"""The HTTP application, built from data: routes, middleware, one state."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware

from engine.worker import Worker
from signaling.archive import Archive
from signaling.cameras import read_cameras
from signaling.errors import on_exception, on_http_exception
from signaling.fal.mount import CORS_EXPOSED, CORS_METHODS
from signaling.fal.routes import fal_routes
from signaling.fal.service import FalService
from signaling.keyring import KeyRing
from signaling.metrics import Metrics
from signaling.routes import (
    cameras,
    health,
    page,
    pictures,
    prompts,
    recordings,
    results,
    sessions,
    viewers,
    whip,
)
from signaling.security import Guard
from signaling.sessions import Registry
from signaling.settings import Settings
from signaling.sources import Sources
from signaling.standing import keep_standing
from signaling.state import AppState
from signaling.viewers import Viewers
from stream.bucket import Bucket
from stream.encoders import pick_h264
from stream.network import use_ports
from stream.picture import CUDA, SOFTWARE
from stream.sources.reader import has_cuda

STOP_SECONDS = 3.0
# The page comes last: it takes every path that is left.
OWN_ROUTES = tuple(
    route
    for module in (health, sessions, prompts, results, viewers, pictures, recordings, cameras, whip, page)
    for route in module.routes
)
PROTECTED = ("/sessions", "/metrics", "/cameras", "/whip", "/whep", "/recordings")


def create_app(settings: Settings, worker: Worker, fal: FalService | None = None) -> Starlette:
    """The service around one engine thread; the worker is started and stopped with the application.

    Args:
        fal: the fal-compatible API, where it is to be served too; started and stopped likewise.
    """
    named = read_cameras(Path(settings.cameras), os.environ) if settings.cameras else {}
    registry = Registry(settings.max_sessions, settings.max_duration)
    watching = Viewers(settings.max_viewers)
    ring = fal.ring if fal else KeyRing(settings, required=settings.keys_required)
    app = Starlette(
        routes=[*(fal_routes(fal) if fal else ()), *OWN_ROUTES],
        middleware=[
            Middleware(
                CORSMiddleware,
                allow_origins=settings.allowed_origins,
                allow_methods=CORS_METHODS,
                allow_headers=["*"],
                expose_headers=["location", "retry-after", "etag", "link", *CORS_EXPOSED],
            ),
            Middleware(Guard, settings=settings, ring=ring, protected=_protected, owner=registry.owner),
        ],
        exception_handlers={HTTPException: on_http_exception, Exception: on_exception},
        lifespan=_lifespan,
    )
    app.state.livemask = AppState(
        settings=settings,
        worker=worker,
        sessions=registry,
        metrics=Metrics(registry, watching),
        fal=fal,
        sources=Sources(settings, named),
        h264=pick_h264(settings.h264_encoder),
        decoder=CUDA if has_cuda() else SOFTWARE,
        viewers=watching,
        archive=Archive(settings),
        offers=Bucket(settings.offers_per_second, burst=2 * settings.offers_per_second),
    )
    return app


def _protected(path: str) -> bool:
    return path.startswith(PROTECTED)


@asynccontextmanager
async def _lifespan(app: Starlette) -> AsyncIterator[None]:
    state: AppState = app.state.livemask
    state.worker.start()
    ports = state.settings.udp_ports
    give_ports_back = use_ports(asyncio.get_running_loop(), ports) if ports else None
    standing = asyncio.create_task(keep_standing(state))
    if state.fal:
        await state.fal.start()
    try:
        yield
    finally:
        standing.cancel()
        await asyncio.gather(standing, return_exceptions=True)
        await state.viewers.close_all("shutdown")
        await state.sessions.close_all("shutdown")
        if give_ports_back:
            give_ports_back()
        if state.fal:
            await state.fal.stop()
        await _stop(state.worker)


async def _stop(worker: Worker) -> None:
    """Stop the engine thread; one that is loading a model for long is left to the end of the process."""
    stopped, loop = asyncio.Event(), asyncio.get_running_loop()

    def stop() -> None:
        worker.stop()
        with suppress(RuntimeError):  # the loop may have been closed meanwhile
            loop.call_soon_threadsafe(stopped.set)

    threading.Thread(target=stop, name="engine stop", daemon=True).start()
    with suppress(TimeoutError):
        await asyncio.wait_for(stopped.wait(), STOP_SECONDS)
