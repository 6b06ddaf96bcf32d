"""A wire to an RTSP camera that a test can spoil: a proxy that changes RTP packets on their way (TCP)."""

from __future__ import annotations

import asyncio
import random
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

Change = Callable[[bytearray], bytes | None]
RTP_RATE = 90_000
HEADER_BYTES = 12


def unchanged(packet: bytearray) -> bytes:
    return bytes(packet)


def shifted(seconds: float) -> Change:
    """Timestamps (RFC 3550 section 5.1) that far ahead of the camera's, modulo 2^32."""

    def change(packet: bytearray) -> bytes:
        (stamp,) = struct.unpack_from(">I", packet, 4)
        struct.pack_into(">I", packet, 4, (stamp + round(seconds * RTP_RATE)) % 2**32)
        return bytes(packet)

    return change


def wrapping(seconds: float) -> Change:
    """Timestamps that pass 2^32 and begin again at 0 that long after the first packet."""
    offset: list[int] = []

    def change(packet: bytearray) -> bytes:
        (stamp,) = struct.unpack_from(">I", packet, 4)
        if not offset:
            offset.append(2**32 - round(seconds * RTP_RATE) - stamp)
        struct.pack_into(">I", packet, 4, (stamp + offset[0]) % 2**32)
        return bytes(packet)

    return change


def corrupted(every: int) -> Change:
    """Noise over the payload of each `every`-th packet, and each third of those cut short."""
    numbers, count = random.Random(5), 0

    def change(packet: bytearray) -> bytes:
        nonlocal count
        count += 1
        if count % every or len(packet) <= HEADER_BYTES:
            return bytes(packet)
        packet[HEADER_BYTES:] = numbers.randbytes(len(packet) - HEADER_BYTES)
        return bytes(packet[: HEADER_BYTES + 4] if count % (3 * every) == 0 else packet)

    return change


def lost(every: int) -> Change:
    """Each `every`-th packet does not come."""
    count = 0

    def change(packet: bytearray) -> bytes | None:
        nonlocal count
        count += 1
        return None if count % every == 0 else bytes(packet)

    return change


class Wire:
    """What happens to each RTP packet from the camera; `garbage` goes in between once."""

    def __init__(self, change: Change = unchanged) -> None:
        self.change = change
        self.garbage = b""
        self.packets = 0
        self.passed = asyncio.Event()

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """From the camera on (RFC 2326 section 10.12: answers, and between them packets behind '$')."""
        while True:
            first = await reader.readexactly(1)
            if first != b"$":
                writer.write(first + await self._answer(reader))
                continue
            channel, length = struct.unpack(">BH", await reader.readexactly(3))
            packet: bytes | None = await reader.readexactly(length)
            assert packet is not None
            if channel == 0:
                self.packets += 1
                self.passed.set()
                self.passed.clear()
                packet = self.change(bytearray(packet))
            if packet is not None:
                writer.write(self.garbage + b"$" + struct.pack(">BH", channel, len(packet)) + packet)
                self.garbage = b""

    async def _answer(self, reader: asyncio.StreamReader) -> bytes:
        head = await reader.readuntil(b"\r\n\r\n")
        for line in head.lower().split(b"\r\n"):
            if line.startswith(b"content-length:"):
                return head + await reader.readexactly(int(line.partition(b":")[2]))
        return head


@asynccontextmanager
async def spoiled(port: int, wire: Wire) -> AsyncIterator[str]:
    """The address of the camera at `port` as it is reached by `wire`."""
    writers: list[asyncio.StreamWriter] = []
    tasks: list[asyncio.Task[None]] = []

    async def forth(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(4096):
            writer.write(data)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            from_camera, to_camera = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            writer.close()
            return
        writers.extend((writer, to_camera))
        tasks.append(asyncio.create_task(forth(reader, to_camera)))
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            await wire.carry(from_camera, writer)
        writer.close()
        to_camera.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"rtsp://127.0.0.1:{server.sockets[0].getsockname()[1]}/cam"
    finally:
        for task in tasks:
            task.cancel()
        for each in writers:
            each.close()
        server.close()
