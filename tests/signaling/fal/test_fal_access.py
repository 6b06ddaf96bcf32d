"""Keys: required, scoped, limited, revoked; requests of others are not seen."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from harness import Server, jpeg
from sqlalchemy import select
from test_queue import Busy

from signaling.cli import main
from signaling.fal.database import Database
from signaling.fal.keys import Keys
from signaling.fal.tables import File, Key

APP = "fal-ai/sam2/video"
INPUT = {"video_url": "https://example.org/x.mp4"}


@pytest.fixture(scope="module")
def locked(tiny_checkpoint: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(
        tmp_path_factory.mktemp("locked"), tiny_checkpoint, {"api_keys": ("k" * 24,)}, {"key_bytes": 1000}
    ).start()
    yield server
    server.stop()


@pytest.fixture
def keys(locked: Server) -> Keys:
    return locked.service.keys


def submit(server: Server, key: str | None) -> httpx.Response:
    headers = {"authorization": f"Key {key}"} if key else {}
    return httpx.post(f"{server.url}/queue/{APP}", json=INPUT, headers=headers)


def test_a_key_is_required_where_the_service_has_keys(locked: Server, keys: Keys) -> None:
    for key in (None, "a:b", "x" * 24, f"{keys.create('x').partition(':')[0]}:wrong"):
        answer = submit(locked, key)
        assert answer.status_code == 401
        assert "livemask keys create" in answer.json()["detail"]
    assert submit(locked, keys.create("x", ["run"])).status_code == 200
    assert submit(locked, "k" * 24).status_code == 200


def test_a_revoked_key_is_refused_and_so_are_its_tokens(locked: Server, keys: Keys) -> None:
    key = keys.create("x", ["run"])
    headers = {"authorization": f"Key {key}"}
    token = httpx.post(f"{locked.url}/rest/storage/auth/token", json={}, headers=headers).json()["token"]
    bearer = {"authorization": f"Bearer {token}"}
    url = f"{locked.url}/cdn/files/upload"
    assert httpx.post(url, content=b"x", headers=bearer).status_code == 200
    assert keys.revoke(key.partition(":")[0])
    assert not keys.revoke(key.partition(":")[0])
    assert submit(locked, key).status_code == 401
    assert httpx.post(url, content=b"x", headers=bearer).status_code == 401


def test_scopes(locked: Server, keys: Keys) -> None:
    run, other, view, admin = (keys.create(s, [s]) for s in ("run", "run", "view", "admin"))
    assert submit(locked, view).status_code == 403
    job = submit(locked, run).json()
    seen = {
        name: httpx.get(job["status_url"], headers={"authorization": f"Key {key}"}).status_code
        for name, key in {"run": run, "other": other, "view": view, "admin": admin}.items()
    }
    assert seen == {"run": 200, "other": 404, "view": 200, "admin": 200}
    cancelled = httpx.put(job["cancel_url"], headers={"authorization": f"Key {view}"})
    assert cancelled.status_code == 404


def test_limits_of_a_key(locked: Server, keys: Keys) -> None:
    slow = keys.create("slow", ["run"], max_rate=6)
    answers = [submit(locked, slow) for _ in range(3)]
    assert [answer.status_code for answer in answers[:1]] == [200]
    assert answers[-1].status_code == 429
    assert answers[-1].headers["retry-after"]
    small = {"authorization": f"Key {keys.create('small', ['run'], max_bytes=10)}"}
    token = httpx.post(f"{locked.url}/rest/storage/auth/token", json={}, headers=small).json()["token"]
    answer = httpx.post(
        f"{locked.url}/cdn/files/upload", content=b"x" * 11, headers={"authorization": f"Bearer {token}"}
    )
    assert answer.status_code == 413


def test_a_key_has_so_many_requests_at_once(server: Server) -> None:
    keys = server.service.keys
    two, other = (
        {"authorization": f"Key {keys.create(name, ['run'], max_jobs=2)}"} for name in ("two", "other")
    )
    url = f"{server.url}/queue/{APP}"
    body = {**INPUT, "prompts": [{"x": 1, "y": 1}]}
    with Busy(server):
        waiting = [httpx.post(url, json=body, headers=two) for _ in range(3)]
        assert [answer.status_code for answer in waiting] == [200, 200, 429]
        assert "its limit is 2" in waiting[2].json()["detail"]
        assert waiting[2].headers["retry-after"]
        others = httpx.post(url, json=body, headers=other)
        assert others.status_code == 200
        assert httpx.put(waiting[0].json()["cancel_url"], headers=two).status_code == 202
        again = httpx.post(url, json=body, headers=two)
        assert again.status_code == 200
        for answer, headers in ((waiting[1], two), (again, two), (others, other)):
            httpx.put(answer.json()["cancel_url"], headers=headers)


def test_what_a_request_makes_counts_on_its_own_key(locked: Server, keys: Keys) -> None:
    """The server's default is 1000 bytes here, the picture is larger."""
    given = len(jpeg())
    picture = "data:image/jpeg;base64," + base64.b64encode(jpeg()).decode()
    body = {"image_url": picture, "prompts": [{"x": 40, "y": 50}], "apply_mask": True}

    def run(max_bytes: int) -> tuple[httpx.Response, list[int]]:
        """The answer, and the sizes of what the key keeps after it."""
        key = keys.create("x", ["run"], max_bytes=max_bytes)
        headers = {"authorization": f"Key {key}"}
        answer = httpx.post(f"{locked.url}/run/fal-ai/sam2/image", json=body, headers=headers, timeout=60)
        sizes = select(File.size).where(File.owner == key.partition(":")[0]).order_by(File.created_at)
        return answer, list(locked.service.database.read(lambda session: session.scalars(sizes).all()))

    answer, kept = run(1_000_000)
    made = answer.json()["image"]["file_size"]
    assert made > 1000
    assert kept == [given, made]
    answer, kept = run(given + made - 1)
    assert (answer.status_code, answer.headers["x-fal-error-type"]) == (413, "quota_exceeded")
    assert kept == [given], "what was made is gone"
    assert run(given + made)[0].status_code == 200
    assert run(given - 1)[0].status_code == 413, "the data URI counts"


def test_realtime_tokens_need_a_key_and_are_json_strings(locked: Server, keys: Keys) -> None:
    url = f"{locked.url}/rest/tokens/"
    body = {"allowed_apps": ["sam2"], "token_expiration": 120}
    assert httpx.post(url, json=body).status_code == 401
    answer = httpx.post(url, json=body, headers={"authorization": f"Key {keys.create('x')}"})
    assert answer.status_code == 201
    assert isinstance(answer.json(), str)


def test_the_command_creates_lists_and_revokes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LIVEMASK_FAL_DATA_DIR", str(tmp_path))
    assert main(["keys", "create", "--name", "camera one", "--scopes", "run,view", "--max-jobs", "3"]) == 0
    created = capsys.readouterr().out.split()[-1]
    key_id, _, secret = created.partition(":")
    database = Database(f"sqlite:///{tmp_path}/livemask.db")
    row = database.read(lambda session: session.get(Key, key_id))
    assert row is not None
    assert (row.name, row.scopes, row.max_jobs) == ("camera one", ["run", "view"], 3)
    assert secret.encode() not in (tmp_path / "livemask.db").read_bytes()
    assert secret.encode() not in (tmp_path / "livemask.db-wal").read_bytes()
    principal = Keys(database).check(created)
    assert principal is not None
    assert principal.may("view")
    assert not principal.may("prompt")
    assert main(["keys", "list"]) == 0
    listed = capsys.readouterr().out
    assert key_id in listed
    assert secret not in listed
    assert main(["keys", "revoke", key_id]) == 0
    assert Keys(database).check(created) is None
    assert main(["keys", "revoke", key_id]) == 2
    assert main(["keys", "create", "--scopes", "everything"]) == 2
    assert "expected scopes out of run, view, prompt, admin" in capsys.readouterr().err
    assert main(["keys", "create", "--max-bytes", "0"]) == 2
    assert "max_bytes: expected 1 or more, got 0" in capsys.readouterr().err
