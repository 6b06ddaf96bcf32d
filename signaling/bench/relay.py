"""A bad wire: a UDP relay in user space between two WebRTC ends, put into their candidates."""

from __future__ import annotations

import asyncio
import random
import re
from dataclasses import dataclass

# What a narrow wire holds back before it loses: a home router's buffer, about.
QUEUE_SECONDS = 0.3

HOST = re.compile(r"a=candidate:\S+ 1 udp \d+ (\S+) (\d+) typ host.*\r\n", re.IGNORECASE)


@dataclass
class Weather:
    """What happens to a datagram; may be changed at any time.

    Attributes:
        loss: share that is lost, 0..1.
        delay, jitter: seconds each way; with jitter datagrams overtake each other.
        dark: nothing passes.
        rate: bits per second each way, 0 for no limit; what comes faster waits, and is lost when it would
            wait too long.
    """

    loss: float = 0.0
    delay: float = 0.0
    jitter: float = 0.0
    dark: bool = False
    rate: float = 0.0


class Relay:
    """Takes the place of one end's address: `rewrite` its SDP, and all that reaches it comes through here."""

    def __init__(self, weather: Weather, seed: int = 1) -> None:
        self.weather = weather
        self.passed = self.lost = 0
        self._random = random.Random(seed)
        self._transports: list[asyncio.DatagramTransport] = []
        self._busy_until: dict[asyncio.DatagramTransport, float] = {}

    async def rewrite(self, sdp: str) -> str:
        """`sdp` with its first IPv4 host candidate behind the relay, and no other candidate."""
        found = next(match for match in HOST.finditer(sdp) if ":" not in match[1])
        port = await self._forward((found[1], int(found[2])))
        line = f"a=candidate:1 1 udp 2130706431 127.0.0.1 {port} typ host\r\n"
        return re.sub(r"(a=candidate:[^\r]*\r\n)+", lambda _: line, sdp, count=1)

    def close(self) -> None:
        for transport in self._transports:
            transport.close()

    async def _forward(self, target: tuple[str, int]) -> int:
        """A port whose datagrams go to `target`, each sender through a socket of its own."""
        relay, loop = self, asyncio.get_running_loop()
        legs: dict[tuple[str, int], asyncio.DatagramTransport] = {}

        class Inner(asyncio.DatagramProtocol):
            def __init__(self, sender: tuple[str, int]) -> None:
                self.sender = sender

            def datagram_received(self, data: bytes, _: object) -> None:
                relay._later(outer, data, self.sender)

        class Outer(asyncio.DatagramProtocol):
            def datagram_received(self, data: bytes, sender: tuple[str, int]) -> None:
                task = loop.create_task(self.carry(data, sender))
                tasks.add(task)
                task.add_done_callback(tasks.discard)

            async def carry(self, data: bytes, sender: tuple[str, int]) -> None:
                if sender not in legs:
                    leg, _ = await loop.create_datagram_endpoint(
                        lambda: Inner(sender), local_addr=("0.0.0.0", 0)
                    )
                    legs[sender] = leg
                    relay._transports.append(leg)
                relay._later(legs[sender], data, target)

        tasks: set[asyncio.Task[None]] = set()
        outer, _ = await loop.create_datagram_endpoint(Outer, local_addr=("127.0.0.1", 0))
        self._transports.append(outer)
        return int(outer.get_extra_info("sockname")[1])

    def _later(self, transport: asyncio.DatagramTransport, data: bytes, to: tuple[str, int]) -> None:
        weather, loop = self.weather, asyncio.get_running_loop()
        wait = self._squeeze(transport, len(data), loop.time())
        if weather.dark or self._random.random() < weather.loss or wait > QUEUE_SECONDS:
            self.lost += 1
            return
        self.passed += 1
        delay = wait + weather.delay + self._random.random() * weather.jitter
        loop.call_later(delay, self._send, transport, data, to)

    def _squeeze(self, transport: asyncio.DatagramTransport, size: int, now: float) -> float:
        """Seconds until the last of `size` bytes has gone down the wire, behind all that waits already."""
        if not self.weather.rate:
            return 0.0
        wait = max(0.0, self._busy_until.get(transport, 0.0) - now) + size * 8 / self.weather.rate
        if wait <= QUEUE_SECONDS:
            self._busy_until[transport] = now + wait
        return wait

    def _send(self, transport: asyncio.DatagramTransport, data: bytes, to: tuple[str, int]) -> None:
        if not transport.is_closing():
            transport.sendto(data, to)
