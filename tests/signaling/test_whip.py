"""Publishing by WHIP, with FFmpeg 8, with GStreamer and by hand."""

from __future__ import annotations

import asyncio
import datetime
import io
import itertools
import sys
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import numpy as np
import pytest
from aiortc import RTCConfiguration, RTCPeerConnection
from certificates import certificate
from cryptography.hazmat.primitives.asymmetric import ec
from PIL import Image
from players import CLICK, player
from rtsp import PYTHON, need_gstreamer
from signaling_service import Service, serving, until
from test_turn import SECRET, coturn

from engine.models import Model
from engine.worker import Worker
from signaling.settings import Settings

KEY = "publish-key-0123456789"
SDP = {"content-type": "application/sdp"}
SCRIPTS = Path(__file__).parents[1]


@asynccontextmanager
async def process(*command: str) -> AsyncIterator[asyncio.subprocess.Process]:
    pipe = asyncio.subprocess.PIPE
    running = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, stderr=pipe)
    try:
        yield running
    finally:
        if running.returncode is None:
            running.kill()
        await running.wait()
        running._transport.close()  # type: ignore[attr-defined]


def ffmpeg(service: Service, *rest: str) -> AbstractAsyncContextManager[asyncio.subprocess.Process]:
    """FFmpeg's publisher of "desk"; pictures, and the files of a certificate and its key."""
    return process(sys.executable, str(SCRIPTS / "whip_publisher.py"), f"{service.url}/whip/desk", KEY, *rest)


async def test_ffmpeg_publishes_and_a_player_watches(tiny_model: Model, tmp_path: Path) -> None:
    settings = Settings(port=0, api_keys=(KEY,), offers_per_second=100)
    headers = {"authorization": f"Bearer {KEY}"}
    cert, key = certificate(tmp_path)
    async with serving(settings, Worker(lambda: tiny_model)) as service:
        async with ffmpeg(service, "90", str(cert), str(key)) as publisher:
            await until(lambda: service.registry.live("desk") is not None, 60)
            live = service.registry.live("desk")
            assert live is not None
            await until(lambda: live.stats.frames_model.count > 2, 60)
            ack = (await service.http.post("/sessions/desk/prompts", json=CLICK, headers=headers)).json()
            assert ack["object_ids"] == [5]
            async with player(service, "desk", **headers) as watching:
                await until(lambda: len(watching.frames) >= 3)
                assert watching.frames[-1].shape == (240, 320, 3)
            snapshot = (await service.http.get("/sessions/desk", headers=headers)).json()
            assert (snapshot["name"], snapshot["source"], snapshot["width"]) == ("desk", "whip:desk", 320)
            assert publisher.stdout is not None
            line = await asyncio.wait_for(publisher.stdout.readline(), 60)
            assert line == b"sent 90\n"
            await until(lambda: not len(service.registry), 30)  # FFmpeg takes its leave by DELETE
    assert service.registry.ended["deleted"] == 1


CURVES = {"P-384": ec.SECP384R1(), "P-224": ec.SECP224R1(), "FFmpeg's own": None}


@pytest.mark.parametrize("curve", CURVES)
async def test_a_certificate_on_a_curve_that_tls_does_not_take_is_named(
    tiny_model: Model, tmp_path: Path, curve: str, caplog: pytest.LogCaptureFixture
) -> None:
    settings = Settings(port=0, api_keys=(KEY,), offers_per_second=100)
    caplog.set_level("INFO", "stream")
    kind = CURVES[curve]
    files = map(str, certificate(tmp_path, curve=kind)) if kind else ()
    async with serving(settings, Worker(lambda: tiny_model)) as service:
        async with ffmpeg(service, "15", *files) as publisher:
            await until(lambda: service.registry.live("desk") is not None, 60)
            live = service.registry.live("desk")
            assert live is not None
            out, errors = await asyncio.wait_for(publisher.communicate(), 60)
        await until(lambda: not len(service.registry), 30)
        headers = {"authorization": f"Bearer {KEY}"}
        gone = await service.http.get(f"/sessions/{live.session_id}", headers=headers)
    assert gone.status_code == 404
    if curve == "P-384":
        assert out == b"sent 15\n"
        return
    assert publisher.returncode == 1
    assert b"Input/output error" in errors, errors
    why = "expected a certificate with a key on P-256, P-384, P-521 or RSA, got one on secp224r1"
    assert why in gone.json()["detail"]
    assert why in caplog.text
    assert service.registry.ended == {"connection failed": 1}


WEBRTC_ELEMENTS = ("webrtcbin", "nicesrc", "dtlsenc", "vp8enc", "rtpvp8pay", "x264enc", "rtph264pay")


@pytest.mark.parametrize("codec", ["vp8", "h264"])
async def test_gstreamer_publishes_until_it_takes_its_leave(tiny_model: Model, codec: str) -> None:
    """Its certificate is an RSA one, as many encoders' are."""
    need_gstreamer("GstWebRTC", WEBRTC_ELEMENTS)
    settings = Settings(port=0, api_keys=(KEY,), offers_per_second=100)
    headers = {"authorization": f"Bearer {KEY}"}
    async with serving(settings, Worker(lambda: tiny_model)) as service:
        command = (PYTHON, str(SCRIPTS / "gst_publisher.py"), f"{service.url}/whip/desk", KEY, codec)
        async with process(*command) as publisher:
            assert publisher.stdout is not None
            assert publisher.stdin is not None
            assert await asyncio.wait_for(publisher.stdout.readline(), 60) == b"up\n"
            live = service.registry.live("desk")
            assert live is not None
            click = {**CLICK, "apply_mask": False}  # so that the picture shows what was sent
            ack = (await service.http.post("/sessions/desk/prompts", json=click, headers=headers)).json()
            assert ack["object_ids"] == [5]
            seen = live.stats.frames_model.count
            await until(lambda: live.stats.frames_model.count >= seen + 3, 60)
            picture = (await service.http.get("/sessions/desk/snapshot.png", headers=headers)).content
            snapshot = (await service.http.get("/sessions/desk", headers=headers)).json()
            publisher.stdin.close()
            assert await asyncio.wait_for(publisher.wait(), 60) == 0
        await until(lambda: not len(service.registry), 30)
    assert (snapshot["width"], snapshot["height"]) == (320, 240)
    assert [found["object_id"] for found in snapshot["objects"]] == [5]
    red, green, blue = np.asarray(Image.open(io.BytesIO(picture)))[60, 160]  # the fourth of seven bars
    assert green > 150
    assert max(red, blue) < 60
    assert service.registry.ended == {"deleted": 1}


async def test_a_name_is_published_once_and_the_place_can_be_left(service: Service) -> None:
    connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    sdp = await offered(connection)
    first = await service.http.post("/whip/desk", content=sdp, headers=SDP)
    again = await service.http.post("/whip/desk", content=sdp, headers=SDP)
    assert (first.status_code, first.headers["content-type"]) == (201, "application/sdp")
    assert first.headers["etag"] == f'"{first.headers["location"].rpartition("/")[2]}"'
    assert "a=recvonly" in first.text
    assert (again.status_code, again.json()["error_type"]) == (409, "NAME_TAKEN")
    assert (await service.http.patch(first.headers["location"], content="x")).status_code == 405
    assert (await service.http.delete("/whip/other/" + first.headers["etag"][1:-1])).status_code == 404
    assert (await service.http.delete(first.headers["location"])).status_code == 200
    assert not len(service.registry)
    assert (await service.http.post("/whip/b%20d", content=sdp, headers=SDP)).status_code == 404
    watcher = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    watcher.addTransceiver("video", "recvonly")
    await watcher.setLocalDescription(await watcher.createOffer())
    refused = await service.http.post("/whip/desk", content=watcher.localDescription.sdp, headers=SDP)
    assert refused.status_code == 400
    await connection.close()
    await watcher.close()


async def offered(connection: RTCPeerConnection) -> str:
    """The offer of somebody who sends a video."""
    connection.addTransceiver("video", "sendonly")
    await connection.setLocalDescription(await connection.createOffer())
    return str(connection.localDescription.sdp)


async def test_stun_and_turn_come_in_link_headers(tiny_model: Model, tmp_path: Path) -> None:
    """RFC 9725 section 4.6; the credentials are taken by a TURN server, which the answer makes use of."""
    connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    sdp = await offered(connection)
    async with coturn(tmp_path) as (host, port):
        servers = (f"stun:{host}:{port}", f"turn:{host}:{port}?transport=udp")
        settings = Settings(port=0, ice_servers=servers, turn_secret=SECRET, offers_per_second=100)
        async with serving(settings, Worker(lambda: tiny_model)) as service:
            told = (await service.http.get("/sessions/ice-servers")).json()["ice_servers"]
            made = await service.http.post("/whip/desk", content=sdp, headers=SDP)
            await service.http.delete(made.headers["location"])
    await connection.close()
    assert [server["urls"] for server in told] == list(servers)
    assert "username" not in told[0]
    expires, _, _ = told[1]["username"].partition(":")
    assert int(expires) > datetime.datetime.now().timestamp() + 500
    stun, turn = made.headers.get_list("link")
    assert stun == f'<{servers[0]}>; rel="ice-server"'
    assert turn.startswith(f'<{servers[1]}>; rel="ice-server"; username="')
    assert turn.endswith('; credential-type="password"')
    assert "typ relay" in made.text


async def test_what_is_not_supported_is_refused_and_ends_nothing(tiny_model: Model) -> None:
    """RFC 9725 sections 4.2 (other methods), 4.3 (trickle, restart) and 4.7 (each request has the token)."""
    connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    sdp, key = await offered(connection), {"authorization": f"Bearer {KEY}"}
    fragment = {"content-type": "application/trickle-ice-sdpfrag"}
    settings = Settings(port=0, api_keys=(KEY,), offers_per_second=100)
    async with serving(settings, Worker(lambda: tiny_model)) as service:
        http = service.http
        for wrong in (
            {},
            {"authorization": "Bearer another-key-0123456789"},
            {"authorization": f"Basic {KEY}"},
        ):
            refused = await http.post("/whip/desk", content=sdp, headers={**SDP, **wrong})
            assert refused.status_code == 401
            assert refused.headers["www-authenticate"].startswith("Bearer")
        assert not len(service.registry)
        made = await http.post("/whip/desk", content=sdp, headers={**SDP, **key})
        assert made.status_code == 201
        session, tag = made.headers["location"], made.headers["etag"]
        assert (await http.patch(session, content="a=ice-ufrag:x", headers=fragment)).status_code == 401
        assert (await http.delete(session)).status_code == 401
        for condition in ({"if-match": tag}, {"if-match": "*"}, {}):
            patched = await http.patch(session, content="", headers={**fragment, **key, **condition})
            assert (patched.status_code, patched.headers["allow"]) == (405, "DELETE")
            assert "new offer" in patched.json()["detail"]
        for method, path in itertools.product(("GET", "HEAD", "PUT"), ("/whip/desk", session)):
            assert (await http.request(method, path, headers=key)).status_code == 405
        assert (await http.post(session, content=sdp, headers={**SDP, **key})).status_code == 405
        live = service.registry.live("desk")
        assert live is not None  # through all of it
        assert (await http.delete(session, headers=key)).status_code == 200
        assert (await http.delete(session, headers=key)).status_code == 404
    await connection.close()
