"""The HTTP side of the service: who gets in, what is refused and how, health, metrics, the page."""

from __future__ import annotations

import asyncio
import json
import threading

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from signaling_service import Service, serving, until

from engine.models import Model
from engine.types import EngineError
from engine.worker import Worker
from signaling.settings import Settings
from stream.client import LiveClient
from stream.encoders import pick_h264
from stream.sources.reader import has_cuda

KEY = "0123456789abcdef0123"
OTHER_KEY = "another-key-0123456789"


async def an_offer() -> dict[str, object]:
    client = LiveClient(None)
    try:
        return {"sdp": await client.offer(), "type": "offer", "source": "sample"}
    finally:
        await client.close()


def metric(text: str, name: str, **labels: str) -> float:
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name == name and sample.labels == labels:
                return sample.value
    raise AssertionError(f"no {name} {labels}")


async def test_health_is_green_only_when_the_model_is_warm(tiny_model: Model) -> None:
    loaded = threading.Event()

    def load() -> Model:
        loaded.wait(30)
        return tiny_model

    async with serving(Settings(port=0), Worker(load), ready=False) as service:
        before = await service.http.get("/health")
        assert (before.status_code, before.json()["status"]) == (503, "loading")
        assert int(before.headers["retry-after"]) > 0
        refused = await service.http.post("/sessions", json=await an_offer())
        assert (refused.status_code, refused.json()["error_type"]) == (503, "MODEL_LOADING")
        assert int(refused.headers["retry-after"]) > 0
        loaded.set()
        while (after := await service.http.get("/health")).status_code != 200:
            assert after.json()["status"] == "loading"
            await asyncio.sleep(0.05)
        assert after.json()["status"] == "ok"
        assert after.json()["model"] == {"name": tiny_model.name, "why": tiny_model.why}
        assert after.json()["encoders"] == {"h264": pick_h264(), "vp8": "libvpx"}
        assert after.json()["decoder"] == ("cuda" if has_cuda() else "software")


async def test_health_says_why_there_is_no_model() -> None:
    def load() -> Model:
        raise EngineError("MISSING_WEIGHTS", "weights of pico are not at /nowhere/pico.safetensors")

    worker = Worker(load)
    async with serving(Settings(port=0), worker, ready=False) as service:
        await until(lambda: worker.error)
        health = await service.http.get("/health")
        assert (health.status_code, health.json()["status"]) == (503, "failed")
        assert "/nowhere/pico.safetensors" in health.json()["why"]
        refused = await service.http.post("/sessions", json=await an_offer())
        assert "/nowhere/pico.safetensors" in refused.json()["detail"]


@pytest.mark.parametrize(
    ("method", "path", "protected"),
    [
        ("GET", "/", False),
        ("GET", "/health", False),
        ("GET", "/metrics", True),
        ("GET", "/sessions", True),
        ("POST", "/sessions", True),
        ("GET", "/sessions/00", True),
        ("DELETE", "/sessions/00", True),
    ],
)
async def test_keys(tiny_model: Model, method: str, path: str, protected: bool) -> None:
    settings = Settings(port=0, api_keys=(KEY, OTHER_KEY))
    async with serving(settings, Worker(lambda: tiny_model), ready=False) as service:
        for header in (None, "Bearer wrong-key-0123456789", f"Basic {KEY}", KEY, "Bearer"):
            headers = {} if header is None else {"authorization": header}
            answer = await service.http.request(method, path, headers=headers)
            assert (answer.status_code == 401) is protected
            if protected:
                assert answer.json()["error_type"] == "UNAUTHORIZED"
                assert answer.headers["www-authenticate"].startswith("Bearer")
        for header in (f"Bearer {KEY}", f"Key {OTHER_KEY}"):
            answer = await service.http.request(method, path, headers={"authorization": header})
            assert answer.status_code != 401


async def test_a_session_with_a_key(tiny_model: Model) -> None:
    async with serving(Settings(port=0, api_keys=(KEY,)), Worker(lambda: tiny_model)) as service:
        with pytest.raises(OSError, match="401"):
            await LiveClient.connect(service.url, None, options={"source": "sample"})
        async with service.viewer(key=KEY) as viewer:
            assert (await viewer.click())["object_ids"] == [1]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"host": "evil.example"}, 421),
        ({"host": "localhost.evil.example:8000"}, 421),
        ({"host": ""}, 421),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "http://localhost:1"}, 403),
        ({"origin": "https://app.example"}, 200),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-site"}, 403),
        ({"sec-fetch-site": "same-origin"}, 200),
        ({"sec-fetch-site": "cross-site", "origin": "https://app.example"}, 200),
    ],
)
async def test_hosts_and_origins(tiny_model: Model, headers: dict[str, str], status: int) -> None:
    settings = Settings(port=0, allowed_origins=("https://app.example",))
    async with serving(settings, Worker(lambda: tiny_model), ready=False) as service:
        for path in ("/sessions", "/metrics"):
            answer = await service.http.get(path, headers=headers)
            assert answer.status_code == status
        if status == 200 and "origin" in headers:
            assert answer.headers["access-control-allow-origin"] == headers["origin"]
        else:
            assert "access-control-allow-origin" not in answer.headers


async def test_the_page_of_an_allowed_origin_may_ask_first(tiny_model: Model) -> None:
    settings = Settings(port=0, allowed_origins=("https://app.example",), api_keys=(KEY,))
    async with serving(settings, Worker(lambda: tiny_model), ready=False) as service:
        asked = {
            "access-control-request-method": "POST",
            "access-control-request-headers": "authorization, content-type",
        }
        allowed = await service.http.options("/sessions", headers={**asked, "origin": "https://app.example"})
        assert allowed.status_code == 200
        assert allowed.headers["access-control-allow-origin"] == "https://app.example"
        refused = await service.http.options("/sessions", headers={**asked, "origin": "https://evil.example"})
        assert refused.status_code == 400
        assert "access-control-allow-origin" not in refused.headers


@pytest.mark.parametrize(
    ("body", "content_type", "status", "error_type"),
    [
        (b"{", "application/json", 400, "INVALID_INPUT"),
        (b"", "application/json", 400, "INVALID_INPUT"),
        (b"\xff\xfe", "application/json", 400, "INVALID_INPUT"),
        (b"[" * 100_000, "application/json", 400, "INVALID_INPUT"),
        (b"[]", "application/json", 400, "INVALID_INPUT"),
        (b"{}", "application/json", 400, "INVALID_INPUT"),
        (b'{"type": "offer", "sdp": 3}', "application/json", 400, "INVALID_INPUT"),
        (b'{"type": "answer", "sdp": "v=0"}', "application/json", 400, "INVALID_INPUT"),
        (b'{"type": "offer", "sdp": "v=0"}', "application/json", 400, "INVALID_INPUT"),
        (b'{"type": "offer", "sdp": "no sdp at all"}', "application/json", 400, "INVALID_INPUT"),
        (b'{"type": "offer", "sdp": "v=0"}', "text/plain", 415, "INVALID_INPUT"),
        (b"sdp=v", "application/x-www-form-urlencoded", 415, "INVALID_INPUT"),
        (b'{"type": "offer", "sdp": "' + b"a" * 70_000 + b'"}', "application/json", 413, "TOO_LARGE"),
        (b'{"type": "offer", "sdp": "' + b"a" * 900_000 + b'"}', "application/json", 413, "TOO_LARGE"),
    ],
)
async def test_bad_offers(
    service: Service, body: bytes, content_type: str, status: int, error_type: str
) -> None:
    answer = await service.http.post("/sessions", content=body, headers={"content-type": content_type})
    assert (answer.status_code, answer.json()["error_type"]) == (status, error_type)
    assert answer.json()["detail"]
    assert len(service.registry) == 0


@pytest.mark.parametrize("change", [{"source": "rtsp://camera"}, {"codec": "av1"}, {"output": {"mode": "x"}}])
async def test_bad_options(service: Service, change: dict[str, object]) -> None:
    answer = await service.http.post("/sessions", json={**await an_offer(), **change})
    assert (answer.status_code, answer.json()["error_type"]) == (400, "INVALID_INPUT")


async def test_offers_of_too_many_media_lines(service: Service) -> None:
    offer = await an_offer()
    media = str(offer["sdp"]).partition("m=")
    offer["sdp"] = media[0] + ("m=" + media[2]) * 20
    answer = await service.http.post("/sessions", json=offer)
    assert answer.status_code in (400, 413)
    assert len(service.registry) == 0


async def test_too_many_offers_a_second(tiny_model: Model) -> None:
    settings = Settings(port=0, offers_per_second=1)
    async with serving(settings, Worker(lambda: tiny_model)) as service:
        answers = [await service.http.post("/sessions", content=b"{}") for _ in range(4)]
        assert [answer.status_code for answer in answers[:2]] == [415, 415]
        assert answers[3].status_code == 429
        assert answers[3].json()["error_type"] == "RATE_LIMITED"
        assert int(answers[3].headers["retry-after"]) > 0


async def test_the_answer_is_complete(service: Service, tiny_model: Model) -> None:
    answer = await service.http.post("/sessions", json=await an_offer())
    body = answer.json()
    assert answer.status_code == 201
    assert answer.headers["location"] == f"/sessions/{body['id']}"
    assert (body["type"], body["protocol"], body["ice_servers"]) == ("answer", 1, [])
    assert body["model"]["name"] == tiny_model.name
    assert "a=candidate:" in body["sdp"]
    assert json.loads(json.dumps(body)) == body


async def test_metrics_tell_what_sessions_did(service: Service) -> None:
    async with service.viewer() as viewer:
        await viewer.click()
        await until(lambda: len(viewer.of("result")) >= 5 and viewer.of("stats"))
        text = (await service.http.get("/metrics")).text
        assert metric(text, "livemask_sessions") == 1
        assert metric(text, "livemask_sessions_limit") == 8
        assert metric(text, "livemask_sessions_memory_bytes") >= 0
        assert metric(text, "livemask_sessions_decoder", decoder="software") == 1
        assert metric(text, "livemask_offers_total", outcome="answered") == 1
        await until(lambda: viewer.of("stats")[-1]["encoders"] == ["libvpx"])
        stats = (await service.sessions())[0]["stats"]
        assert (stats["decoder"], stats["encoders"]) == ("software", ["libvpx"])
        assert viewer.of("stats")[-1]["decoder"] == "software"
        assert metric(text, "livemask_frames_total", stage="tracked") >= 5
        assert metric(text, "livemask_step_seconds_count") >= 5
    await until(lambda: not len(service.registry))
    await service.http.post("/sessions", content=b"{}")
    after = (await service.http.get("/metrics")).text
    assert metric(after, "livemask_sessions") == 0
    assert metric(after, "livemask_sessions_ended_total", reason="deleted") == 1
    assert metric(after, "livemask_offers_total", outcome="refused") == 1
    # Counters do not fall when the session that counted is gone.
    received = metric(text, "livemask_frames_total", stage="received")
    assert metric(after, "livemask_frames_total", stage="received") >= received


async def test_the_page_and_its_headers(service: Service) -> None:
    page = await service.http.get("/")
    assert page.status_code == 200
    assert page.headers["content-type"].startswith("text/html")
    assert "frame-ancestors 'none'" in page.headers["content-security-policy"]
    assert page.headers["x-content-type-options"] == "nosniff"
    assert page.headers["cache-control"] == "no-cache"
    unchanged = await service.http.get("/", headers={"if-none-match": page.headers["etag"]})
    assert unchanged.status_code == 304


@pytest.mark.parametrize(
    ("method", "path", "status", "error_type"),
    [
        ("GET", "/nothing.js", 404, "NOT_FOUND"),
        ("GET", "/../pyproject.toml", 404, "NOT_FOUND"),
        ("GET", "/%2e%2e/pyproject.toml", 404, "NOT_FOUND"),
        ("GET", "/sessions/unknown", 404, "NOT_FOUND"),
        ("PUT", "/sessions", 405, "METHOD_NOT_ALLOWED"),
        ("POST", "/", 405, "METHOD_NOT_ALLOWED"),
    ],
)
async def test_refusals_have_one_shape(
    service: Service, method: str, path: str, status: int, error_type: str
) -> None:
    answer = await service.http.request(method, httpx.URL(service.url).copy_with(raw_path=path.encode()))
    assert (answer.status_code, answer.json()["error_type"]) == (status, error_type)
    assert set(answer.json()) == {"detail", "error_type"}


async def test_a_fault_of_ours_shows_no_details(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise RuntimeError("the secret of the house")

    monkeypatch.setattr(service.registry, "peers", broken)
    answer = await service.http.get("/sessions")
    assert (answer.status_code, answer.json()["error_type"]) == (500, "INTERNAL_ERROR")
    assert "secret" not in answer.text
