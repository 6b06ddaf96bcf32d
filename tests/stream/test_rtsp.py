"""Network cameras: a real RTSP server, and servers that misbehave."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import logging
import threading
import time
from dataclasses import replace

import pytest
from rtsp import answering, free_port, rtsp_camera
from scene import ColourEngine, Kept
from watching import QUICK, watching

from stream.outage import Outage
from stream.prompt_message import read_prompt_message
from stream.session import Session
from stream.sources import rtsp as rtsp_module
from stream.sources.address import Credentials, SourceError, read_address
from stream.sources.describe import authorize, describe
from stream.sources.reader import Limits
from stream.sources.rtsp import RtspCamera, RtspSource


@pytest.mark.parametrize(
    ("codec", "transport", "known"),
    [("h264", "tcp", "h264"), ("h265", "udp", "hevc"), ("mjpeg", "tcp", "mjpeg")],
)
async def test_pictures_come_over_tcp_and_udp_in_every_codec(codec: str, transport: str, known: str) -> None:
    async with (
        rtsp_camera("--codec", codec, "--user", "viewer", "--password", "p@ss:w/d") as camera,
        watching(camera.url.replace("://", "://viewer:p%40ss%3Aw%2Fd@"), transport=transport) as watch,
    ):
        await watch.until(lambda: len(watch.pictures) >= 5)
        status = watch.source.status()
    assert (status["state"], status["codec"], status["transport"]) == ("live", known, transport)
    assert status["decoder"] in ("software", "cuda")
    assert (status["width"], status["height"]) == (320, 240)
    times = [picture.pts for picture in watch.pictures]
    assert times == sorted(times)
    assert watch.pictures[-1].i420().shape == (360, 320)


async def test_a_wrong_or_missing_password_is_told_and_never_shown(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with rtsp_camera("--user", "viewer", "--password", "right-one") as camera:
        async with watching(camera.url.replace("://", "://viewer:wrong-one@")) as watch:
            assert await watch.error() == "UNAUTHORIZED"
            assert "wrong user name or password" in watch.source.status()["error"]
            told = str(watch.source.status()) + repr(watch.source._camera)
        async with watching(camera.url) as watch:
            assert await watch.error() == "UNAUTHORIZED"
            assert "are needed" in watch.source.status()["error"]
    assert "wrong-one" not in caplog.text + told


async def test_a_missing_path_and_a_closed_port_are_told() -> None:
    async with rtsp_camera() as camera, watching(camera.url + "x") as watch:
        assert await watch.error() == "NOT_FOUND"
    async with watching(f"rtsp://127.0.0.1:{free_port()}/cam") as watch:
        assert await watch.error() == "UNREACHABLE"
        assert all(isinstance(item, Outage) for item in watch.items)


async def test_a_server_that_accepts_and_says_nothing_is_given_up_in_time() -> None:
    async with answering(lambda request: None) as (port, _):
        started = time.monotonic()
        async with watching(f"rtsp://127.0.0.1:{port}/cam", Limits(open_seconds=0.5)) as watch:
            assert await watch.error() == "SILENT"
        assert time.monotonic() - started < 5


@pytest.mark.parametrize("target", ["rtsp://localhost:1/x", "rtsp://127.0.0.1:1/x", "http://127.0.0.1/x", ""])
async def test_a_redirect_to_another_host_port_or_protocol_is_refused(target: str) -> None:
    reply = f"RTSP/1.0 302 Moved\r\nCSeq: 1\r\nLocation: {target}\r\n\r\n".encode()
    async with answering(lambda request: reply) as (port, requests):
        async with watching(f"rtsp://127.0.0.1:{port}/cam") as watch:
            assert await watch.error() == "REDIRECTED"
        assert all(request.startswith(b"DESCRIBE ") for request in requests)  # FFmpeg was not let near it


async def test_a_redirect_on_the_same_host_is_followed() -> None:
    def reply(request: bytes) -> bytes:
        if b"/other" in request:
            return b"RTSP/1.0 200 OK\r\nCSeq: 1\r\nContent-Length: 3\r\n\r\nv=0"
        moved = request.split()[1].replace(b"/cam", b"/other")
        return b"RTSP/1.0 302 Moved\r\nCSeq: 1\r\nLocation: " + moved + b"\r\n\r\n"

    async with answering(reply) as (port, _):
        address = read_address(f"rtsp://127.0.0.1:{port}/cam", ("rtsp",))
        described = await describe(address, "127.0.0.1", 5, None)
        described.close()
    assert described.address == replace(address, path="/other")


async def test_garbage_is_no_answer() -> None:
    async with answering(lambda request: b"HTTP/1.1 200 OK\r\n\r\n") as (port, _):
        with pytest.raises(SourceError, match="not an RTSP answer"):
            await describe(read_address(f"rtsp://127.0.0.1:{port}/", ("rtsp",)), "127.0.0.1", 5, None)


async def test_a_camera_that_stalls_is_noticed_and_comes_back() -> None:
    async with rtsp_camera() as camera, watching(camera.url) as watch:
        await watch.until(lambda: len(watch.pictures) >= 3)
        camera.stall()
        stalled_at = time.time()
        await watch.until(lambda: isinstance(watch.items[-1], Outage))
        outage = watch.items[-1]
        assert isinstance(outage, Outage)
        assert "no signal since" in outage.text
        assert outage.since - stalled_at < 10
        seen = len(watch.pictures)
        camera.resume()
        await watch.until(lambda: len(watch.pictures) > seen + 2)
        assert watch.source.status()["connections"] >= 2


async def test_objects_are_followed_on_after_a_camera_was_killed_and_started_again() -> None:
    engine, kept = ColourEngine(), Kept()
    async with rtsp_camera() as camera:
        source = RtspSource("gate", RtspCamera(read_address(camera.url, ("rtsp",)), limits=QUICK), (0.2,))
        session = Session(source, engine.step, [kept])
        task = asyncio.create_task(session.run())
        bar = {"x": 20, "y": 60, "object_id": 4}
        await asyncio.wait_for(
            session.submit(read_prompt_message({"prompts": [bar], "width": 320, "height": 240})), 30
        )
        await camera.kill()
        while kept.shown[-1].result is not None:
            await kept.until(len(kept.shown) + 1)
        slate = kept.shown[-1]
        lost = session.state()
        steps = len(engine.frames)
        await kept.until(len(kept.shown) + 1)
        assert len(engine.frames) == steps  # no step on a slate
        await camera.start()
        while kept.shown[-1].result is None:
            await kept.until(len(kept.shown) + 1)
        back = kept.shown[-1]
        session.close("test over")
        await task
    assert lost["no_signal_since"] is not None
    assert session.state()["no_signal_since"] is None
    assert slate.image.shape == slate.frame.image.shape == (360, 320)
    assert (slate.image[112:128] == 235).any()  # letters across the middle
    assert engine.frames == list(range(len(engine.frames)))  # numbers without a gap
    assert [found.object_id for found in back.masks.objects] == [4]
    assert back.masks.objects[0].mask.any()
    stamps = [shown.frame.pts for shown in kept.shown]
    assert all(later > earlier for earlier, later in itertools.pairwise(stamps))


async def test_a_new_size_midstream_is_taken_and_one_too_large_is_not() -> None:
    async with rtsp_camera() as camera, watching(camera.url, replace(QUICK, max_width=640)) as watch:
        await watch.until(lambda: len(watch.pictures) >= 3)
        camera.resize("480x360")
        await watch.until(lambda: watch.pictures[-1].video.width == 480)
        camera.resize("800x600")
        assert await watch.error() == "TOO_LARGE"


async def test_the_frame_rate_is_capped() -> None:
    async with rtsp_camera() as camera, watching(camera.url, replace(QUICK, max_fps=5)) as watch:
        await watch.until(lambda: len(watch.pictures) >= 6)
    first, last = watch.pictures[0], watch.pictures[5]
    assert last.captured_at - first.captured_at > 0.8  # at 15 frames a second it would be 0.33


async def test_a_camera_that_repeats_one_picture_is_noticed_where_that_is_asked_for() -> None:
    async with (
        rtsp_camera("--codec", "mjpeg", "--pattern", "black") as camera,
        watching(camera.url, replace(QUICK, frozen_seconds=1)) as watch,
    ):
        assert await watch.error() == "SILENT"
        assert "the same picture" in watch.source.status()["error"]


async def test_back_off_doubles_to_thirty_seconds() -> None:
    source = RtspSource("gate", RtspCamera(read_address("rtsp://127.0.0.1/", ("rtsp",))))
    pauses = source._backoff()
    assert [next(pauses) for _ in range(7)] == [1, 2, 4, 8, 16, 30, 30]
    assert rtsp_module.LONGEST_PAUSE == 30


async def test_nothing_is_left_of_a_closed_source() -> None:
    async with rtsp_camera() as camera:
        async with watching(camera.url) as watch:
            await watch.until(lambda: len(watch.pictures) >= 2)
        deadline = time.monotonic() + 10
        while any(thread.name == "rtsp-source" for thread in threading.enumerate()):
            assert time.monotonic() < deadline
            await asyncio.sleep(0.05)


def test_credentials_are_proved_as_the_server_asks() -> None:
    """The response is RFC 2617 section 3.2.2.1: MD5(MD5(user:realm:password):nonce:MD5(method:uri))."""
    user = Credentials("Mufasa", "Circle Of Life")
    digest = 'Digest realm="testrealm@host.com", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093"'
    header = authorize("rtsp://cam/1", user, ['Basic realm="x"', digest])
    one = hashlib.md5(b"Mufasa:testrealm@host.com:Circle Of Life").hexdigest()
    two = hashlib.md5(b"DESCRIBE:rtsp://cam/1").hexdigest()
    expected = hashlib.md5(f"{one}:dcd98b7102dd2f0e8b11d0f600bfb0c093:{two}".encode()).hexdigest()
    assert header is not None
    assert header.startswith("Digest ")
    assert f'response="{expected}"' in header
    assert authorize("rtsp://cam/1", Credentials("u", "p"), ['Basic realm="x"']) == "Basic dTpw"
    assert authorize("rtsp://cam/1", user, ["Bearer"]) is None
