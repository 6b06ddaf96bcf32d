"""Where a network camera is and with which credentials; as people see it, without. Pure but for `resolve`."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from dataclasses import dataclass, field, replace
from typing import Protocol
from urllib.parse import quote, unquote, urlsplit

PORTS = {"rtsp": 554, "rtsps": 322, "http": 80, "https": 443}
IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


class Network(Protocol):
    """A range of addresses, as `ipaddress.ip_network` gives it."""

    @property
    def version(self) -> int: ...
    def __contains__(self, address: object, /) -> bool: ...


class SourceError(Exception):
    """A source that cannot be used now; the message is for people and holds no credentials.

    `code`: BAD_URL, NOT_ALLOWED, UNREACHABLE, UNAUTHORIZED, NOT_FOUND, REDIRECTED, SILENT, BROKEN, ENDED,
    TOO_LARGE.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class Credentials:
    """A user's name and password; never printed."""

    username: str = field(repr=False)
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Address:
    """The address of a stream; `path` includes the query."""

    scheme: str
    host: str
    port: int
    path: str
    credentials: Credentials | None = None

    def __str__(self) -> str:
        """As people may see it: credentials and query left out."""
        return f"{self.scheme}://{self.authority}{self.path.partition('?')[0]}"

    @property
    def authority(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def bare(self) -> str:
        """The URL without credentials."""
        return f"{self.scheme}://{self.authority}{self.path}"

    @property
    def url(self) -> str:
        """The whole URL, credentials and all: for FFmpeg only."""
        if self.credentials is None:
            return self.bare
        user = f"{quote(self.credentials.username, safe='')}:{quote(self.credentials.password, safe='')}"
        return f"{self.scheme}://{user}@{self.authority}{self.path}"

    def at(self, host: str) -> Address:
        """The same at another host: an address that was judged, instead of a name that may change."""
        return replace(self, host=host)


def read_address(url: str, schemes: tuple[str, ...], credentials: Credentials | None = None) -> Address:
    """Take a URL apart.

    Args:
        credentials: to use instead of those in the URL.

    Raises:
        SourceError: BAD_URL; the message does not repeat the URL, for it may hold a password.
    """
    try:
        parts = urlsplit(url)
        port, host = parts.port, parts.hostname
    except ValueError:
        raise SourceError("BAD_URL", "url: not a URL") from None
    if parts.scheme not in schemes:
        raise SourceError("BAD_URL", f"url: expected {' or '.join(f'{each}://' for each in schemes)}")
    if not host or any(character.isspace() for character in url):
        raise SourceError("BAD_URL", "url: expected a host and no spaces")
    if parts.username is not None and credentials is None:
        credentials = Credentials(unquote(parts.username), unquote(parts.password or ""))
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Address(parts.scheme, host, port or PORTS[parts.scheme], path, credentials)


async def resolve(address: Address, allowed: tuple[Network, ...] | None) -> list[str]:
    """The IP addresses of the host; with `allowed` every one of them must be in one of those networks.

    Raises:
        SourceError: UNREACHABLE, NOT_ALLOWED. It does not say which addresses a name has.
    """
    try:
        found = await asyncio.get_running_loop().getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM
        )
    except OSError:
        raise SourceError("UNREACHABLE", f"{address.host}: no such host") from None
    addresses = list(dict.fromkeys(str(entry[4][0]).partition("%")[0] for entry in found))
    if allowed is not None and not all(within(ipaddress.ip_address(each), allowed) for each in addresses):
        raise SourceError("NOT_ALLOWED", f"{address.host}: not in a network that sources may be in")
    return addresses


def within(address: IPAddress, networks: tuple[Network, ...]) -> bool:
    """Whether `address` is in one of the networks; IPv4 written inside IPv6 is judged as IPv4."""
    inner: IPAddress = address
    if isinstance(address, ipaddress.IPv6Address):
        if address in NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
        else:
            inner = address.ipv4_mapped or address.sixtofour or address
    return any(inner.version == network.version and inner in network for network in networks)
