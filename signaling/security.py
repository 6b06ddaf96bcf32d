"""Who may speak to the service: hosts, origins, API keys.

Pure decisions over header values, and `Guard`, the one ASGI middleware that applies them to every request.

A page of another site can make a browser send requests to a service on this machine (CSRF), and can point
a name of its own at 127.0.0.1 to be taken for the same origin (DNS rebinding). So the Host header must name
us, an Origin must be ours or allowed (`null` never is), and `Sec-Fetch-Site` must not name another site.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import socket
from collections.abc import Callable, Iterable
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from signaling.errors import ApiError
from signaling.rights import watches
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


class ApiKeys:
    """The accepted keys, held as digests.

    A key is named by the first 8 hexadecimal digits of its digest, in logs and in the session list.
    """

    def __init__(self, keys: Iterable[str]) -> None:
        self._digests = tuple(_digest(key) for key in keys)

    def __bool__(self) -> bool:
        return bool(self._digests)

    def match(self, authorization: str | None) -> str | None:
        """The name of the key in an `Authorization: Bearer KEY` or `Key KEY` header, None when refused.

        Every stored key is compared, each in constant time, so that timing tells nothing.
        """
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() not in ("bearer", "key"):
            return None
        given = _digest(token.strip())
        found = [digest for digest in self._digests if hmac.compare_digest(digest, given)]
        return found[0].hex()[:8] if found else None


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()


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

    `protected` says which paths need a key: not the page, which must load before anybody can enter one, and
    not the health check, for probes carry none.
    The name of the key that was used is left in `scope["state"]["key"]`, and in `["may_prompt"]` whether it
    does more than watch.
    """

    def __init__(self, app: ASGIApp, settings: Settings, protected: Callable[[str], bool]) -> None:
        self._app, self._settings, self._protected = app, settings, protected
        self._keys = ApiKeys(settings.api_keys)
        self._view_keys = ApiKeys(settings.view_keys)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            return await self._app(scope, receive, send)
        try:
            key, may_prompt = self._check(Headers(scope=scope), scope.get("method", "GET"), scope["path"])
        except ApiError as error:
            return await error.response()(scope, receive, send)
        scope.setdefault("state", {}).update(key=key, may_prompt=may_prompt)
        await self._app(scope, receive, _with_headers(send))

    def _check(self, headers: Headers, method: str, path: str) -> tuple[str | None, bool]:
        host = headers.get("host", "")
        if not host_allowed(host, self._settings):
            raise ApiError(421, "HOST_NOT_ALLOWED", f"Host {host!r} is not this service; see --allowed-hosts")
        origin = headers.get("origin")
        if not origin_allowed(origin, host, self._settings):
            raise ApiError(403, "ORIGIN_NOT_ALLOWED", f"Origin {origin!r}; see --allowed-origins")
        if not fetch_site_allowed(headers, self._settings):
            raise ApiError(403, "ORIGIN_NOT_ALLOWED", "requests of other sites' pages are not allowed")
        if not self._keys or not self._protected(path):
            return None, True
        key = self._keys.match(headers.get("authorization"))
        watcher = self._view_keys.match(headers.get("authorization"))
        if key is None and watcher is None:
            raise ApiError(
                401,
                "UNAUTHORIZED",
                "this service needs an API key: Authorization: Bearer KEY",
                {"www-authenticate": 'Bearer realm="livemask"'},
            )
        if key is None and not watches(method, path):
            raise ApiError(403, "FORBIDDEN", "this key may watch and nothing else")
        return key or watcher, key is not None


def _with_headers(send: Send) -> Send:
    async def send_guarded(message: Message) -> None:
        if message["type"] == "http.response.start":
            present = {name.lower() for name, _ in message["headers"]}
            added = [(n.encode(), v.encode()) for n, v in PAGE_HEADERS.items() if n.encode() not in present]
            message = {**message, "headers": [*message["headers"], *added]}
        await send(message)

    return send_guarded
