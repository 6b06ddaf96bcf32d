"""Which network addresses the server may call on behalf of a client, and connections that keep to it.

The name is resolved once, every address it has is judged, and the connection goes to one that was judged: a
name that changes its answer in between (DNS rebinding) gains nothing. A redirect is a new connection,
judged again.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import Iterable, Sequence

import certifi
import httpcore2
from httpcore2 import SOCKET_OPTION

from signaling.fal.settings import Network

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


class AddressRefused(Exception):
    """The name leads to an address that may not be called."""


def may_call(address: Address, allowed: Sequence[Network]) -> bool:
    """Whether an address is public, or allowed by the operator.

    `is_global` (the IANA special-purpose registries) excludes private, loopback, link-local (where clouds
    keep their metadata), shared (CGNAT), documentation and reserved ranges. IPv4 written inside IPv6 is
    judged as IPv4.
    """
    inner = _embedded(address)
    if any(inner.version == network.version and inner in network for network in allowed):
        return True
    return inner.is_global and not inner.is_multicast


def _embedded(address: Address) -> Address:
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    if address.teredo:
        return address.teredo[1]
    return address.ipv4_mapped or address.sixtofour or address


async def resolve(host: str, port: int, allowed: Sequence[Network]) -> list[str]:
    """The addresses of a name, all of them judged.

    Raises:
        AddressRefused: one of them may not be called; the message does not say what it is.
        OSError: the name does not resolve.
    """
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = list(dict.fromkeys(str(entry[4][0]).partition("%")[0] for entry in found))
    if not all(may_call(ipaddress.ip_address(address), allowed) for address in addresses):
        raise AddressRefused(f"{host} is not a public address")
    return addresses


class GuardedBackend(httpcore2.AsyncNetworkBackend):
    """TCP for httpcore that judges every address before it connects to it."""

    def __init__(self, allowed: Sequence[Network]) -> None:
        self._allowed = allowed
        self._inner = httpcore2.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 (the signature of httpcore)
        local_address: str | None = None,
        socket_options: Iterable[SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        try:
            async with asyncio.timeout(timeout):
                addresses = await resolve(host, port, self._allowed)
        except OSError as error:
            raise httpcore2.ConnectError(f"{host} does not resolve") from error
        for address in addresses[:-1]:
            try:
                return await self._inner.connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout):
                continue
        return await self._inner.connect_tcp(addresses[-1], port, timeout, local_address, socket_options)

    async def sleep(self, seconds: float) -> None:
        await self._inner.sleep(seconds)


def guarded_pool(allowed: Sequence[Network]) -> httpcore2.AsyncConnectionPool:
    """HTTP connections that keep to the rule; no proxy of the environment is used, for it would resolve by
    itself.

    Certificates are checked against the system's authorities and certifi's.
    """
    context = ssl.create_default_context()
    context.load_verify_locations(certifi.where())
    return httpcore2.AsyncConnectionPool(
        ssl_context=context, network_backend=GuardedBackend(allowed), max_connections=32, keepalive_expiry=5.0
    )
