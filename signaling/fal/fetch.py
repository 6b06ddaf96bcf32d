"""Downloads on behalf of a client: http(s) only, guarded addresses, bounded in size, time and redirects."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import SplitResult, quote, urljoin, urlsplit, urlunsplit

import httpcore2

from signaling.fal.addresses import AddressRefused, guarded_pool
from signaling.fal.errors import Loc, invalid
from signaling.fal.settings import FalSettings

URL_CHARACTERS = 2048
URI_CHARACTERS = "%:/?#[]@!$&'()*+,;="  # RFC 3986: those with a meaning of their own stay as they are
REDIRECTS = 5
REDIRECT_STATUSES = (301, 302, 303, 307, 308)
CONNECT_SECONDS = 10.0
READ_SECONDS = 30.0
AGENT = b"livemask"


class UrlRefused(ValueError):
    """A URL that we do not call; the message says what was expected and what came."""


def check_url(url: str) -> str:
    """A URL as it may be called, in ASCII: http or https, a host, no user name, not too long.

    Raises:
        UrlRefused
    """
    if len(url) > URL_CHARACTERS:
        raise UrlRefused(f"expected at most {URL_CHARACTERS} characters, got {len(url)}")
    try:
        parts = urlsplit(url)
        port_ok = parts.port != 0
    except ValueError as error:
        raise UrlRefused(f"expected a URL ({error})") from error
    if parts.scheme not in ("http", "https") or not parts.hostname or not port_ok:
        raise UrlRefused(f"expected an http or https URL, got {parts.scheme or 'no scheme'}")
    if parts.username is not None or parts.password is not None:
        raise UrlRefused("expected a URL without a user name")
    if any(ord(char) <= 32 or ord(char) == 127 for char in url):
        raise UrlRefused("expected a URL without spaces and control characters")
    return _ascii(parts)


def _ascii(parts: SplitResult) -> str:
    """The URI of an address that may have letters of any script (RFC 3987 section 3.1), without its fragment.

    Raises:
        UrlRefused: a host name that no server can have.
    """
    try:
        host = (parts.hostname or "").encode("idna").decode()
        path, query = quote(parts.path, URI_CHARACTERS), quote(parts.query, URI_CHARACTERS)
    except UnicodeError:
        raise UrlRefused(f"expected a host name, got {(parts.hostname or '')[:80]!r}") from None
    netloc = f"[{host}]" if ":" in host else host
    port = "" if parts.port is None else f":{parts.port}"
    return urlunsplit((parts.scheme, netloc + port, path, query, ""))


class Fetcher:
    """One pool of guarded connections, for downloads and for webhooks."""

    def __init__(self, settings: FalSettings) -> None:
        self._settings = settings
        self._pool = guarded_pool(settings.allow_networks)

    async def close(self) -> None:
        await self._pool.aclose()

    async def download(self, url: str, path: Path, loc: Loc, limit: int | None = None) -> int:
        """Save what `url` answers to `path`; returns its size.

        Args:
            limit: bytes that are taken at most; None for `fetch_bytes`.

        Raises:
            FalError: 422 `file_download_error` or `file_too_large`, about the input field `loc`.
        """
        limit = limit or self._settings.fetch_bytes
        try:
            async with asyncio.timeout(self._settings.fetch_seconds):
                return await self._follow(url, path, limit)
        except TimeoutError:
            reason = f"it took longer than {self._settings.fetch_seconds:g} seconds"
        except (UrlRefused, AddressRefused) as error:
            reason = str(error)
        except httpcore2.TimeoutException:
            reason = "its server did not answer in time"
        except (httpcore2.NetworkError, httpcore2.ProtocolError) as error:
            reason = f"the connection failed ({error or type(error).__name__})"
        except _BadAnswer as error:
            reason = str(error)
        except _TooLarge:
            raise invalid(
                loc,
                f"The file is larger than {limit} bytes",
                "file_too_large",
                got=url,
                ctx={"max_size": limit},
            ) from None
        raise invalid(loc, f"Failed to download the file: {reason}", "file_download_error", got=url)

    async def post(
        self, url: str, headers: Sequence[tuple[bytes, bytes]], body: bytes, seconds: float
    ) -> int:
        """Send a webhook; the status of the answer. Redirects are not followed.

        Raises:
            UrlRefused, AddressRefused, TimeoutError, httpcore2 errors.
        """
        async with asyncio.timeout(seconds):
            checked = check_url(url)
            async with self._pool.stream(
                "POST",
                checked,
                headers=[*_headers(checked), *headers],
                content=body,
                extensions={"timeout": _timeouts()},
            ) as answer:
                return int(answer.status)

    async def _follow(self, url: str, path: Path, limit: int) -> int:
        for _ in range(REDIRECTS + 1):
            url = check_url(url)
            async with self._pool.stream(
                "GET", url, headers=_headers(url), extensions={"timeout": _timeouts()}
            ) as answer:
                if answer.status not in REDIRECT_STATUSES:
                    return await _save(answer, path, limit)
                url = urljoin(url, _header(answer, b"location") or "")
        raise _BadAnswer(f"more than {REDIRECTS} redirects")


class _BadAnswer(Exception):
    pass


class _TooLarge(Exception):
    pass


async def _save(answer: httpcore2.Response, path: Path, limit: int) -> int:
    if answer.status != 200:
        raise _BadAnswer(f"its server answered {answer.status}")
    if _header(answer, b"content-encoding") not in (None, "identity"):
        raise _BadAnswer("its server compressed the answer although asked not to")
    declared = _header(answer, b"content-length")
    if declared is not None and declared.isdecimal() and int(declared) > limit:
        raise _TooLarge
    size = 0
    with path.open("wb") as sink:
        async for chunk in answer.aiter_stream():
            size += len(chunk)
            if size > limit:
                raise _TooLarge
            await asyncio.to_thread(sink.write, chunk)
    return size


def _headers(url: str) -> list[tuple[bytes, bytes]]:
    """Plain bytes are asked for: a compressed answer could unpack to anything."""
    host = urlsplit(url).netloc.encode()
    return [(b"host", host), (b"user-agent", AGENT), (b"accept", b"*/*"), (b"accept-encoding", b"identity")]


def _header(answer: httpcore2.Response, name: bytes) -> str | None:
    found = [value for key, value in answer.headers if key.lower() == name]
    return found[0].decode("latin-1") if found else None


def _timeouts() -> dict[str, float]:
    return {"connect": CONNECT_SECONDS, "read": READ_SECONDS, "write": READ_SECONDS, "pool": CONNECT_SECONDS}
