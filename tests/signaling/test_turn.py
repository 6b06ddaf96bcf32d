"""TURN with credentials that expire, against coturn itself."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aioice
from turn_server import turn_server

from signaling.turn import credentials

SECRET = "a secret of both"


@asynccontextmanager
async def coturn(folder: Path) -> AsyncIterator[tuple[str, int]]:
    """A relay on this host that takes credentials made with SECRET."""
    flags = ["--use-auth-secret", f"--static-auth-secret={SECRET}", "--realm=livemask", "--no-cli"]
    async with turn_server(folder, *flags, "--allow-loopback-peers") as server:
        yield server.host, server.port


async def relayed(server: tuple[str, int], username: str, password: str) -> list[str]:
    """The kinds of candidates that are found through `server`."""
    connection = aioice.Connection(
        ice_controlling=True,
        turn_server=server,
        turn_username=username,
        turn_password=password,
        transport_policy=aioice.TransportPolicy.RELAY,
    )
    try:
        await connection.gather_candidates()
        return [candidate.type for candidate in connection.local_candidates]
    finally:
        await connection.close()


async def test_coturn_takes_our_credentials_until_they_expire(tmp_path: Path) -> None:
    async with coturn(tmp_path) as server:
        assert await relayed(server, *credentials(SECRET, 600, time.time())) == ["relay"]
        assert await relayed(server, *credentials(SECRET, -600, time.time())) == []
        assert await relayed(server, *credentials("another secret", 600, time.time())) == []


async def test_two_relays_carry_data_where_nothing_else_would(tmp_path: Path) -> None:
    async with coturn(tmp_path) as server:
        username, password = credentials(SECRET, 600, time.time())
        ends = [
            aioice.Connection(
                ice_controlling=controlling,
                turn_server=server,
                turn_username=username,
                turn_password=password,
                transport_policy=aioice.TransportPolicy.RELAY,
            )
            for controlling in (True, False)
        ]
        for end in ends:
            await end.gather_candidates()
        for one, other in (ends, ends[::-1]):
            for candidate in one.local_candidates:
                await other.add_remote_candidate(candidate)
            await other.add_remote_candidate(None)
            other.remote_username, other.remote_password = one.local_username, one.local_password
        await asyncio.wait_for(asyncio.gather(*(end.connect() for end in ends)), 30)
        await ends[0].send(b"through the relay")
        assert await asyncio.wait_for(ends[1].recv(), 10) == b"through the relay"
        await asyncio.gather(*(end.close() for end in ends))
