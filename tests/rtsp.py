"""Cameras for tests: a real RTSP server of Debian's in a process of its own, and misbehaving ones."""

from __future__ import annotations

import asyncio
import functools
import signal
import socket
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("rtsp_camera.py")
PYTHON = "/usr/bin/python3"
LIBRARY = "GstRtspServer"
ELEMENTS = ("videotestsrc", "x264enc", "x265enc", "rtph264pay", "jpegenc")


@functools.cache
def _missing(library: str, elements: tuple[str, ...]) -> str | None:
    asked = (
        f"import gi; gi.require_version('{library}', '1.0'); from gi.repository import Gst; Gst.init(None); "
        f"gone = [each for each in {elements!r} if not Gst.ElementFactory.find(each)]; assert not gone, gone"
    )
    try:
        ran = subprocess.run([PYTHON, "-c", asked], capture_output=True, text=True, timeout=60, check=False)
    except OSError as error:
        return str(error)
    return ran.stderr.strip().splitlines()[-1] if ran.returncode else None


def need_gstreamer(library: str = LIBRARY, elements: tuple[str, ...] = ELEMENTS) -> None:
    """Skip, saying so, where Debian's GStreamer has not what the test needs."""
    missing = _missing(library, elements)
    if missing:
        pytest.skip(f"no {library} here ({missing}); .ci/system-packages installs it as root on Debian")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class RtspCamera:
    """A camera at `url`; its process can be stopped, killed and started again."""

    def __init__(self, *options: str) -> None:
        self.port = free_port()
        self.url = f"{'rtsps' if '--tls' in options else 'rtsp'}://127.0.0.1:{self.port}/cam"
        self._options = options
        self._process: asyncio.subprocess.Process | None = None

    async def start(self, *options: str) -> None:
        """With other options than before, where there are any."""
        self._options = options or self._options
        self._process = await asyncio.create_subprocess_exec(
            PYTHON,
            str(SCRIPT),
            str(self.port),
            *self._options,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        assert self._process.stdout is not None
        assert await asyncio.wait_for(self._process.stdout.readline(), 60) == b"ready\n"

    async def kill(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
            process._transport.close()  # type: ignore[attr-defined]

    def stall(self) -> None:
        """Nothing comes any more, though the connection stays."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def resize(self, size: str) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(f"size {size}\n".encode())


@asynccontextmanager
async def rtsp_camera(*options: str) -> AsyncIterator[RtspCamera]:
    need_gstreamer()
    camera = RtspCamera(*options)
    await camera.start()
    try:
        yield camera
    finally:
        await camera.kill()


@asynccontextmanager
async def answering(reply: Callable[[bytes], bytes | None]) -> AsyncIterator[tuple[int, list[bytes]]]:
    """A server that takes every connection and answers each request with what `reply` makes of it.

    Yields its port and the requests that it got.
    """
    requests: list[bytes] = []
    writers: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                requests.append(await reader.readuntil(b"\r\n\r\n"))
                writer.write(reply(requests[-1]) or b"")

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1], requests
    finally:
        for writer in writers:
            writer.close()
        server.close()
