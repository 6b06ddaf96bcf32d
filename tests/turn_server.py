"""coturn on this host, for tests."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from rtsp import free_port


@dataclass(frozen=True, slots=True)
class TurnServer:
    """A relay that listens on `host`:`port`; `errors` is the file of what it says on stderr."""

    host: str
    port: int
    errors: Path


@asynccontextmanager
async def turn_server(folder: Path, *flags: str) -> AsyncIterator[TurnServer]:
    """coturn with these flags, its files in `folder`; the test is skipped where there is none."""
    program = shutil.which("turnserver")
    if program is None:
        pytest.skip("no coturn here; .ci/system-packages installs it as root on Debian")
    server = TurnServer("127.0.0.1", free_port(), folder / "errors")
    with server.errors.open("wb") as errors:
        process = await asyncio.create_subprocess_exec(
            program, "-n", *flags,
            f"--listening-port={server.port}", f"--listening-ip={server.host}", f"--relay-ip={server.host}",
            "--no-tls", "--no-dtls",
            f"--pidfile={folder}/pid", f"--db={folder}/db", "--log-file=stdout",
            cwd=folder, stdout=asyncio.subprocess.DEVNULL, stderr=errors,
        )  # fmt: skip
    try:
        async with asyncio.timeout(20):
            while True:
                try:
                    _, writer = await asyncio.open_connection(server.host, server.port)
                    writer.close()
                    break
                except OSError:
                    assert process.returncode is None, "it does not start"
                    await asyncio.sleep(0.1)
        yield server
    finally:
        process.kill()
        await process.wait()
