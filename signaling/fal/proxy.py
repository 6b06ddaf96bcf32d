"""The endpoint that the JavaScript client's `proxyUrl` points at: it names the address it means in a header.

The request is handed to the part of this server that plays that host; nothing leaves the machine.
"""

from __future__ import annotations

from collections.abc import Mapping

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from signaling.fal.errors import FalError
from signaling.fal.responses import refusal
from signaling.fal.surfaces import target

TARGET = "x-fal-target-url"


class Proxy:
    """ASGI application; `surfaces` maps the names of fal's services to their applications."""

    def __init__(self, surfaces: Mapping[str, ASGIApp]) -> None:
        self._surfaces = surfaces

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        url = Headers(scope=scope).get(TARGET, "")
        found = target(url)
        if found is None:
            text = f"{TARGET}: expected a URL of fal.run, queue.fal.run or rest.fal.ai, got {url[:100]!r}"
            return await refusal(FalError(400, text, "bad_request"))(scope, receive, send)
        surface, path, query = found
        inner = {
            **scope,
            "path": path,
            "raw_path": path.encode(),
            "root_path": "",
            "query_string": query.encode(),
            # Addresses in the answer are reached directly, under the prefix of the surface.
            "livemask_root": f"/{surface}",
        }
        await self._surfaces[surface](inner, receive, send)
