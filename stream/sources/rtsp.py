"""A network camera (RTSP) as a source that never ends: lost, it is looked for again, for ever."""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field, replace
from typing import Literal

import certifi

from stream.outage import Outage
from stream.picture import Picture
from stream.sources.address import Address, Network, SourceError, resolve
from stream.sources.describe import Described, describe
from stream.sources.reader import Limits, Reader
from stream.wire import Message

NOTICE_SECONDS = 1.0
# Back-off begins anew only after a connection that lasted: a camera that dies at once is not hammered.
SETTLED_SECONDS = 10.0
LONGEST_PAUSE = 30.0
PROTOCOLS = "rtp,rtsp,udp,tcp,tls,crypto"

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RtspCamera:
    """How to reach a camera.

    Attributes:
        transport: "tcp" (interleaved; passes every firewall) or "udp".
        networks: where the address must be; None for anywhere.
        verify: check the certificate of an rtsps camera, and that it is for the host of `address`.
        authorities: PEM file of the certificates that may have signed it, itself included; None for the usual
            public ones.
    """

    address: Address
    transport: Literal["tcp", "udp"] = "tcp"
    limits: Limits = field(default_factory=Limits)
    networks: tuple[Network, ...] | None = None
    verify: bool = True
    authorities: str | None = None


class RtspSource:
    """Pictures of one camera, and outages about once a second while there are none.

    Args:
        name: as the operator calls it; what people see.
        camera: how to reach it.
        pauses: seconds between attempts; 1, 2, 4 ... 30 if not given.
    """

    def __init__(self, name: str, camera: RtspCamera, pauses: tuple[float, ...] = ()) -> None:
        self.name = f"camera:{name}"
        self._camera = camera
        self._pauses = pauses
        self._closed = asyncio.Event()
        self._since: float | None = time.time()
        self._live_at: float | None = None
        self._connections = 0
        self._reader: Reader | None = None
        self._size: tuple[int, int] | None = None
        self._error: SourceError | None = None

    def status(self) -> Message:
        """How the camera is doing, never with credentials."""
        opened = self._reader.opened if self._reader else None
        width, height = self._size or (None, None)
        return {
            "state": "live" if self._since is None else ("connecting" if not self._size else "no_signal"),
            "no_signal_since": self._since,
            "connections": self._connections,
            "error": str(self._error) if self._error and self._since is not None else None,
            "error_type": self._error.code if self._error and self._since is not None else None,
            "transport": self._camera.transport,
            "codec": opened.codec if opened else None,
            "decoder": opened.decoder if opened else None,
            "width": width,
            "height": height,
            "broken_packets": self._reader.broken_packets if self._reader else 0,
        }

    async def frames(self) -> AsyncIterator[Picture | Outage]:
        pauses = self._backoff()
        while not self._closed.is_set():
            try:
                async for item in self._attempt():
                    yield item
            except SourceError as error:
                self._lose(error)
            if self._live_at is not None and time.monotonic() - self._live_at > SETTLED_SECONDS:
                pauses = self._backoff()
            self._live_at = None
            resume_at = time.monotonic() + next(pauses)
            while not self._closed.is_set() and (left := resume_at - time.monotonic()) > 0:
                yield self._outage()
                await self._rest(min(left, NOTICE_SECONDS))

    async def close(self) -> None:
        self._closed.set()
        if self._reader is not None:
            self._reader.let_go()

    async def _attempt(self) -> AsyncIterator[Picture | Outage]:
        """Connect once and give pictures until it fails, which it does in the end."""
        asking = asyncio.create_task(self._reach())
        try:
            while not asking.done():
                await asyncio.wait([asking], timeout=NOTICE_SECONDS)
                if not asking.done():
                    yield self._outage()
        finally:
            asking.cancel()
        described = asking.result()
        self._reader = reader = Reader(described.address, self._options(), self._camera.limits)
        try:
            async for item in self._pictures(reader):
                if isinstance(item, Picture):
                    described.close()
                yield item
        finally:
            described.close()
            reader.let_go()

    async def _pictures(self, reader: Reader) -> AsyncIterator[Picture | Outage]:
        limits = self._camera.limits
        heard_at, patience = time.monotonic(), limits.open_seconds
        while not self._closed.is_set():
            try:
                picture = await asyncio.wait_for(reader.next(), min(NOTICE_SECONDS, patience))
            except TimeoutError:
                if time.monotonic() - heard_at > patience:
                    text = f"{self._camera.address}: no picture for {patience:g} s"
                    raise SourceError("SILENT", text) from None
                if self._since is not None:
                    yield self._outage()
                continue
            heard_at, patience = time.monotonic(), limits.silent_seconds
            self._gain(picture)
            yield picture

    async def _reach(self) -> Described:
        """Find the camera and ask it for the stream; the address that was judged is the one called."""
        camera = self._camera
        address, tls = camera.address, _tls(camera)
        hosts = await resolve(address, camera.networks)
        described = await describe(address, hosts[0], camera.limits.open_seconds, tls)
        if tls is not None and camera.verify:  # the certificate is for the name, and proves the host
            return described
        return replace(described, address=described.address.at(hosts[0]))

    def _options(self) -> dict[str, str]:
        """FFmpeg's. `timeout` is microseconds; `stimeout` of older releases is ignored without a word."""
        camera = self._camera
        options = {
            "rtsp_transport": camera.transport,
            "timeout": str(round(camera.limits.silent_seconds * 1e6)),
            "protocol_whitelist": PROTOCOLS,
            "allowed_media_types": "video",
            "analyzeduration": "1000000",
            "max_delay": "200000",
            "fflags": "nobuffer",
        }
        if camera.address.scheme == "rtsps":
            trusted = camera.authorities or certifi.where()
            options |= {"tls_verify": str(int(camera.verify)), "ca_file": trusted}
        return options

    def _gain(self, picture: Picture) -> None:
        if self._live_at is None:
            self._live_at, self._connections = time.monotonic(), self._connections + 1
            if self._reader is not None and self._reader.opened is not None:
                opened = self._reader.opened
                log.info("%s is live: %s, decoded by %s", self.name, opened.codec, opened.decoder)
        self._since, self._size = None, (picture.video.width, picture.video.height)

    def _lose(self, error: SourceError) -> None:
        if self._error is None or str(error) != str(self._error) or self._since is None:
            log.warning("%s: %s", self.name, error)
        self._error = error
        self._since = self._since or time.time()

    def _outage(self) -> Outage:
        return Outage(self._since or time.time(), time.monotonic())

    async def _rest(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._closed.wait(), seconds)
        except TimeoutError:
            pass

    def _backoff(self) -> Iterator[float]:
        yield from self._pauses
        pause = self._pauses[-1] if self._pauses else 1.0
        while True:
            yield pause
            pause = pause if self._pauses else min(pause * 2, LONGEST_PAUSE)


def _tls(camera: RtspCamera) -> ssl.SSLContext | None:
    if camera.address.scheme != "rtsps":
        return None
    context = ssl.create_default_context(cafile=camera.authorities or certifi.where())
    if not camera.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
