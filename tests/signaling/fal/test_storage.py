"""Files: lifecycles, quotas, broken uploads, safe downloads, S3."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import obstore
import pytest
from harness import Server
from moto.server import ThreadedMotoServer

from signaling.fal.database import Database
from signaling.fal.errors import FalError
from signaling.fal.keys import Keys
from signaling.fal.settings import FalSettings
from signaling.fal.storage import NewFile, Storage, safe_name
from signaling.fal.storage_routes import byte_range


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    httpx.put(f"http://{host}:{port}/livemask")
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(params=["disk", "s3"])
def settings(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FalSettings:
    url = ""
    if request.param == "s3":
        monkeypatch.setenv("AWS_ENDPOINT_URL", request.getfixturevalue("s3"))
        monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "id")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        monkeypatch.setenv("AWS_REGION", "us-east-1")
        url = f"s3://livemask/{tmp_path.name}"
    return FalSettings(
        tmp_path,
        files_url=url,
        upload_bytes=10_000,
        key_bytes=20_000,
        storage_bytes=30_000,
        file_seconds=100,
    )


@pytest.fixture
def database(settings: FalSettings) -> Iterator[Database]:
    database = Database(settings.database)
    database.migrate()
    yield database
    database.close()


@pytest.fixture
def storage(database: Database, settings: FalSettings) -> Storage:
    return Storage(database, settings)


async def body(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


async def put(storage: Storage, data: bytes, owner: str = "me", seconds: int | None = None) -> Any:
    file = await storage.reserve(NewFile(owner, "x.bin", seconds=seconds))
    return await storage.finish(file.id, await storage.receive(body(data), await storage.room(owner)))


async def content(storage: Storage, file: Any) -> bytes:
    return b"".join([chunk async for chunk in storage.read(file, 0, file.size)])


def stored(storage: Storage) -> list[str]:
    return sorted(entry["path"] for page in obstore.list(storage._objects._store) for entry in page)


async def test_what_goes_in_comes_out(storage: Storage, tmp_path: Path) -> None:
    file = await put(storage, b"a" * 5000 + b"b" * 10)
    assert await content(storage, file) == b"a" * 5000 + b"b" * 10
    await storage.copy_to(file, tmp_path / "copy")
    assert (tmp_path / "copy").stat().st_size == 5010


async def test_lifecycles(storage: Storage) -> None:
    short, usual, forever = [await put(storage, b"x", seconds=s) for s in (10, None, 0)]
    now = time.time()
    assert await storage.sweep(now + 50) == 1
    assert await storage.find(short.id) is None
    assert await storage.find(usual.id) is not None
    assert await storage.sweep(now + 1e9) == 1
    assert await storage.find(usual.id) is None
    assert await storage.find(forever.id) is not None
    assert len(stored(storage)) == 1


async def test_an_expired_file_is_gone_before_it_is_swept(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = await put(storage, b"x", seconds=10)
    later = time.time() + 11
    monkeypatch.setattr(time, "time", lambda: later)
    assert await storage.find(file.id) is None


async def test_parts_of_unfinished_uploads_count(storage: Storage, database: Database) -> None:
    me = Keys(database).create("me", max_bytes=8000).partition(":")[0]
    file = await storage.reserve(NewFile(me, "x.bin"))
    for number in (1, 2):
        await storage.add_part(file.id, number, await storage.receive(body(b"x" * 4000), 20_000))
    with pytest.raises(FalError, match="quota"):
        await storage.room(me)
    assert await storage.room("you") == 20_000
    done = await storage.complete(file.id, (1, 2))
    assert done.size == 8000
    with pytest.raises(FalError, match="quota"):
        await storage.room(me)


async def test_quotas(storage: Storage) -> None:
    await put(storage, b"x" * 9000)
    await put(storage, b"x" * 9000)
    late = await storage.reserve(NewFile("me", "x.bin"))
    with pytest.raises(FalError, match="quota"):
        await storage.finish(late.id, await storage.receive(body(b"x" * 9000), 9000))
    assert await storage.room("me") == 2000
    await put(storage, b"x" * 9000, owner="you")
    assert await storage.room("they") == 3000, "all together"
    last = await storage.reserve(NewFile("they", "x.bin"))
    with pytest.raises(FalError, match="quota"):
        await storage.finish(last.id, await storage.receive(body(b"x" * 9000), 9000))
    assert len(stored(storage)) == 3


async def test_the_quota_is_that_of_the_key(storage: Storage, database: Database, tmp_path: Path) -> None:
    small, large = (Keys(database).create("x", max_bytes=size).partition(":")[0] for size in (100, 25_000))
    made = tmp_path / "made"
    made.write_bytes(b"x" * 101)
    with pytest.raises(FalError, match="quota"):
        await storage.add(NewFile(small, "made"), made)
    assert stored(storage) == []
    assert await storage.room(small) == 100
    for _ in range(3):
        await put(storage, b"x" * 8000, owner=large)
    assert await storage.room(large) == 1000


async def test_an_upload_is_bounded_and_leaves_nothing(storage: Storage, tmp_path: Path) -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 1000

    async def broken() -> AsyncIterator[bytes]:
        yield b"x"
        raise ConnectionError

    with pytest.raises(FalError, match="larger than the 10000 bytes"):
        await storage.receive(endless(), 1 << 30)
    with pytest.raises(ConnectionError):
        await storage.receive(broken(), 1 << 30)
    assert not list((tmp_path / "work" / "uploads").iterdir())
    assert stored(storage) == []


async def test_parts(storage: Storage) -> None:
    file = await storage.reserve(NewFile("me", "big.bin"))
    for number, data in ((2, b"b" * 3000), (1, b"?"), (1, b"a" * 3000)):
        await storage.add_part(file.id, number, await storage.receive(body(data), 9000))
    with pytest.raises(FalError, match="numbers out of"):
        await storage.complete(file.id, [1, 2, 3])
    with pytest.raises(FalError, match="larger"):
        await storage.add_part(file.id, 3, await storage.receive(body(b"c" * 4001), 9000))
    whole = await storage.complete(file.id, [1, 2])
    assert await content(storage, whole) == b"a" * 3000 + b"b" * 3000
    assert len(stored(storage)) == 1


async def test_uploads_that_nobody_finishes_are_cleaned_up(storage: Storage) -> None:
    file = await storage.reserve(NewFile("me", "big.bin"))
    await storage.add_part(file.id, 1, await storage.receive(body(b"a" * 3000), 9000))
    assert await storage.sweep(time.time() + 80) == 0
    assert await storage.sweep(time.time() + 2 * 86_400) == 1
    assert stored(storage) == []


def test_names_are_harmless() -> None:
    assert safe_name("../../etc/passwd") == "passwd"
    assert safe_name('we"ird\r\n name.mp4') == "we_ird___name.mp4"
    assert safe_name("..") == "file"
    assert safe_name("") == "file"


@pytest.mark.parametrize(
    ("header", "span"),
    [(None, (0, 10)), ("bytes=0-0", (0, 1)), ("bytes=2-", (2, 10)), ("bytes=-3", (7, 10)),
     ("bytes=5-99", (5, 10)), ("bytes=10-", None), ("bytes=-0", None), ("bytes=1-2,4-5", (0, 10)),
     ("bits=1-2", (0, 10)), ("bytes=x-", (0, 10))],
)  # fmt: skip
def test_ranges(header: str | None, span: tuple[int, int] | None) -> None:
    assert byte_range(header, 10) == span


def initiate(server: Server, name: str, content_type: str, **headers: str) -> dict[str, str]:
    answer = httpx.post(
        f"{server.url}/rest/storage/upload/initiate?storage_type=fal-cdn-v3",
        json={"file_name": name, "content_type": content_type},
        headers=headers,
    )
    assert answer.status_code == 200
    return answer.json()


def test_a_page_is_never_shown(server: Server) -> None:
    urls = initiate(server, "page.html", "text/html")
    assert httpx.put(urls["upload_url"], content=b"<script>alert(1)</script>").status_code == 200
    answer = httpx.get(urls["file_url"])
    assert answer.headers["content-disposition"].startswith("attachment")
    assert answer.headers["content-security-policy"].startswith("sandbox")
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_an_upload_address_is_worth_one_upload(server: Server) -> None:
    urls = initiate(server, "x.bin", "application/zip")
    assert httpx.get(urls["file_url"]).status_code == 404
    assert httpx.put(urls["upload_url"] + "x", content=b"x").status_code == 403
    assert (
        httpx.put(urls["file_url"].replace("/files/", "/files/upload/") + "?token=x", content=b"").status_code
        == 403
    )
    other = initiate(server, "y.bin", "application/zip")
    stolen = other["upload_url"].partition("?")[0] + "?" + urls["upload_url"].partition("?")[2]
    assert httpx.put(stolen, content=b"x").status_code == 403
    assert httpx.put(urls["upload_url"], content=b"first").status_code == 200
    assert httpx.put(urls["upload_url"], content=b"second").status_code == 404
    assert httpx.get(urls["file_url"]).content == b"first"


def test_the_lifecycle_of_a_request_reaches_its_files(server: Server, clip: Path) -> None:
    urls = initiate(
        server,
        "c.mp4",
        "video/mp4",
        **{"x-fal-object-lifecycle": json.dumps({"expiration_duration_seconds": 60})},
    )
    httpx.put(urls["upload_url"], content=clip.read_bytes())
    file_id = urls["file_url"].split("/")[-2]
    database = server.service.database
    from signaling.fal.tables import File

    row = database.read(lambda session: session.get(File, file_id))
    assert row is not None
    assert row.expires_at is not None
    assert row.expires_at - row.created_at == pytest.approx(60)
    headers = {"x-fal-object-lifecycle-preference": json.dumps({"expiration_duration_seconds": 3600})}
    body = {"video_url": urls["file_url"], "prompts": [{"x": 40, "y": 50}]}
    out = httpx.post(f"{server.url}/run/fal-ai/sam2/video", json=body, headers=headers, timeout=60).json()
    row = database.read(lambda session: session.get(File, out["video"]["url"].split("/")[-2]))
    assert row is not None
    assert row.expires_at is not None
    assert row.expires_at - row.created_at == pytest.approx(3600)
    bad = httpx.post(
        f"{server.url}/run/fal-ai/sam2/video", json=body, headers={"x-fal-object-lifecycle": "{"}
    )
    assert bad.status_code == 400
