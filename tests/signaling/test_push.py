"""Sending the masked video on, to media servers of other people's making."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest
from players import sample
from rtsp import PYTHON, free_port, need_gstreamer
from signaling_service import serving

from engine.models import Model
from engine.worker import Worker
from signaling.settings import Settings

RECEIVER = Path(__file__).parent.parent / "rtsp_receiver.py"
# An RTMP server for one publisher: FFmpeg's own, in a process that can be ended.
LISTEN = """
import sys, av
count = 0
url = f"rtmp://127.0.0.1:{sys.argv[1]}/live/secret"
with av.open(url, format="flv", timeout=50, options={"listen": "1"}) as film:
    for _ in film.decode(video=0):
        count += 1
        if count >= int(sys.argv[2]):
            break
print(count)
"""
SERVERS = {"rtmp": (sys.executable, "-c", LISTEN), "rtsp": (PYTHON, str(RECEIVER))}


@pytest.mark.parametrize("scheme", SERVERS)
async def test_pushing_sends_the_masked_video_to_an_allowed_url_only(tiny_model: Model, scheme: str) -> None:
    if scheme == "rtsp":
        need_gstreamer()
    port = free_port()
    allowed = f"{scheme}://127.0.0.1:{port}/live"
    settings = Settings(port=0, push_urls=(allowed,), offers_per_second=100)
    server = await asyncio.create_subprocess_exec(
        *SERVERS[scheme], str(port), "3", stdout=asyncio.subprocess.PIPE
    )
    try:
        async with serving(settings, Worker(lambda: tiny_model)) as service:
            session = await sample(service)
            path = f"/sessions/{session}/pushes"
            for url in (f"{allowed}1/x", "file:///tmp/x", f"{allowed}.evil/x", f"{allowed}/../x"):
                assert (await service.http.post(path, json={"url": url})).status_code == 403
            answer = await service.http.post(path, json={"url": f"{allowed}/secret"})
            assert answer.status_code == 201
            assert "secret" not in answer.text
            out, _ = await asyncio.wait_for(server.communicate(), 120)
            assert out.endswith(b"3\n")
            (push,) = (await service.http.get(path)).json()["pushes"]
            assert push["frames"] >= 3
            assert (await service.http.delete(answer.headers["location"])).status_code == 204
            await service.http.delete(f"/sessions/{session}")
    finally:
        if server.returncode is None:
            server.kill()
            await server.wait()
