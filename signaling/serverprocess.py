"""`livemask serve` as a process of its own, for the demo and the benchmarks. Knows no WebRTC."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import IO, Any

from signaling.command import CommandError

READY = re.compile(r"Livemask is ready: (\S+)")
# Who may speak to it and where it listens is decided here, not by the environment.
NOT_INHERITED = (
    "LIVEMASK_HOST",
    "LIVEMASK_PORT",
    "LIVEMASK_API_KEYS",
    "LIVEMASK_ALLOWED_HOSTS",
    "LIVEMASK_FAL_DATABASE_URL",
    "LIVEMASK_FAL_FILES_URL",
    "LIVEMASK_FAL_REQUIRE_KEY",
)
STOP_SECONDS = 10.0


@contextmanager
def server_process(flags: Sequence[str], within: float = 300.0) -> Iterator[str]:
    """Run a server on a free loopback port for as long as the context lasts; gives its URL.

    It keeps its data in a folder of its own, for a server of the user's may be running.

    Args:
        flags: further flags of `livemask serve`.
        within: seconds that loading the model may take.

    Raises:
        CommandError: it ended or was not ready in time; with the last lines of its log.
    """
    command = [sys.executable, "-m", "signaling.cli", "serve", "--host", "127.0.0.1", "--port", "0", *flags]
    environment = {name: value for name, value in os.environ.items() if name not in NOT_INHERITED}
    with tempfile.TemporaryDirectory() as data, tempfile.TemporaryFile() as log:
        environment["LIVEMASK_FAL_DATA_DIR"] = data
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, env=environment
        )
        try:
            yield _wait(process, log, within)
        finally:
            _stop(process)


def get_json(url: str) -> dict[str, Any]:
    """The JSON object that a GET of `url` answers."""
    with urllib.request.urlopen(url, timeout=10) as response:
        return dict(json.load(response))


def _wait(process: subprocess.Popen[bytes], log: IO[bytes], within: float) -> str:
    deadline = time.monotonic() + within
    while time.monotonic() < deadline and process.poll() is None:
        if found := READY.search(_text(log)):
            return found[1].rstrip("/")
        time.sleep(0.1)
    what = "is not ready in time" if process.poll() is None else f"ended with status {process.returncode}"
    last = "\n".join(_text(log).strip().splitlines()[-5:])
    raise CommandError(f"the server {what}:\n{last}")


def _text(log: IO[bytes]) -> str:
    """What was written so far; read by position, for the file's own position is the writer's too."""
    return os.pread(log.fileno(), 1 << 20, 0).decode(errors="replace")


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
