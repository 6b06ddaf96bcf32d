"""Who may speak to the service: hosts, origins, API keys.

Pure decisions over header values, and `Guard`, the one ASGI middleware that applies them to every request.
The keys themselves are in `signaling.keyring`, what they allow in `signaling.rights`.

A page of another site can make a browser send requests to a service on this machine (CSRF), and can point
a name of its own at 127.0.0.1 to be taken for the same origin (DNS rebinding). So the Host header must name
us, an Origin must be ours or allowed (`null` never is), and `Sec-Fetch-Site` must not name another site.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from signaling.errors import ApiError
from signaling.keyring import KeyRing
from signaling.rights import ANYBODY, Principal, allowed, needed, session_of
from signaling.settings import Settings

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
PAGE_HEADERS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "content-security-policy": (
        "default-src 'self'; img-src 'self' data: blob:; media-src 'self' data: blob: mediastream:; "
        "style-src 'self' 'unsafe-inline'; object-src 'none'; base-uri 'none'; frame-ancestors 'none'"
    ),
}


def host_name(host: str) -> str:
    """The name in a Host header, without port and brackets, in lower case."""
    try:
        return (urlsplit(f"//{host}").hostname or "").lower()
    except ValueError:
        return ""


def host_allowed(host: str, settings: Settings) -> bool:
    """Whether a Host header names this service.

    Beyond loopback an address literal is accepted as it stands: rebinding needs a name.
    """
    name = host_name(host)
    allowed = LOOPBACK_NAMES | {settings.host.lower()} | {entry.lower() for entry in settings.allowed_hosts}
    if name in allowed:
        return bool(name)
    return not settings.loopback and (_is_address(name) or name == socket.gethostname().lower())


def _is_address(name: str) -> bool:
    try:
        return not ipaddress.ip_address(name).is_unspecified
    except ValueError:
        return False


def origin_allowed(origin: str | None, host: str, settings: Settings) -> bool:
    """Whether a request with this Origin may pass: none at all (no browser), our own, or an allowed one.

    Our own is compared by host and port: behind a proxy that ends TLS the scheme differs.
    """
    if origin is None or origin in settings.allowed_origins:
        return True
    parts = urlsplit(origin)
    return parts.scheme in ("http", "https") and parts.netloc.lower() == host.lower()


def fetch_site_allowed(headers: Headers, settings: Settings) -> bool:
    """Whether `Sec-Fetch-Site` lets the request pass; a link from elsewhere may open the page itself."""
    if headers.get("sec-fetch-site", "none") in ("none", "same-origin"):
        return True
    if headers.get("origin") in settings.allowed_origins:
        return True
    return headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest") == "document"


class Guard:
    """ASGI middleware: refuses what may not pass, adds the page's security headers to what may.

    Who came is left in `scope["state"]["who"]`, a `Principal`.

    Args:
        protected: which paths need a key: not the page, which must load before anybody can enter one, not
            the health check, for probes carry none, and not the fal-compatible API, which looks after itself.
        owner: the key that began a session, by the session's id or name; None where there is none.
    """

    def __init__(
        self,
        app: ASGIApp,
        settings: Settings,
        ring: KeyRing,
        protected: Callable[[str], bool],
        owner: Callable[[str], str | None],
    ) -> None:
        self._app, self._settings, self._ring = app, settings, ring
        self._protected, self._owner = protected, owner

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            return await self._app(scope, receive, send)
        headers, path = Headers(scope=scope), scope["path"]
        try:
            self._check_origin(headers)
            who = ANYBODY
            if self._ring.required and self._protected(path):
                who = await self._admit(headers)
                self._check_right(who, scope.get("method", "GET"), path)
        except ApiError as error:
            return await error.response()(scope, receive, send)
        scope.setdefault("state", {})["who"] = who
        await self._app(scope, receive, _with_headers(send))

    def _check_origin(self, headers: Headers) -> None:
        host = headers.get("host", "")
        if not host_allowed(host, self._settings):
            raise ApiError(421, "HOST_NOT_ALLOWED", f"Host {host!r} is not this service; see --allowed-hosts")
        origin = headers.get("origin")
        if not origin_allowed(origin, host, self._settings):
            raise ApiError(403, "ORIGIN_NOT_ALLOWED", f"Origin {origin!r}; see --allowed-origins")
        if not fetch_site_allowed(headers, self._settings):
            raise ApiError(403, "ORIGIN_NOT_ALLOWED", "requests of other sites' pages are not allowed")

    async def _admit(self, headers: Headers) -> Principal:
        who = await self._ring.holder(headers.get("authorization"))
        if who is None:
            raise ApiError(
                401,
                "UNAUTHORIZED",
                "this service needs an API key: Authorization: Bearer KEY (see `livemask keys create`)",
                {"www-authenticate": 'Bearer realm="livemask"'},
            )
        if not self._ring.take(who):
            text = f"this key may make {self._ring.rate_of(who)} requests a minute"
            raise ApiError(429, "RATE_LIMITED", text, {"retry-after": "1"})
        return who

    def _check_right(self, who: Principal, method: str, path: str) -> None:
        right, named = needed(method, path), session_of(path)
        if not allowed(who, right, self._owner(named) if named else None):
            scopes = " or ".join(sorted(right.value | {"admin"}))
            owning = " (or have begun the session)" if named else ""
            raise ApiError(403, "FORBIDDEN", f"for this a key must have the scope {scopes}{owning}")


def _with_headers(send: Send) -> Send:
    async def send_guarded(message: Message) -> None:
        if message["type"] == "http.response.start":
            present = {name.lower() for name, _ in message["headers"]}
            added = [(n.encode(), v.encode()) for n, v in PAGE_HEADERS.items() if n.encode() not in present]
            message = {**message, "headers": [*message["headers"], *added]}
        await send(message)

    return send_guarded
