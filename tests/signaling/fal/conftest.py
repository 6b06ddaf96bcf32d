"""One server for the tests of this folder, and the stock Python client pointed at it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fal_client.client
import pytest
import trustme

sys.path.insert(0, str(Path(__file__).parent))
from harness import LOOPBACK, Secure, Server, jpeg, write_clip
from postgresql import new_database, postgresql, programs


@pytest.fixture(scope="session")
def server(tiny_checkpoint: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """No keys, loopback addresses allowed (the tests' own web servers live there)."""
    running = Server(
        tmp_path_factory.mktemp("data"),
        tiny_checkpoint,
        fal={"allow_networks": LOOPBACK, "webhook_delays": (0.2, 0.2, 0.2)},
    ).start()
    yield running
    running.stop()


@pytest.fixture(scope="session")
def secure(tiny_checkpoint: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secure]:
    """Under fal's own names and localhost, by TLS; a page of another origin may call."""
    folder = tmp_path_factory.mktemp("secure")
    authority = trustme.CA()
    certificate = authority.issue_cert(*Secure.hosts, "*.fal.media", "localhost")
    certificate.private_key_pem.write_to_path(str(folder / "key.pem"))
    for part in certificate.cert_chain_pems:
        part.write_to_path(str(folder / "cert.pem"), append=True)
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    running = Server(
        folder / "data",
        tiny_checkpoint,
        {"allowed_hosts": Secure.hosts, "allowed_origins": (Secure.page,)},
        tls=(folder / "cert.pem", folder / "key.pem"),
    ).start()
    yield Secure(running, folder / "ca.pem")
    running.stop()


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a PostgreSQL server of our own."""
    binaries = programs()
    if binaries is None:
        pytest.skip("PostgreSQL is not installed (apt-get install postgresql)")
    with postgresql(binaries, tmp_path_factory.mktemp("postgres")) as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database, of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/livemask.db"
    return new_database(request.getfixturevalue("postgres"))


@pytest.fixture(scope="session")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("picture") / "picture.jpg"
    path.write_bytes(jpeg())
    return path


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("clip") / "clip.mp4")


@pytest.fixture
def stock(server: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    """The server, with `fal_client` pointed at it as docs/fal.md says."""
    redirect(server, monkeypatch)
    return server


def redirect(server: Server, monkeypatch: pytest.MonkeyPatch, key: str = "id:secret") -> None:
    """The five lines of docs/fal.md."""
    client = fal_client.client
    monkeypatch.setattr(client, "RUN_URL_FORMAT", f"http://{server.host}/run/")
    monkeypatch.setattr(client, "QUEUE_URL_FORMAT", f"http://{server.host}/queue/")
    monkeypatch.setattr(client, "REALTIME_URL_FORMAT", f"ws://{server.host}/run/")
    monkeypatch.setattr(client, "REST_URL", f"http://{server.host}/rest")
    monkeypatch.setattr(client, "CDN_URL", f"http://{server.host}/cdn")
    monkeypatch.setenv("FAL_KEY", key)
