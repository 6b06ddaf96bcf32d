"""Sources that clients ask for: what the operator allows, what is refused, and what nobody may learn."""

from __future__ import annotations

import base64
import ipaddress
import logging
from pathlib import Path

import av
import numpy as np
import pytest
from rtsp import free_port, rtsp_camera
from signaling_service import Service, serving, until

from engine.models import Model
from engine.worker import Worker
from signaling.settings import Settings, SettingsError
from stream.live import Live
from stream.wire import Message

LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"),)
SECRET = "hunter2-hunter2"
BOX = {
    "box_prompts": [{"x_min": 8, "y_min": 8, "x_max": 40, "y_max": 40, "object_id": 3}],
    "width": 64,
    "height": 48,
}


def film(path: Path, frames: int) -> None:
    """That many pictures of 64 x 48 at 10 a second."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(frames):
            picture = np.full((48, 64, 3), 20 + number % 200, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))


async def refusal(service: Service, source: object) -> tuple[int, str]:
    answer = await service.http.post("/sessions", json={"source": source})
    return answer.status_code, answer.json()["error_type"]


async def opened(service: Service, source: Message, **more: object) -> str:
    answer = await service.http.post("/sessions", json={"source": source, **more})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def followed(service: Service) -> list[Live]:
    return [runner.live for runner in service.registry.peers() if runner.live is not None]


async def test_without_the_operators_leave_there_are_no_urls_and_no_files(service: Service) -> None:
    assert await refusal(service, {"url": "rtsp://127.0.0.1:9/x"}) == (403, "NOT_ALLOWED")
    assert await refusal(service, {"file": "x.mp4"}) == (403, "NOT_ALLOWED")
    for source in ({"camera": "a", "url": "b"}, {}, "webrtc", {"url": 5}, {"file": "x", "loop": "yes"}):
        assert await refusal(service, source) == (400, "INVALID_INPUT")
    assert not len(service.registry)


async def test_urls_only_lead_into_the_allowed_networks(tiny_model: Model) -> None:
    settings = Settings(port=0, source_networks=(ipaddress.ip_network("10.0.0.0/8"),), offers_per_second=100)
    async with serving(settings, Worker(lambda: tiny_model)) as service:
        for url in ("rtsp://127.0.0.1/x", "http://localhost/x.mp4", "rtsp://[::ffff:127.0.0.1]/"):
            assert await refusal(service, {"url": url}) == (403, "NOT_ALLOWED")
        assert await refusal(service, {"url": "file:///etc/passwd"}) == (400, "BAD_URL")
    settings = Settings(port=0, source_networks=LOOPBACK, offers_per_second=100)
    async with serving(settings, Worker(lambda: tiny_model)) as service, rtsp_camera() as camera:
        session = await opened(service, {"url": camera.url, "transport": "udp"})
        live = service.registry.live(session)
        assert live is not None
        await until(lambda: live.stats.frames_model.count >= 2, 60)
        snapshot = (await service.http.get(f"/sessions/{session}")).json()
        assert (snapshot["signal"]["transport"], snapshot["width"]) == ("udp", 320)
        assert (await service.http.get("/cameras")).json() == {"cameras": []}


async def test_a_file_of_the_media_folder_plays_and_none_beside_it(tiny_model: Model, tmp_path: Path) -> None:
    folder = tmp_path / "media"
    (folder / "day").mkdir(parents=True)
    film(folder / "day" / "one.mp4", 5)
    film(tmp_path / "secret.mp4", 5)
    (folder / "link.mp4").symlink_to(tmp_path / "secret.mp4")
    settings = Settings(port=0, media_dir=str(folder), offers_per_second=100)
    async with serving(settings, Worker(lambda: tiny_model)) as service:
        outside = (
            "../secret.mp4",
            str(tmp_path / "secret.mp4"),
            "link.mp4",
            "day",
            "gone.mp4",
            "\0",
            "x" * 2000,
        )
        for path in outside:
            assert await refusal(service, {"file": path}) == (404, "NOT_FOUND")
        looping = await opened(service, {"file": "day/one.mp4", "loop": True}, prompts=[BOX])
        live = service.registry.live(looping)
        assert live is not None
        await until(lambda: live.stats.frames_model.count >= 8, 60)  # more than there are in it
        snapshot = (await service.http.get(f"/sessions/{looping}")).json()
        await opened(service, {"file": "day/one.mp4", "realtime": False})
        await until(lambda: service.registry.ended["source ended"] == 1, 60)
    assert snapshot["source"] == "file:day/one.mp4"
    assert [found["object_id"] for found in snapshot["objects"]] == [3]
    counts = service.registry.frame_counts()
    assert counts.received - live.stats.frames_in.count == 5  # as fast as the engine goes, and each of them


def test_a_media_folder_that_is_not_there_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="media_dir: expected a folder that exists"):
        Settings(media_dir=str(tmp_path / "gone"))


async def test_no_credentials_in_answers_metrics_logs_or_what_ffmpeg_prints(
    tiny_model: Model,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("GATE_PASSWORD", SECRET)
    cameras = tmp_path / "cameras.toml"
    settings = Settings(port=0, source_networks=LOOPBACK, cameras=str(cameras), offers_per_second=100)
    login = f"viewer:{SECRET}@127.0.0.1"
    async with rtsp_camera("--user", "viewer", "--password", "another") as camera:
        cameras.write_text(
            f'[[camera]]\nname = "gate"\nurl = "{camera.url}"\nusername = "viewer"\n'
            'password = { env = "GATE_PASSWORD" }\nautostart = true\n'
        )
        wrong = [
            f"rtsp://{login}:{camera.port}/cam",
            f"rtsp://{login}:{free_port()}/cam?key={SECRET}",
            f"http://{login}:{free_port()}/x.mp4?key={SECRET}",
            f"rtsp://viewer:{SECRET}@10.0.0.1/cam",
            f"ftp://{login}/x",
            f"rtsp://{login}:99999/x",
            f"rtsp://{login}:5x/{SECRET}",
        ]
        async with serving(settings, Worker(lambda: tiny_model)) as service:
            answers = [await service.http.post("/sessions", json={"source": {"url": url}}) for url in wrong]
            assert [answer.status_code for answer in answers] == [201, 201, 201, 403, 400, 400, 400]
            await until(lambda: service.registry.ended["source failed"] == 1, 60)
            await until(lambda: len(followed(service)) == 3, 60)  # the camera of the file starts by itself
            lives = followed(service)
            await until(lambda: all(live.snapshot()["signal"]["error"] for live in lives), 60)
            paths = ["/sessions", "/cameras", "/metrics", "/health", "/sessions/ice-servers"]
            paths += [f"/sessions/{live.session_id}" for live in lives]
            paths.append(f"/sessions/{answers[2].json()['id']}")  # ended, and says why
            answers += [await service.http.get(path) for path in paths]
            async with service.http.stream("GET", f"/sessions/{lives[0].session_id}/results") as events:
                first = await anext(events.aiter_text())
        printed = capfd.readouterr()
    told = "".join(answer.text + str(answer.headers) for answer in answers) + first
    everything = told + caplog.text + printed.out + printed.err + repr(lives) + repr(settings)
    assert "this session has ended: source failed: http://127.0.0.1" in told
    assert "wrong user name or password" in told  # the failures were spoken of
    assert "wrong user name or password" in caplog.text
    for form in (SECRET, base64.b64encode(f"viewer:{SECRET}".encode()).decode()):
        assert form not in everything
