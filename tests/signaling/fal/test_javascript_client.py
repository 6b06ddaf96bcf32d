"""The stock JavaScript client as it comes from npm, under Node, against the real service."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import httpx
import pytest
from harness import FRAMES, SIZE, Server
from test_fal_access import locked
from test_queue import Busy

__all__ = ["locked"]

HERE = Path(__file__).parent / "node"
ROOT = Path(__file__).parents[3]

pytestmark = pytest.mark.skipif(
    shutil.which("node") is None or not (ROOT / "node_modules" / "@fal-ai").is_dir(),
    reason="needs Node and `npm ci`",
)


def node(script: str, server: Server, **environ: str) -> Any:
    """The JSON that a script prints."""
    ended = subprocess.run(
        ["node", "--experimental-websocket", str(HERE / script)],
        env={**os.environ, "BASE": server.url, **environ},
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def out(server: Server, clip: Path) -> Any:
    return node("http.mjs", server, CLIP=str(clip))


def test_run_uploads_blobs_and_gives_the_request_id(out: Any) -> None:
    assert out["text"] == "Hello, World!"
    assert out["run"]["video"]["content_type"] == "video/mp4"
    assert len(out["run"]["requestId"]) == 36


@pytest.mark.parametrize("mode", ["polling", "streaming"])
def test_subscribe(out: Any, mode: str) -> None:
    seen = out[mode]
    order = ["IN_QUEUE", "IN_PROGRESS", "COMPLETED"]
    assert seen["updates"] == sorted(seen["updates"], key=order.index)
    assert seen["updates"][-1] == "COMPLETED"
    assert (seen["frames"], seen["begins"], seen["enqueued"]) == (FRAMES, 1, 1)


def test_queue_by_hand(out: Any) -> None:
    assert out["queue"]["metrics"]["inference_time"] > 0
    assert out["queue"]["result"] == "video/mp4"


def test_errors_are_the_clients_own(out: Any) -> None:
    invalid = out["invalid"]
    assert (invalid["validation"], invalid["status"], invalid["named"]) == (True, 422, 1)
    assert invalid["field"] == ["body", "prompts", 0, "x"]
    assert invalid["calls"] == 1, "it was tried again"
    assert out["empty"]["validation"]
    assert "box_prompts" in out["empty"]["message"]
    assert out["missing"] == {"api": True, "status": 404, "detail": "Path /fal-ai/nothing not found"}


def test_stream(out: Any) -> None:
    assert out["stream"] == {"logs": out["stream"]["logs"], "done": "video/mp4"}
    assert out["stream"]["logs"] > 0


def test_multipart_upload(out: Any) -> None:
    size = 91 << 20
    assert out["multipart"] == {"status": 206, "range": f"bytes {size - 1}-{size - 1}/{size}", "byte": 7}


def test_time_outs_and_cancelled_requests(server: Server) -> None:
    with Busy(server):
        out = node("timeout.mjs", server, CLIP="https://example.org/never.mp4")
    assert out["late"] == {"api": True, "status": 504, "user": True, "type": "user"}
    assert out["gone"] == {"api": True, "status": 499, "user": False, "type": None}
    assert out["results"] == 1, "it was tried again"


def test_proxy_url(out: Any) -> None:
    assert out["proxy"] == "video/mp4"


def test_realtime(server: Server, picture: Path) -> None:
    out = node("realtime.mjs", server, JPEG=str(picture))
    assert out["answer"] == {"request_id": "a", "bytes": True, "png": list(b"PNG")}
    assert out["tokens"] == 1
    assert out["error"]["status"] == 400
    assert (out["error"]["code"], out["error"]["request_id"]) == ("BAD_IMAGE", "b")
    assert out["again"] == 1
    assert out["closed"] == 0, "its own close is no error"
    assert (out["reused"], out["sockets"]) == (0, 2)
    assert out["provider"] == "fal-ai/sam-3/video-rle/realtime"
    assert out["json"] == SIZE[0]
    assert out["suffixed"] == 0


def test_a_refused_token_is_fetched_again(locked: Server, picture: Path) -> None:
    key = locked.service.keys.create("x", ["run"])
    assert node("unauthorized.mjs", locked, JPEG=str(picture), KEY=key) == {"frame": 0, "refetched": True}


def test_browsers_of_allowed_pages_may_call(tiny_checkpoint: Any, tmp_path: Path) -> None:
    page = "https://studio.example"
    server = Server(tmp_path / "data", tiny_checkpoint, {"allowed_origins": (page,)}).start()
    try:
        for path, method in (
            ("/run/fal-ai/sam2/video", "POST"),
            ("/queue/fal-ai/sam2/requests/x/cancel", "PUT"),
            ("/rest/storage/upload/initiate", "POST"),
            ("/files/upload/x/y", "PUT"),
            ("/api/fal/proxy", "POST"),
        ):
            headers = {
                "origin": page,
                "access-control-request-method": method,
                "access-control-request-headers": "authorization,content-type,x-fal-target-url",
            }
            answer = httpx.options(server.url + path, headers=headers)
            assert answer.status_code == 200, path
            assert answer.headers["access-control-allow-origin"] == page
            assert "x-fal-target-url" in answer.headers["access-control-allow-headers"]
        answer = httpx.post(f"{server.url}/run/fal-ai/sam2/video", json={}, headers={"origin": page})
        assert "x-fal-request-id" in answer.headers["access-control-expose-headers"]
        assert answer.status_code == 422
        other = httpx.post(
            f"{server.url}/run/fal-ai/sam2/video", json={}, headers={"origin": "https://evil.example"}
        )
        assert other.status_code == 403
    finally:
        server.stop()
