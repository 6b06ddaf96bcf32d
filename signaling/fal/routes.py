"""The API's routes as data: fal's hosts, their prefixes on one host, the proxy and the plain paths."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute, Host, Mount, Route, WebSocketRoute

from signaling.fal.errors import FalError
from signaling.fal.openapi import OpenApiRoute
from signaling.fal.proxy import Proxy
from signaling.fal.queue_routes import QueueRoutes
from signaling.fal.realtime import RealtimeRoutes
from signaling.fal.responses import on_exception, on_fal_error, on_http_exception
from signaling.fal.run_routes import RunRoutes
from signaling.fal.service import FalService
from signaling.fal.storage_routes import FileRoutes, TokenRoutes
from signaling.fal.surfaces import CDN, QUEUE, REST, RUN

HOSTS = {
    "queue.{domain}": QUEUE,
    "fal.run": RUN,
    "falrun.com": RUN,
    "rest.fal.ai": REST,
    "rest.alpha.fal.ai": REST,
    "{server}.fal.media": CDN,
    "fal.media": CDN,
}
# Paths of the service itself, which need its key; those of the API look after themselves.
METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS")


def fal_routes(service: FalService) -> list[BaseRoute]:
    """Everything of the API. Only paths that belong to it are taken, so that other routes may follow."""
    queue, run = QueueRoutes(service), RunRoutes(service)
    files, tokens = FileRoutes(service).routes(), TokenRoutes(service).routes()
    realtime = RealtimeRoutes(service).routes()
    # Files are served by each, so that the addresses of files work whichever host a client reaches.
    surfaces = {
        RUN: _application([*files, *realtime, *queue.routes(submitting=False), *run.routes()]),
        QUEUE: _application([*files, *queue.routes()]),
        REST: _application([*files, *tokens]),
        CDN: _application(files),
    }
    proxy = Proxy(surfaces)
    plain = surfaces[RUN]
    return [
        *(Host(pattern, surfaces[name]) for pattern, name in HOSTS.items()),
        *(Mount(f"/{name}", surfaces[name]) for name in surfaces),
        Route("/openapi.json", OpenApiRoute(service).answer, methods=["GET"]),
        Route("/api/fal/proxy", proxy, methods=METHODS),
        Route("/fal-ai/{rest:path}", plain, methods=METHODS),
        WebSocketRoute("/fal-ai/{rest:path}", plain),
        *_wrapped(surfaces[REST], ("/storage/{rest:path}", "/tokens/{rest:path}", "/.well-known/jwks.json")),
        *_wrapped(surfaces[CDN], ("/files/{rest:path}",)),
    ]


def _wrapped(app: Starlette, paths: Sequence[str]) -> list[BaseRoute]:
    return [Route(path, app, methods=METHODS) for path in paths]


def _application(routes: list[BaseRoute]) -> Starlette:
    return Starlette(
        routes=routes,
        exception_handlers={
            FalError: on_fal_error,
            HTTPException: on_http_exception,
            Exception: on_exception,
        },
    )
