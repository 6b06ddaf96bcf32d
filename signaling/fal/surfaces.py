"""Under which address a request came, and under which ones its answers can be reached. Pure.

fal has several hosts; here they are one server, told apart by Host, by path prefix, or by the target that the
JavaScript client names when it uses a proxy.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from starlette.requests import HTTPConnection

CDN_ORIGIN = "https://v3.fal.media"
RUN, QUEUE, REST, CDN = "run", "queue", "rest", "cdn"
_FAL_HOSTS = (
    (re.compile(r"(queue\.)(fal\.run|falrun\.com)"), QUEUE),
    (re.compile(r"(fal\.run|falrun\.com|gateway\.fal\.ai)"), RUN),
    (re.compile(r"rest(\.alpha)?\.fal\.ai"), REST),
    (re.compile(r"(.+\.)?fal\.media"), CDN),
)


def fal_surface(host: str) -> str | None:
    """Which of fal's services a host name of theirs is."""
    name = host.partition(":")[0].lower()
    return next((surface for pattern, surface in _FAL_HOSTS if pattern.fullmatch(name)), None)


def request_origin(connection: HTTPConnection, public_url: str) -> str:
    """scheme://host that the client used, or what the operator says it is."""
    host = connection.headers.get("host", "")
    if public_url and fal_surface(host) is None:
        return public_url.rstrip("/")
    scheme = {"ws": "http", "wss": "https"}.get(connection.url.scheme, connection.url.scheme)
    return f"{scheme}://{host}"


def files_origin(connection: HTTPConnection, public_url: str) -> str:
    """Under which origin files are served to this client: fal's CDN for clients that reach us as fal."""
    host = connection.headers.get("host", "")
    return CDN_ORIGIN if fal_surface(host) is not None else request_origin(connection, public_url)


def queue_base(connection: HTTPConnection, public_url: str, app: str) -> str:
    """The part that status, result and cancel addresses of an app have in common."""
    root = connection.scope.get("livemask_root", connection.scope.get("root_path", ""))
    return f"{request_origin(connection, public_url)}{root}/{owner_and_alias(app)}/requests"


def owner_and_alias(app: str) -> str:
    """`fal-ai/sam2/video` to `fal-ai/sam2`; a namespace (`workflows`, `comfy`) stays in front."""
    parts = app.split("/")
    return "/".join(parts[:3] if parts[0] in ("workflows", "comfy") else parts[:2])


def normal_app(path: str) -> str:
    """An app id as the table of endpoints has it: legacy `123-alias` becomes `123/alias`."""
    path = path.strip("/")
    match = re.fullmatch(r"(\d+)-([\w.-]+)(/.*)?", path)
    return f"{match[1]}/{match[2]}{match[3] or ''}" if match else path


def target(url: str) -> tuple[str, str, str] | None:
    """(surface, path, query) of a URL of fal's, None for any other address."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    surface = fal_surface(parts.netloc) if parts.scheme == "https" else None
    return (surface, parts.path or "/", parts.query) if surface else None
