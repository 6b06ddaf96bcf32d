import asyncio

import pytest
from rtsp import free_port

from stream.network import advertise, use_ports

SDP = (
    "v=0\r\n"
    "a=candidate:1 1 udp 2130706431 10.0.0.5 40001 typ host\r\n"
    "a=candidate:2 1 udp 2130706431 fd00::5 40002 typ host\r\n"
    "a=candidate:3 1 udp 1694498815 198.51.100.1 40003 typ srflx raddr 10.0.0.5 rport 40001\r\n"
    "a=end-of-candidates\r\n"
)


def test_host_candidates_are_named_by_the_addresses_that_peers_can_reach() -> None:
    lines = advertise(SDP, ("192.0.2.7", "192.0.2.8", "2001:db8::7")).splitlines()
    assert lines[1:5] == [
        "a=candidate:1 1 udp 2130706431 192.0.2.7 40001 typ host",
        "a=candidate:11 1 udp 2130706431 192.0.2.8 40001 typ host",
        "a=candidate:2 1 udp 2130706431 2001:db8::7 40002 typ host",
        "a=candidate:3 1 udp 1694498815 198.51.100.1 40003 typ srflx raddr 10.0.0.5 rport 40001",
    ]
    assert "10.0.0.5 40001 typ host" not in "\n".join(lines)
    assert advertise(SDP, ()) == SDP


async def test_sockets_that_want_any_port_get_one_of_the_range() -> None:
    loop = asyncio.get_running_loop()
    first = free_port()
    undo = use_ports(loop, range(first, first + 2))
    transports = []
    try:
        for _ in range(2):
            transport, _ = await loop.create_datagram_endpoint(
                asyncio.DatagramProtocol, local_addr=("127.0.0.1", 0)
            )
            transports.append(transport)
        ports = {transport.get_extra_info("sockname")[1] for transport in transports}
        assert ports == {first, first + 1}
        with pytest.raises(OSError, match="--udp-ports"):
            await loop.create_datagram_endpoint(asyncio.DatagramProtocol, local_addr=("127.0.0.1", 0))
    finally:
        undo()
        for transport in transports:
            transport.close()
    transport, _ = await loop.create_datagram_endpoint(asyncio.DatagramProtocol, local_addr=("127.0.0.1", 0))
    assert transport.get_extra_info("sockname")[1]
    transport.close()
