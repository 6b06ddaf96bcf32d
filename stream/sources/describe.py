"""Asking an RTSP server about a stream (RFC 2326 DESCRIBE) before FFmpeg is let near it.

FFmpeg follows a redirect to any host, so we look first; and what it says of a wrong password or a missing
camera does not help an operator.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
import re
import secrets
import ssl
from dataclasses import dataclass, replace

from stream.sources.address import Address, Credentials, SourceError, read_address

HEAD_BYTES = 16 * 1024
REDIRECTS = 3
CHALLENGE = re.compile(r'(\w+)=(?:"([^"]*)"|([^\s,]+))')
HASHES = {"MD5": hashlib.md5, "SHA-256": hashlib.sha256}


@dataclass(frozen=True, slots=True)
class Response:
    """The head of an RTSP response; header names in lower case, repeated ones in order."""

    status: int
    headers: tuple[tuple[str, str], ...]

    def all(self, name: str) -> list[str]:
        return [value for each, value in self.headers if each == name]


@dataclass(frozen=True, slots=True, eq=False)
class Described:
    """A stream that is there: its address in the end, and the connection that asked.

    The connection stays open until the stream is being read: a server that prepares a stream for whoever asks
    may be taking it down again when FFmpeg comes the moment after we left.
    """

    address: Address
    writer: asyncio.StreamWriter

    def close(self) -> None:
        self.writer.close()


async def describe(address: Address, host: str, seconds: float, tls: ssl.SSLContext | None) -> Described:
    """Ask for the stream at `address` by connecting to `host`.

    Redirects are followed while they stay on the host, scheme and port.

    Args:
        host: IP address or name to connect to.
        seconds: time limit for all of it.
        tls: for rtsps.

    Raises:
        SourceError: UNREACHABLE, SILENT, UNAUTHORIZED, NOT_FOUND, REDIRECTED, BROKEN.
    """
    try:
        async with asyncio.timeout(seconds):
            for _ in range(REDIRECTS):
                response, writer = await _ask(address, host, tls)
                if response.status < 300:
                    return Described(address, writer)
                writer.close()
                if response.status >= 400:
                    raise _refusal(address, response.status)
                address = _followed(address, response)
            raise SourceError("REDIRECTED", f"{address}: redirected more than {REDIRECTS} times")
    except TimeoutError:
        raise SourceError("SILENT", f"{address}: no answer within {seconds:g} s") from None
    except ssl.SSLError as error:
        raise SourceError("UNREACHABLE", f"{address}: TLS failed ({error.reason})") from None
    except OSError as error:
        cause = os.strerror(error.errno) if error.errno else "cannot connect"
        raise SourceError("UNREACHABLE", f"{address}: {cause}") from None


async def _ask(
    address: Address, host: str, tls: ssl.SSLContext | None
) -> tuple[Response, asyncio.StreamWriter]:
    """DESCRIBE, once more with credentials if the server asks for them."""
    name = address.host if address.scheme == "rtsps" else None
    reader, writer = await asyncio.open_connection(
        host, address.port, ssl=tls if name else None, server_hostname=name
    )
    try:
        response = await _request(reader, writer, address, 1, None)
        if response.status == 401 and address.credentials is not None:
            authorization = authorize(address.bare, address.credentials, response.all("www-authenticate"))
            if authorization is not None:
                response = await _request(reader, writer, address, 2, authorization)
        return response, writer
    except BaseException:
        writer.close()
        raise


async def _request(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    address: Address,
    number: int,
    authorization: str | None,
) -> Response:
    lines = [f"DESCRIBE {address.bare} RTSP/1.0", f"CSeq: {number}", "Accept: application/sdp"]
    lines += [f"Authorization: {authorization}"] if authorization else []
    writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())
    await writer.drain()
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        raise SourceError("BROKEN", f"{address}: not an RTSP answer") from None
    response = read_head(head[:HEAD_BYTES].decode("latin-1"), address)
    length = next((int(each) for each in response.all("content-length") if each.isdigit()), 0)
    await reader.readexactly(min(length, HEAD_BYTES * 4))
    return response


def read_head(head: str, address: Address) -> Response:
    """Status line and headers.

    Raises:
        SourceError: BROKEN.
    """
    first, *rest = head.split("\r\n")
    protocol, _, status = first.partition(" ")
    if not protocol.startswith("RTSP/") or not status[:3].isdigit():
        raise SourceError("BROKEN", f"{address}: not an RTSP answer")
    split = (line.partition(":") for line in rest if ":" in line)
    return Response(int(status[:3]), tuple((name.strip().lower(), value.strip()) for name, _, value in split))


def authorize(url: str, credentials: Credentials, challenges: list[str]) -> str | None:
    """The Authorization header for DESCRIBE of `url` (RFC 7616, RFC 7617); None for an unknown scheme."""
    for challenge in sorted(challenges, key=lambda each: not each.lower().startswith("digest")):
        scheme, _, rest = challenge.partition(" ")
        if scheme.lower() == "digest":
            fields = {name.lower(): quoted or plain for name, quoted, plain in CHALLENGE.findall(rest)}
            return _digest(url, credentials, fields)
        if scheme.lower() == "basic":
            pair = f"{credentials.username}:{credentials.password}".encode()
            return f"Basic {base64.b64encode(pair).decode()}"
    return None


def _digest(url: str, credentials: Credentials, fields: dict[str, str]) -> str | None:
    algorithm = fields.get("algorithm", "MD5").upper()
    if algorithm not in HASHES:
        return None

    def hashed(text: str) -> str:
        return HASHES[algorithm](text.encode()).hexdigest()

    realm, nonce = fields.get("realm", ""), fields.get("nonce", "")
    secret = hashed(f"{credentials.username}:{realm}:{credentials.password}")
    request = hashed(f"DESCRIBE:{url}")
    given = {"username": credentials.username, "realm": realm, "nonce": nonce, "uri": url}
    if "auth" in fields.get("qop", "").split(","):
        client = secrets.token_hex(8)
        response = hashed(f"{secret}:{nonce}:00000001:{client}:auth:{request}")
        given |= {"response": response, "cnonce": client}
        plain = ", qop=auth, nc=00000001"
    else:
        given |= {"response": hashed(f"{secret}:{nonce}:{request}")}
        plain = ""
    return "Digest " + ", ".join(f'{name}="{value}"' for name, value in given.items()) + plain


def _followed(address: Address, response: Response) -> Address:
    target = next(iter(response.all("location")), "")
    try:
        found = read_address(target, (address.scheme,), address.credentials)
    except SourceError:
        raise SourceError("REDIRECTED", f"{address}: redirected to something else, refused") from None
    if (found.host, found.port) != (address.host, address.port):
        raise SourceError("REDIRECTED", f"{address}: redirected to another host, refused")
    return replace(address, path=found.path)


def _refusal(address: Address, status: int) -> SourceError:
    if status in (401, 403):
        what = "wrong user name or password" if address.credentials else "a user name and password are needed"
        return SourceError("UNAUTHORIZED", f"{address}: {what}")
    if status in (404, 410):
        return SourceError("NOT_FOUND", f"{address}: no such stream")
    return SourceError("BROKEN", f"{address}: the camera answered {status}")
