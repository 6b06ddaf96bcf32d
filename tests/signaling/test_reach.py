"""How media finds its way through the whole service: a relay, a port range, other addresses, IPv6."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aioice.ice
import pytest
from aiortc import (
    RTCConfiguration,
    RTCIceServer,
    RTCIceTransportPolicy,
    RTCPeerConnection,
    RTCSessionDescription,
)
from players import Player, sample
from rtsp import free_port
from signaling_service import Service, serving, until
from test_turn import SECRET, coturn

from engine.models import Model
from engine.worker import Worker
from signaling.settings import Settings

CANDIDATE = re.compile(r"a=candidate:\S+ \d udp \d+ (\S+) (\d+) typ (\w+)", re.IGNORECASE)


def candidates(sdp: str) -> set[tuple[str, int, str]]:
    """Address, port and type of each."""
    return {(address, int(port), kind) for address, port, kind in CANDIDATE.findall(sdp)}


@asynccontextmanager
async def watching(
    service: Service, configuration: RTCConfiguration
) -> AsyncIterator[tuple[Player, str, str]]:
    """A WHEP player of the sample with this configuration; its offer and its answer."""
    session = await sample(service)
    connection = RTCPeerConnection(configuration)
    connection.addTransceiver("video", "recvonly")
    await connection.setLocalDescription(await connection.createOffer())
    offer = connection.localDescription.sdp
    kind = {"content-type": "application/sdp"}
    answer = await service.http.post(f"/whep/{session}", content=offer, headers=kind)
    assert answer.status_code == 201, answer.text
    await connection.setRemoteDescription(RTCSessionDescription(answer.text, "answer"))
    playing = Player(connection)
    playing.play()
    try:
        yield playing, offer, answer.text
    finally:
        await playing.close()


def path_of(playing: Player) -> tuple[str, str]:
    """Type of our candidate and address of the other's, of the pair that media takes."""
    (receiver,) = playing.connection.getReceivers()
    (pair,) = receiver.transport.transport._connection._nominated.values()
    return pair.local_candidate.type, pair.remote_candidate.host


async def test_media_passes_the_relay_where_nothing_else_may(tiny_model: Model, tmp_path: Path) -> None:
    async with coturn(tmp_path) as (host, port):
        settings = Settings(
            port=0, ice_servers=(f"turn:{host}:{port}",), turn_secret=SECRET, offers_per_second=100
        )
        async with serving(settings, Worker(lambda: tiny_model)) as service:
            told = (await service.http.get("/sessions/ice-servers")).json()["ice_servers"]
            relayed = RTCConfiguration(
                iceServers=[RTCIceServer(**server) for server in told],
                iceTransportPolicy=RTCIceTransportPolicy.RELAY,
            )
            async with watching(service, relayed) as (playing, offer, _):
                assert {kind for _, _, kind in candidates(offer)} == {"relay"}
                await until(lambda: len(playing.frames) >= 5, 60)
                assert path_of(playing)[0] == "relay"


async def test_media_keeps_to_the_ports_it_was_given(tiny_model: Model) -> None:
    first = free_port()
    settings = Settings(port=0, udp_ports=range(first, first + 40), offers_per_second=100)
    async with serving(settings, Worker(lambda: tiny_model)) as service:
        async with watching(service, RTCConfiguration(iceServers=[])) as (playing, _, answer):
            ports = {port for _, port, _ in candidates(answer)}
            assert ports
            assert ports <= set(settings.udp_ports or ())
            await until(lambda: len(playing.frames) >= 3, 60)


async def test_peers_are_told_the_addresses_that_reach_us(tiny_model: Model) -> None:
    settings = Settings(port=0, advertised_addresses=("127.0.0.1", "192.0.2.7"), offers_per_second=100)
    async with serving(settings, Worker(lambda: tiny_model)) as service:
        async with watching(service, RTCConfiguration(iceServers=[])) as (playing, _, answer):
            hosts = {address for address, _, kind in candidates(answer) if kind == "host" and "." in address}
            assert hosts == {"127.0.0.1", "192.0.2.7"}
            await until(lambda: len(playing.frames) >= 3, 60)


async def test_everything_over_ipv6(tiny_model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aioice.ice, "get_host_addresses", lambda **_: ["::1"])
    settings = Settings(host="::1", port=0, offers_per_second=100)
    async with serving(settings, Worker(lambda: tiny_model)) as service:
        assert service.url.startswith("http://[::1]:")
        async with watching(service, RTCConfiguration(iceServers=[])) as (playing, _, answer):
            assert {address for address, _, _ in candidates(answer)} == {"::1"}
            await until(lambda: len(playing.frames) >= 3, 60)
            assert path_of(playing) == ("host", "::1")
