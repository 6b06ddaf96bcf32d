"""fal's hosts on one server: by Host over TLS through a proxy, by prefix, by the proxy's header."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from harness import SIZE, Secure, Server, write_clip

from signaling.fal.surfaces import fal_surface, normal_app, owner_and_alias, target


@pytest.mark.parametrize(
    ("host", "surface"),
    [("fal.run", "run"), ("queue.fal.run:443", "queue"), ("rest.fal.ai", "rest"), ("v3.fal.media", "cdn"),
     ("QUEUE.fal.run", "queue"), ("queue.falrun.com", "queue"), ("evil-fal.run", None),
     ("fal.run.evil.com", None)],
)  # fmt: skip
def test_hosts(host: str, surface: str | None) -> None:
    assert fal_surface(host) == surface


def test_app_ids() -> None:
    assert owner_and_alias("fal-ai/sam2/video") == "fal-ai/sam2"
    assert owner_and_alias("workflows/me/flow/x") == "workflows/me/flow"
    assert normal_app("110602490-sam2/video") == "110602490/sam2/video"
    assert target("https://queue.fal.run/a/b?c=d") == ("queue", "/a/b", "c=d")
    assert target("http://fal.run/a/b") is None
    assert target("https://example.org/a") is None


class Tunnel:
    """A CONNECT proxy that takes every host to one port, as a user's own would."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.hosts: set[str] = set()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            head += client.recv(4096)
        self.hosts.add(head.split()[1].decode().partition(":")[0])
        server = socket.create_connection(("127.0.0.1", self._port))
        client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        threading.Thread(target=_pump, args=(client, server), daemon=True).start()
        _pump(server, client)

    def close(self) -> None:
        self._listener.close()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        pass


SCRIPT = """
import fal_client, json, sys
url = fal_client.upload_file(sys.argv[1])
old = fal_client.upload(b"x", "text/plain", "x.txt", repository="fal")
asked = {"video_url": url, "prompts": [{"x": 40, "y": 50}]}
video = fal_client.subscribe("fal-ai/sam2/video", asked, with_logs=True)["video"]["url"]
frames = len(fal_client.run("fal-ai/sam-3/video-rle", asked)["rle"])
with fal_client.realtime("fal-ai/sam-3/video-rle") as live:
    live.send({"image_bytes": open(sys.argv[2], "rb").read(), "prompts": [{"x": 40, "y": 50}]})
    frame = live.recv()["frame_index"]
print(json.dumps({"url": url, "old": old, "video": video, "frames": frames, "frame": frame}))
"""


def script(text: str, *arguments: Path | str, **environ: str) -> Any:
    """The JSON that a program of a user's own prints, in a fresh process: the client reads its hosts once."""
    ended = subprocess.run(
        [sys.executable, "-c", text, *map(str, arguments)],
        env={**os.environ, "FAL_KEY": "id:secret", **environ},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout.splitlines()[-1])


def test_nothing_changed_but_the_proxy(secure: Secure, picture: Path, tmp_path: Path) -> None:
    """HTTPS_PROXY and a certificate authority: everything under fal's own names."""
    tunnel = Tunnel(secure.server.port)
    clip = write_clip(tmp_path / "clip.mp4", frames=4)
    try:
        out = script(SCRIPT, clip, picture, HTTPS_PROXY=tunnel.url, SSL_CERT_FILE=str(secure.authority))
        assert (out["frames"], out["frame"]) == (4, 0)
        assert all(out[name].startswith("https://v3.fal.media/files/") for name in ("url", "old", "video"))
        assert tunnel.hosts == set(secure.hosts)
    finally:
        tunnel.close()


BY_ENVIRONMENT = """
import asyncio, fal_client, json, sys
data = open(sys.argv[1], "rb").read()
asked = {"image_url": fal_client.encode(data, "image/jpeg"), "prompts": [{"x": 40, "y": 50}]}
app, live_app = "fal-ai/sam2/image", "fal-ai/sam-3/video-rle"
handle = fal_client.submit(app, asked)
out = {"submit": handle.get()["image"]["width"], "url": handle.response_url}
out["run"] = fal_client.run(app, asked)["image"]["width"]
out["status"] = type(fal_client.status(app, handle.request_id)).__name__
out["stream"] = list(fal_client.stream(app, asked))[-1]["image"]["width"]
try:
    fal_client.cancel(app, handle.request_id)
except fal_client.FalClientHTTPError as error:
    out["cancel"] = error.status_code
with fal_client.realtime(live_app, use_jwt=False) as live:
    live.send({"image_bytes": data, "prompts": [{"x": 40, "y": 50}]})
    out["live"] = live.recv()["frame_index"]

async def both():
    client = fal_client.AsyncClient()
    out["async"] = (await client.subscribe(app, asked))["image"]["width"]
    async with client.realtime(live_app, use_jwt=False) as live:
        await live.send({"image_bytes": data, "prompts": [{"x": 40, "y": 50}]})
        out["async live"] = (await live.recv())["frame_index"]

asyncio.run(both())
print(json.dumps(out))
"""


def test_hosts_by_environment_with_path_prefixes(secure: Secure, picture: Path) -> None:
    """FAL_RUN_HOST and FAL_QUEUE_RUN_HOST, TLS with a certificate authority of our own, no proxy."""
    host = f"localhost:{secure.server.port}"
    out = script(
        BY_ENVIRONMENT,
        picture,
        FAL_RUN_HOST=f"{host}/run",
        FAL_QUEUE_RUN_HOST=f"{host}/queue",
        SSL_CERT_FILE=str(secure.authority),
    )
    assert out.pop("url").startswith(f"https://{host}/queue/fal-ai/sam2/requests/")
    widths = dict.fromkeys(("run", "submit", "stream", "async"), SIZE[0])
    assert out == {**widths, "status": "Completed", "cancel": 400, "live": 0, "async live": 0}


def test_other_hosts_are_not_served(server: Server) -> None:
    answer = httpx.post(f"{server.url}/run/fal-ai/sam2/video", json={}, headers={"host": "evil.example"})
    assert answer.status_code == 421


def test_the_proxy_serves_fals_addresses_alone(server: Server) -> None:
    for url in ("", "https://example.org/", "http://169.254.169.254/", "file:///etc/passwd"):
        answer = httpx.post(f"{server.url}/api/fal/proxy", headers={"x-fal-target-url": url})
        assert answer.status_code == 400


def test_plain_paths(server: Server) -> None:
    assert httpx.post(f"{server.url}/fal-ai/sam2/video", json={}).status_code == 422
    assert httpx.get(f"{server.url}/fal-ai/sam2/requests/x/status").status_code == 404
    assert isinstance(httpx.post(f"{server.url}/tokens/", json={}).json(), str)


POINT = {"x": 305, "y": 350, "label": 1, "object_id": None, "frame_index": None}
VIDEO: dict[str, Any] = {
    "mask_url": None,
    "prompts": [],
    "box_prompts": [],
    "apply_mask": False,
    "boundingbox_zip": False,
    "sync_mode": False,
    "frame_index": 0,
}
WORDS = {"point_prompts": [], "prompt": "", "text_prompt": "", "detection_threshold": 0.5}
SAM3: dict[str, Any] = {**VIDEO, **WORDS, "video_output_type": "X264 (.mp4)"}
DEFAULTS: dict[str, dict[str, Any]] = {
    "PointPrompt": POINT,
    "Sam2VideoInput": VIDEO,
    "Sam3VideoRleInput": SAM3,
    "Sam3VideoInput": {**SAM3, "apply_mask": True},
    "Sam2ImageInput": {
        "prompts": [],
        "box_prompts": [],
        "apply_mask": False,
        "output_format": "png",
        "sync_mode": False,
    },
    "AutoSegmentInput": {
        "points_per_side": 32,
        "pred_iou_thresh": 0.88,
        "stability_score_thresh": 0.95,
        "min_mask_region_area": 100,
        "output_format": "png",
        "sync_mode": False,
    },
}


@pytest.mark.parametrize("model", DEFAULTS)
def test_defaults_are_the_documented_ones(server: Server, model: str) -> None:
    """All but the words: docs/fal.md says why no text is the default."""
    schema = httpx.get(f"{server.url}/openapi.json").json()["components"]["schemas"][model]
    needed = set(schema.get("required", []))
    given = {name: field["default"] for name, field in schema["properties"].items() if name not in needed}
    assert given == DEFAULTS[model]
    assert needed <= {"video_url", "image_url"}


def test_openapi_is_whole(server: Server) -> None:
    document = httpx.get(f"{server.url}/openapi.json").json()
    assert document["openapi"].startswith("3.1")

    def references(value: Any) -> Iterator[str]:
        if isinstance(value, dict):
            yield from ([value["$ref"]] if "$ref" in value else [])
            for item in value.values():
                yield from references(item)
        elif isinstance(value, list):
            for item in value:
                yield from references(item)

    for reference in references(document):
        node = document
        for step in reference.removeprefix("#/").split("/"):
            node = node[step]
    video = document["components"]["schemas"]["Sam3VideoRleInput"]["properties"]
    assert video["detection_threshold"]["default"] == 0.5
    assert set(video) >= {
        "video_url",
        "mask_url",
        "prompts",
        "point_prompts",
        "prompt",
        "text_prompt",
        "box_prompts",
    }
