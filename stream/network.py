"""Which UDP ports media uses, and under which addresses the world finds us: NAT, containers, firewalls.

All that we change of aioice, which binds a port of the system's choice and knows no address but its own.
"""

from __future__ import annotations

import asyncio
import ipaddress
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from aiortc import RTCIceServer

Endpoint = tuple[asyncio.DatagramTransport, asyncio.DatagramProtocol]


@dataclass(frozen=True, slots=True)
class Reach:
    """How peers reach us.

    Attributes:
        ice_servers: STUN and TURN for our own candidates.
        advertised: IP addresses to be named instead of this host's own; none for its own.
    """

    ice_servers: tuple[RTCIceServer, ...] = ()
    advertised: tuple[str, ...] = ()


def advertise(sdp: str, addresses: tuple[str, ...]) -> str:
    """`sdp` with each host candidate under each of `addresses` of its family, its port unchanged.

    What a 1:1 NAT or a published container port needs (RFC 8445 calls it a server-reflexive candidate that
    needs no asking). Without addresses it stays as it is.
    """
    if not addresses:
        return sdp
    return "".join(each for line in sdp.splitlines(keepends=True) for each in _advertised(line, addresses))


def open_ended(sdp: str) -> str:
    """`sdp` without the word that no more candidates come.

    A browser may hide its addresses behind names that only its own network can resolve (mDNS), and Firefox
    adds that these are all. Its checks tell us where it is (peer-reflexive candidates, RFC 8445 section
    7.3.1.3); but when all candidates have come and none is known, aioice gives up and gathers none itself.
    """
    return sdp.replace("a=end-of-candidates\r\n", "").replace("a=end-of-candidates\n", "")


def _advertised(line: str, addresses: tuple[str, ...]) -> Iterator[str]:
    # a=candidate:foundation component transport priority address port typ host ...
    fields = line.rstrip("\r\n").split(" ")
    if not line.startswith("a=candidate:") or fields[6:8] != ["typ", "host"]:
        yield line
        return
    version = ipaddress.ip_address(fields[4]).version
    fitting = [address for address in addresses if ipaddress.ip_address(address).version == version]
    for number, address in enumerate(fitting):
        yield " ".join([f"{fields[0]}{number or ''}", *fields[1:4], address, *fields[5:]]) + "\r\n"


def use_ports(loop: asyncio.AbstractEventLoop, ports: range) -> Callable[[], None]:
    """Let every UDP socket that asks for any port have one of `ports`; gives what undoes it.

    A port that is taken is passed over; when all are, OSError says so.
    """
    original = loop.create_datagram_endpoint

    async def create(
        protocol_factory: Callable[[], Any], local_addr: tuple[str, int] | None = None, **options: Any
    ) -> Endpoint:
        if local_addr is None or local_addr[1] != 0:
            return await original(protocol_factory, local_addr=local_addr, **options)
        for port in random.sample(ports, len(ports)):
            try:
                return await original(protocol_factory, local_addr=(local_addr[0], port), **options)
            except OSError:
                continue
        raise OSError(f"every UDP port of {ports.start}-{ports.stop - 1} is taken; see --udp-ports")

    loop.create_datagram_endpoint = create  # type: ignore[method-assign, assignment]

    def undo() -> None:
        loop.create_datagram_endpoint = original  # type: ignore[method-assign]

    return undo
