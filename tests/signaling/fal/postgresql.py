"""A PostgreSQL server of the tests' own, where PostgreSQL is installed."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

HIDDEN = "/usr/lib/postgresql"  # where Debian keeps what it does not put on the PATH


def programs() -> Path | None:
    """The folder of `initdb` and `postgres`; None where PostgreSQL is not installed."""
    found = shutil.which("initdb")
    hidden = sorted(Path(HIDDEN).glob("*/bin/initdb"))
    return Path(found).resolve().parent if found else hidden[-1].parent if hidden else None


@contextmanager
def postgresql(binaries: Path, folder: Path) -> Iterator[str]:
    """A server with its data in `folder`; gives the URL of an empty database in it.

    It refuses to run as root, so it may have to be somebody else's.
    """
    become: list[str] = []
    if os.geteuid() == 0:
        user = pwd.getpwnam("nobody")
        become = ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
        os.chown(folder, user.pw_uid, user.pw_gid)
        for parent in folder.parents[:3]:
            parent.chmod(0o755)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    data = str(folder / "data")
    begin = [*become, binaries / "initdb", "-D", data, "-U", "livemask", "-A", "trust", "--no-sync"]
    subprocess.run(begin, check=True, capture_output=True)
    serve = [*become, binaries / "postgres", "-D", data, "-p", str(port), "-k", str(folder)]
    server = subprocess.Popen(
        [*serve, "-c", "fsync=off"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        url = f"postgresql://livemask@127.0.0.1:{port}/postgres"
        _wait(server, url)
        yield url
    finally:
        server.terminate()
        server.wait(timeout=60)


def new_database(url: str) -> str:
    """The URL of a new, empty database on the server of `url`."""
    name = f"livemask_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return f"{url.rpartition('/')[0]}/{name}"


def _wait(server: subprocess.Popen[bytes], url: str) -> None:
    deadline = time.monotonic() + 60
    while not _answers(url):
        assert server.poll() is None, f"postgres ended with status {server.returncode}"
        assert time.monotonic() < deadline, "postgres does not answer"
        time.sleep(0.05)


def _answers(url: str) -> bool:
    try:
        psycopg.connect(url, connect_timeout=5).close()
    except psycopg.OperationalError:
        return False
    return True
