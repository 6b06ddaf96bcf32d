"""The queue over HTTP: states, server-sent events, cancelling, time-outs, priorities."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import fal_client
import httpx
import pytest
from harness import Server, write_clip
from test_video import upload

from signaling.fal import queue_routes
from signaling.fal.jobs import PRIORITIES
from web import Web

APP = "fal-ai/sam-3/video-rle"
CLICK = [{"x": 40, "y": 50}]


@pytest.fixture(scope="module")
def video(server: Server, clip: Path) -> str:
    return upload(server, clip, "video/mp4")


@pytest.fixture(scope="module")
def long_video(server: Server, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Long enough to keep a worker busy for as long as a test needs."""
    path = tmp_path_factory.mktemp("long") / "long.mp4"
    write_clip(path, frames=1000, size=(80, 64), sound=False)
    return upload(server, path, "video/mp4")


def submit(server: Server, url: str, headers: dict[str, str] | None = None, **query: str) -> dict[str, Any]:
    body = {"video_url": url, "prompts": CLICK}
    answer = httpx.post(f"{server.url}/queue/{APP}", json=body, params=query, headers=headers)
    assert answer.status_code == 200, answer.text
    return answer.json()


def finished(server: Server, job: dict[str, Any], seconds: float = 60) -> httpx.Response:
    deadline = time.monotonic() + seconds
    while (answer := httpx.get(job["status_url"], params={"logs": "1"})).status_code == 202:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return answer


class Busy:
    """Every worker of the server occupied until the end of the block: by videos that do not come."""

    def __init__(self, server: Server) -> None:
        self.server = server

    def __enter__(self) -> list[dict[str, Any]]:
        self.web = Web().__enter__()
        url = self.web.stall("/never.mp4")
        self.jobs = [submit(self.server, url) for _ in range(self.server.service.settings.workers)]
        deadline = time.monotonic() + 20
        while any(self.status(job)["status"] == "IN_QUEUE" for job in self.jobs):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        return self.jobs

    def __exit__(self, *_: object) -> None:
        for job in self.jobs:
            httpx.put(job["cancel_url"])
        for job in self.jobs:
            finished(self.server, job)
        self.web.__exit__()

    def status(self, job: dict[str, Any]) -> Any:
        return httpx.get(job["status_url"]).json()


def test_states_codes_and_keys(server: Server, video: str) -> None:
    with Busy(server) as running:
        job = submit(server, video)
        assert set(job) >= {
            "status",
            "request_id",
            "response_url",
            "status_url",
            "cancel_url",
            "queue_position",
        }
        waiting = httpx.get(job["status_url"], params={"logs": "true"})
        assert (waiting.status_code, waiting.json()["status"]) == (202, "IN_QUEUE")
        assert waiting.json()["queue_position"] == 0
        assert httpx.get(submit(server, video)["status_url"]).json()["queue_position"] == 1
        for logs, kind in (("0", type(None)), ("false", type(None)), ("1", list), ("true", list)):
            in_progress = httpx.get(running[0]["status_url"], params={"logs": logs})
            assert in_progress.status_code == 202
            assert isinstance(in_progress.json()["logs"], kind)
        early = httpx.get(job["response_url"])
        assert (early.status_code, early.json()["detail"]) == (400, "Request is still in progress")
    done = finished(server, job)
    assert done.status_code == 200
    assert done.json()["metrics"]["inference_time"] > 0
    assert httpx.get(job["status_url"]).json()["logs"] is None
    entry = done.json()["logs"][0]
    assert set(entry) == {"message", "level", "source", "timestamp"}
    for path in ("", "/", "/response"):
        assert len(httpx.get(job["response_url"] + path).json()["rle"]) > 0


def test_another_app_does_not_know_the_request(server: Server, video: str) -> None:
    job = submit(server, video)
    elsewhere = job["status_url"].replace("/sam-3/", "/sam2/")
    assert httpx.get(elsewhere).status_code == 404
    finished(server, job)


def test_cancelling(server: Server, video: str) -> None:
    with Busy(server) as fetching:
        job = submit(server, video)
        answer = httpx.put(job["cancel_url"])
        assert (answer.status_code, answer.json()) == (202, {"status": "CANCELLATION_REQUESTED"})
        status = finished(server, job).json()
        assert (status["status"], status["error_type"]) == ("COMPLETED", "client_cancelled")
        assert httpx.get(job["response_url"]).status_code == 499
        again = httpx.put(job["cancel_url"])
        assert (again.status_code, again.json()) == (400, {"status": "ALREADY_COMPLETED"})
        assert httpx.put(fetching[0]["cancel_url"]).status_code == 202
        assert finished(server, fetching[0]).json()["error_type"] == "client_cancelled"
    unknown = job["cancel_url"].replace(job["request_id"], "0" * 36)
    answer = httpx.put(unknown)
    assert (answer.status_code, answer.json()) == (404, {"status": "NOT_FOUND"})


def test_cancelling_between_frames(server: Server, long_video: str) -> None:
    job = submit(server, long_video)
    deadline = time.monotonic() + 20
    while httpx.get(job["status_url"]).json()["status"] == "IN_QUEUE":
        assert time.monotonic() < deadline
    assert httpx.put(job["cancel_url"]).status_code == 202
    assert finished(server, job).json()["error_type"] == "client_cancelled"


def test_start_timeout(server: Server, video: str) -> None:
    with Busy(server):
        job = submit(server, video, {"x-fal-request-timeout": "0.2"})
        status = finished(server, job).json()
        assert status["error_type"] == "request_timeout"
        answer = httpx.get(job["response_url"])
        assert answer.status_code == 504
        assert answer.headers["x-fal-request-timeout-type"] == "user"
        assert answer.headers["x-fal-error-type"] == "request_timeout"


def test_priority(server: Server, video: str) -> None:
    with Busy(server):
        low = submit(server, video, {"x-fal-queue-priority": "low"})
        normal = submit(server, video)
        high = submit(server, video, {"x-fal-queue-priority": "high"})
        places = [httpx.get(job["status_url"]).json()["queue_position"] for job in (high, normal, low)]
        assert places == [0, 1, 2]
        bad = httpx.post(f"{server.url}/queue/{APP}", json={}, headers={"x-fal-queue-priority": "vip"})
        assert bad.status_code == 400
    for job in (low, normal, high):
        finished(server, job)


def test_status_stream_sends_each_line_once_and_ends(server: Server, video: str) -> None:
    with Busy(server):
        job = submit(server, video)
        url = job["status_url"] + "/stream?logs=1"
        with httpx.stream("GET", url, timeout=60) as stream:
            assert stream.headers["content-type"].startswith("text/event-stream")
            lines = stream.iter_lines()
            first = json.loads(next(lines).removeprefix("data: "))
            assert first["status"] == "IN_QUEUE"
            httpx.put(job["cancel_url"])
            rest = [line for line in lines if line]
    events = [json.loads(line.removeprefix("data: ")) for line in rest]
    assert events[-1]["status"] == "COMPLETED"
    done = submit(server, video)
    finished(server, done)
    text = httpx.get(done["status_url"] + "/stream?logs=1").text
    assert text.isascii()
    (event,) = [json.loads(line.removeprefix("data: ")) for line in text.splitlines() if line]
    assert event["logs"][0]["message"].endswith("begins")


def test_a_quiet_stream_says_that_it_is_there(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue_routes, "KEEP_ALIVE_SECONDS", 0.1)
    with Busy(server) as fetching:
        with httpx.stream("GET", fetching[0]["status_url"] + "/stream", timeout=60) as stream:
            lines = stream.iter_lines()
            assert json.loads(next(lines).removeprefix("data: "))["status"] == "IN_PROGRESS"
            comment = next(line for line in lines if line)
    assert comment.startswith(":")


def test_everything_the_stock_client_says_when_it_submits(stock: Server, video: str) -> None:
    """Priority, hint, start time-out, its own headers, and a webhook whose address has a query."""
    client = fal_client.SyncClient(key="id:secret")
    headers = {"x-fal-object-lifecycle-preference": '{"expiration_duration_seconds": 3600}'}
    with Web() as web:
        hook = f"{web.url}/hook?a=b%20c&d=e"
        handle = client.submit(
            APP,
            {"video_url": video, "prompts": CLICK},
            priority="low",
            hint="here",
            start_timeout=60,
            headers=headers,
            webhook_url=hook,
        )
        assert web.wait(1)[0].json["request_id"] == handle.request_id
        assert web.posted == ["/hook?a=b%20c&d=e"]
    job = asyncio.run(stock.service.jobs.get(handle.request_id))
    assert job is not None
    assert (job.priority, job.file_seconds) == (PRIORITIES["low"], 3600)
    assert job.start_deadline is not None
    assert 50 < job.start_deadline - job.created_at < 70


def test_a_caller_that_hangs_up_ends_its_run(server: Server, long_video: str) -> None:
    body = {"video_url": long_video, "prompts": CLICK}
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(f"{server.url}/run/{APP}", json=body, timeout=httpx.Timeout(1.0, connect=5))
    deadline = time.monotonic() + 20
    while server.service.runner.busy:
        assert time.monotonic() < deadline, "the request goes on"
        time.sleep(0.05)


@pytest.mark.parametrize("kind", ["client_cancelled", "request_timeout"])
def test_the_stock_client_names_what_ended_a_request(stock: Server, video: str, kind: str) -> None:
    client = fal_client.SyncClient(key="id:secret")
    with Busy(stock):
        timeout = 1.1 if kind == "request_timeout" else None
        handle = client.submit(APP, {"video_url": video, "prompts": CLICK}, start_timeout=timeout)
        if timeout is None:
            handle.cancel()
        with pytest.raises(fal_client.FalClientHTTPError) as caught:
            handle.get()
    assert caught.value.status_code == {"client_cancelled": 499, "request_timeout": 504}[kind]
    assert caught.value.error_type == kind
    status = handle.status()
    assert isinstance(status, fal_client.Completed)
    assert status.error_type == kind


def test_a_failure_of_the_server_is_told_once(
    stock: Server, video: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The engine breaks: 500, which the client does not repeat."""

    def broken() -> None:
        tried.append(1)
        raise RuntimeError("the engine broke")

    tried: list[int] = []
    monkeypatch.setattr(stock.service.runner, "_open_lane", broken)
    client = fal_client.SyncClient(key="id:secret")
    with pytest.raises(fal_client.FalClientHTTPError) as caught:
        client.run(APP, {"video_url": video, "prompts": CLICK})
    assert (caught.value.status_code, caught.value.error_type) == (500, "internal_server_error")
    assert len(tried) == 1


def test_headers_that_say_how_a_request_is_kept(server: Server, video: str) -> None:
    jobs = server.service.jobs
    plain = submit(server, video)
    special = submit(server, video, {"x-fal-no-retry": "1", "x-fal-store-io": "0"})
    for job in (plain, special):
        finished(server, job)
    usual, quiet = (asyncio.run(jobs.get(job["request_id"])) for job in (plain, special))
    assert usual is not None
    assert quiet is not None
    assert (usual.max_tries, usual.input["video_url"]) == (server.service.settings.max_tries, video)
    assert quiet.max_tries == 1
    assert not quiet.input, "the input is still there"
    assert len(httpx.get(special["response_url"]).json()["rle"]) > 0
    assert quiet.expires_at < time.time() + 3601 < usual.expires_at


def test_long_run_lengths_come_as_a_file(server: Server, video: str, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = httpx.get(_done(server, video)["response_url"]).json()
    monkeypatch.setattr(
        server.service.runner, "_settings", replace(server.service.settings, inline_bytes=100)
    )
    filed = httpx.get(_done(server, video)["response_url"]).json()
    assert set(filed) == {"rle"}
    assert filed["rle"]["content_type"] == "application/json"
    assert httpx.get(filed["rle"]["url"]).json() == whole


def _done(server: Server, url: str) -> dict[str, Any]:
    job = submit(server, url)
    finished(server, job)
    return job
