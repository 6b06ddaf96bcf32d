"""Keys of the database at every door of a service that other machines can reach: a real one, a real file."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiortc import RTCPeerConnection
from harness import Server, jpeg
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from signaling.cli import main
from stream.client import LiveClient

CLICK = {"prompts": [{"x": 50, "y": 50, "object_id": 5}], "width": 640, "height": 480}
SCOPES = ("run", "view", "prompt", "admin")
JOB = {"video_url": "https://example.org/x.mp4"}


@pytest.fixture(scope="module")
def guarded(tiny_checkpoint: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Bound beyond loopback, no key in its settings."""
    folder = tmp_path_factory.mktemp("guarded")
    (folder / "recordings").mkdir()
    settings = {
        "host": "0.0.0.0",
        "recordings_dir": str(folder / "recordings"),
        "offers_per_second": 1000,
        "max_sessions": 16,
    }
    server = Server(folder / "data", tiny_checkpoint, settings).start()
    yield server
    server.stop()


def create(server: Server, capsys: pytest.CaptureFixture[str], *flags: str) -> dict[str, str]:
    """A key made by the command, beside the running server; the header to show it in."""
    assert main(["keys", "--data-dir", str(server.data_dir), "create", *flags]) == 0
    return {"authorization": f"Bearer {capsys.readouterr().out.strip()}"}


@pytest.fixture
def keys(guarded: Server, capsys: pytest.CaptureFixture[str]) -> dict[str, dict[str, str]]:
    """One of each scope, and a second one that runs."""
    made = {scope: create(guarded, capsys, "--scopes", scope) for scope in SCOPES}
    return {**made, "another": create(guarded, capsys)}


@pytest.fixture
async def http(guarded: Server) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=guarded.url, timeout=30, trust_env=False) as client:
        yield client


async def begin(http: httpx.AsyncClient, headers: dict[str, str]) -> str:
    answer = await http.post("/sessions", json={"source": "sample"}, headers=headers)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


async def offer() -> str:
    """What a player offers."""
    connection = RTCPeerConnection()
    try:
        connection.addTransceiver("video", "recvonly")
        await connection.setLocalDescription(await connection.createOffer())
        return connection.localDescription.sdp
    finally:
        await connection.close()


async def test_without_a_key_every_door_is_shut(http: httpx.AsyncClient, guarded: Server) -> None:
    doors = [
        ("GET", "/sessions"),
        ("POST", "/sessions"),
        ("GET", "/sessions/x/results"),
        ("POST", "/sessions/x/prompts"),
        ("POST", "/sessions/x/recording"),
        ("POST", "/whip/desk"),
        ("POST", "/whep/x"),
        ("GET", "/recordings"),
        ("GET", "/cameras"),
        ("GET", "/metrics"),
        ("POST", "/run/fal-ai/sam2/video"),
        ("POST", "/queue/fal-ai/sam2/video"),
        ("POST", "/fal-ai/sam2/video"),
        ("POST", "/rest/storage/upload/initiate"),
        ("POST", "/rest/tokens/"),
    ]
    for headers in ({}, {"authorization": "Key a:b"}, {"authorization": f"Bearer {'k' * 24}"}):
        for method, path in doors:
            answer = await http.request(method, path, json=JOB, headers=headers)
            assert answer.status_code == 401, path
            assert "livemask keys create" in answer.json()["detail"]
    assert (await http.get("/health")).status_code == 200
    async with connect(f"ws://{guarded.host}/run/fal-ai/sam2/video/realtime") as socket:
        assert json.loads(await socket.recv()) == {"status": "error", "error": "Unauthorized"}
    with pytest.raises(InvalidStatus) as refused:
        async with connect(f"ws://{guarded.host}/sessions/x/results"):
            pass
    assert refused.value.response.status_code == 401


async def test_each_scope_opens_its_doors(
    http: httpx.AsyncClient, guarded: Server, keys: dict[str, dict[str, str]]
) -> None:
    session = await begin(http, keys["run"])
    sdp = await offer()

    async def who_may(method: str, path: str, *statuses: int, **given: Any) -> set[str]:
        """Whose requests are not refused; what they are answered instead is among `statuses`."""
        let = set()
        for name, headers in keys.items():
            shown = {**headers, **given.get("headers", {})}
            answer = await http.request(method, path, **{**given, "headers": shown})
            assert answer.status_code in (403, *statuses), (name, answer.text)
            if answer.status_code != 403:
                let.add(name)
        return let

    everybody = set(keys)
    one = f"/sessions/{session}"
    assert await who_may("GET", "/sessions", 200) == everybody
    assert await who_may("GET", "/cameras", 200) == everybody
    assert await who_may("GET", "/sessions/ice-servers", 200) == everybody
    for path in (one, f"{one}/snapshot.jpg"):
        assert await who_may("GET", path, 200) == {"run", "view", "prompt", "admin"}
    for path in ("/recordings", "/metrics"):
        assert await who_may("GET", path, 200) == {"view", "prompt", "admin"}
    body = {"content": sdp, "headers": {"content-type": "application/sdp"}}
    assert await who_may("POST", f"/whep/{session}", 201, **body) == {"run", "view", "prompt", "admin"}
    assert await who_may("POST", f"{one}/prompts", 200, json=CLICK) == {"run", "prompt", "admin"}
    assert await who_may("POST", f"{one}/recording", 201, 409) == {"run", "admin"}
    assert await who_may("POST", "/sessions", 400, json={"sdp": "x"}) == {"run", "another", "admin"}
    assert await who_may("POST", "/whip/desk", 415, json={}) == {"run", "another", "admin"}
    assert await who_may("POST", "/run/fal-ai/sam2/video", 422, json={}) == {"run", "another", "admin"}
    assert await who_may("POST", "/rest/tokens/", 201, json={}) == {"run", "another", "admin"}
    assert await who_may("DELETE", f"{one}/recording", 200, 404) == {"run", "admin"}
    assert await who_may("DELETE", one, 204, 404) == {"run", "admin"}


async def test_whose_key_may_see_which_sessions(
    http: httpx.AsyncClient, keys: dict[str, dict[str, str]]
) -> None:
    mine, theirs = await begin(http, keys["run"]), await begin(http, keys["another"])
    seen = {}
    for name, headers in keys.items():
        listed = (await http.get("/sessions", headers=headers)).json()["sessions"]
        seen[name] = {session["id"] for session in listed}
    assert seen == {
        "run": {mine},
        "another": {theirs},
        "view": {mine, theirs},
        "prompt": {mine, theirs},
        "admin": {mine, theirs},
    }
    for session in (mine, theirs):
        assert (await http.delete(f"/sessions/{session}", headers=keys["admin"])).status_code == 204


async def test_results_go_to_whoever_may_watch(
    http: httpx.AsyncClient, guarded: Server, keys: dict[str, dict[str, str]]
) -> None:
    session = await begin(http, keys["run"])
    address = f"ws://{guarded.host}/sessions/{session}/results"
    for name, headers in keys.items():
        if name == "another":
            with pytest.raises(InvalidStatus) as refused:
                async with connect(address, additional_headers=headers):
                    pass
            assert refused.value.response.status_code == 403
            assert (await http.get(f"/sessions/{session}/results", headers=headers)).status_code == 403
            continue
        async with connect(address, additional_headers=headers) as socket:
            assert json.loads(await socket.recv())["type"] == "state"
    await http.delete(f"/sessions/{session}", headers=keys["run"])


async def test_a_camera_over_webrtc_and_its_prompts(
    guarded: Server, keys: dict[str, dict[str, str]], http: httpx.AsyncClient
) -> None:
    key = keys["run"]["authorization"].partition(" ")[2]
    client = await LiveClient.connect(guarded.url, None, options={"source": "sample"}, key=key)
    try:
        ack = await client.prompt(CLICK)
        assert ack["type"] == "ack"
    finally:
        await client.close()
    watcher = keys["view"]["authorization"].partition(" ")[2]
    with pytest.raises(Exception, match="403"):
        await LiveClient.connect(guarded.url, None, options={"source": "sample"}, key=watcher)


async def test_realtime_by_key(guarded: Server, keys: dict[str, dict[str, str]]) -> None:
    address = f"ws://{guarded.host}/run/fal-ai/sam-3/video-rle/realtime"
    for name, headers in keys.items():
        async with connect(address, additional_headers=headers) as socket:
            if name in ("view", "prompt"):
                assert json.loads(await socket.recv())["error"] == "FORBIDDEN"
                continue
            picture = "data:image/jpeg;base64," + base64.b64encode(jpeg()).decode()
            await socket.send(json.dumps({"image_url": picture, "prompts": [{"x": 40, "y": 50}]}))
            assert len(json.loads(await socket.recv())["rle"]) == 1


async def test_a_revoked_key_opens_nothing(
    http: httpx.AsyncClient, guarded: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    headers = create(guarded, capsys, "--scopes", "admin")
    assert (await http.get("/sessions", headers=headers)).status_code == 200
    key_id = headers["authorization"].split()[1].partition(":")[0]
    assert main(["keys", "--data-dir", str(guarded.data_dir), "revoke", key_id]) == 0
    assert (await http.get("/sessions", headers=headers)).status_code == 401
    assert (await http.post("/queue/fal-ai/sam2/video", json=JOB, headers=headers)).status_code == 401


async def test_limits_of_a_key_hold_for_sessions_too(
    http: httpx.AsyncClient, guarded: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    one = create(guarded, capsys, "--max-jobs", "1")
    session = await begin(http, one)
    answer = await http.post("/sessions", json={"source": "sample"}, headers=one)
    assert (answer.status_code, answer.json()["error_type"]) == (429, "RATE_LIMITED")
    assert "1 sessions at once" in answer.json()["detail"]
    assert (await http.delete(f"/sessions/{session}", headers=one)).status_code == 204
    await http.delete(f"/sessions/{await begin(http, one)}", headers=one)
    address = f"ws://{guarded.host}/run/fal-ai/sam2/video/realtime"
    async with connect(address, additional_headers=one) as first:
        await first.send("{}")
        assert "error" in json.loads(await first.recv()), "let in, and asked for more"
        async with connect(address, additional_headers=one) as second:
            assert json.loads(await second.recv())["error"] == "TOO_MANY_CONNECTIONS"
    slow = create(guarded, capsys, "--max-rate", "12")
    answers = [(await http.get("/sessions", headers=slow)).status_code for _ in range(3)]
    assert answers == [200, 200, 429]


def test_the_database_is_for_its_owner_alone(guarded: Server) -> None:
    assert Path(guarded.data_dir).stat().st_mode & 0o077 == 0
