"""Sending the masked video on, to media servers of other people's making."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from players import sample
from rtsp import PYTHON, free_port, need_gstreamer
from signaling_service import serving

from engine.models import Model
from engine.worker import Worker
from signaling.settings import Settings
from stream.wire import Message

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
PASSPHRASE = "a-secret-of-both"
SERVERS = {
    "rtmp": (sys.executable, "-c", LISTEN),
    "rtsp": (PYTHON, str(RECEIVER)),
    "srt": (PYTHON, str(RECEIVER.with_name("srt_receiver.py"))),
}
ENDS = {
    "rtmp": "/live/secret",
    "rtsp": "/live/secret",
    "srt": f"?streamid=secret&passphrase={PASSPHRASE}&latency=200000",
}


@asynccontextmanager
async def receiving(scheme: str, port: int, pictures: int = 3) -> AsyncIterator[asyncio.subprocess.Process]:
    """A media server that ends when so many pictures have come."""
    if scheme == "rtsp":
        need_gstreamer()
    if scheme == "srt":
        need_gstreamer("Gst", ("srtsrc", "tsdemux", "h264parse"))
    words = (*SERVERS[scheme], str(port), str(pictures), PASSPHRASE)
    server = await asyncio.create_subprocess_exec(*words, stdout=asyncio.subprocess.PIPE)
    try:
        yield server
    finally:
        if server.returncode is None:
            server.kill()
            await server.wait()


@pytest.mark.parametrize("scheme", SERVERS)
async def test_pushing_sends_the_masked_video_to_an_allowed_url_only(tiny_model: Model, scheme: str) -> None:
    port = free_port()
    base = f"{scheme}://127.0.0.1:{port}"
    allowed = base if scheme == "srt" else f"{base}/live"
    settings = Settings(port=0, push_urls=(allowed,), offers_per_second=100)
    async with receiving(scheme, port) as server:
        async with serving(settings, Worker(lambda: tiny_model)) as service:
            session = await sample(service)
            path = f"/sessions/{session}/pushes"
            for url in (f"{allowed}1/x", "file:///tmp/x", f"{allowed}.evil/x", f"{allowed}/../x"):
                assert (await service.http.post(path, json={"url": url})).status_code == 403
            answer = await service.http.post(path, json={"url": base + ENDS[scheme]})
            assert answer.status_code == 201
            assert "secret" not in answer.text
            out, _ = await asyncio.wait_for(server.communicate(), 120)
            assert out.endswith(b"3\n")
            (push,) = (await service.http.get(path)).json()["pushes"]
            assert push["frames"] >= 3
            assert (await service.http.delete(answer.headers["location"])).status_code == 204
            await service.http.delete(f"/sessions/{session}")


async def test_a_push_that_fails_says_why_and_tells_no_secret(
    tiny_model: Model, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    port = free_port()
    login = f"me:{PASSPHRASE}@127.0.0.1:{port}"
    urls = [
        f"rtsp://{login}/live/{PASSPHRASE}",
        f"rtmp://{login}/live/{PASSPHRASE}?key={PASSPHRASE}",
        f"srt://127.0.0.1:{port}?passphrase={PASSPHRASE}&streamid={PASSPHRASE}",
        f"srt://127.0.0.1:{port}?passphrase={PASSPHRASE}&mode=listener",
    ]
    allowed = tuple(url.partition("?")[0] for url in urls)
    settings = Settings(port=0, push_urls=allowed, offers_per_second=100)
    async with serving(settings, Worker(lambda: tiny_model)) as service:
        session = await sample(service)
        path = f"/sessions/{session}/pushes"
        told = [await service.http.post(path, json={"url": url}) for url in urls]
        assert [answer.status_code for answer in told] == [201] * 4
        errors: dict[str, str] = {}
        async with asyncio.timeout(90):
            while len(errors) < len(urls):
                await asyncio.sleep(0.05)
                told.append(await service.http.get(path))
                pushes = {push["id"]: push for push in told[-1].json()["pushes"]}
                for push_id, error in errors.items():
                    assert pushes[push_id]["error"] == error, "it stays while the next attempt is made"
                errors |= {push_id: push["error"] for push_id, push in pushes.items() if push["error"]}
        told += [await service.http.get(each) for each in (path, "/metrics", f"/sessions/{session}")]
        assert (await service.http.delete(f"/sessions/{session}")).status_code == 204
    printed = capfd.readouterr()
    rtsp, rtmp, srt, listener = (errors[answer.json()["id"]] for answer in told[:4])
    assert (rtsp, rtmp) == ("Connection refused", "Connection refused")
    assert srt.startswith("srt: Connection setup failure")
    assert listener == "srt: expected a host, a port and no mode but caller"
    everything = "".join(answer.text for answer in told) + caplog.text + printed.out + printed.err
    assert "push to srt://127.0.0.1" in caplog.text
    assert PASSPHRASE not in everything


async def test_a_push_says_what_is_wrong_until_the_server_takes_pictures(tiny_model: Model) -> None:
    need_gstreamer()
    port = free_port()
    url = f"rtsp://127.0.0.1:{port}{ENDS['rtsp']}"
    async with serving(Settings(port=0, push_urls=(url,)), Worker(lambda: tiny_model)) as service:
        session = await sample(service)
        path = f"/sessions/{session}/pushes"
        await service.http.post(path, json={"url": url})

        async def comes(wanted: Callable[[Message], bool]) -> Message:
            while True:
                (push,) = (await service.http.get(path)).json()["pushes"]
                if wanted(push):
                    return dict(push)
                await asyncio.sleep(0.05)

        async with asyncio.timeout(60):
            refused = await comes(lambda push: push["connections"] >= 2)
            assert refused["error"] == "Connection refused"
            async with receiving("rtsp", port, pictures=1000):
                taken = await comes(lambda push: push["error"] is None)
                later = await comes(lambda push: push["frames"] >= taken["frames"] + 5)
                assert (later["error"], later["connections"]) == (None, taken["connections"])
        await service.http.delete(f"/sessions/{session}")
