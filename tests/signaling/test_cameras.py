"""Cameras by name: their file, sessions without viewers, and what clients learn of them."""

from __future__ import annotations

import asyncio
import io
import json
import logging
from pathlib import Path

import numpy as np
import pytest
from certificates import certificate
from numpy.typing import NDArray
from PIL import Image
from rtsp import RtspCamera, need_gstreamer, rtsp_camera
from signaling_service import Service, serving, until

from engine.masks import mask_to_rle
from engine.models import Model
from engine.worker import Worker
from signaling.cameras import read_cameras
from signaling.settings import Settings, SettingsError
from stream import mask_url

SECRET = "hunter2-hunter2"
MASK = np.zeros((48, 64), bool)
MASK[10:30, 20:40] = True


def written(folder: Path, text: str) -> Path:
    path = folder / "cameras.toml"
    path.write_text(text)
    return path


def save_masks(folder: Path) -> None:
    """The same mask as a picture, and as a result has it."""
    Image.fromarray(MASK).save(folder / "door.png")
    (folder / "window.json").write_text(json.dumps(mask_to_rle(MASK)))


def test_saved_masks_are_read_alike(tmp_path: Path) -> None:
    save_masks(tmp_path)
    prompts = '[{ mask_file = "door.png" }, { mask_file = "window.json", object_id = 5 }]'
    text = f'[[camera]]\nname = "gate"\nurl = "rtsp://10.0.0.7/"\nprompts = {prompts}\n'
    one, other = read_cameras(written(tmp_path, text), {})["gate"].prompts
    assert np.array_equal(one.mask, MASK)
    assert np.array_equal(other.mask, MASK)
    assert (one.object_id, other.object_id) == (1, 5)


def test_the_example_of_the_documentation_is_read(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "deploy.md").read_text()
    save_masks(tmp_path)
    example = written(tmp_path, page.partition("```toml\n")[2].partition("```")[0])
    camera = read_cameras(example, {"GATE_PASSWORD": SECRET})["gate"]
    assert camera.autostart
    assert [message.object_id for message in camera.prompts[1:]] == [2, 3]


def test_a_camera_has_credentials_by_reference_limits_and_prompts(tmp_path: Path) -> None:
    text = """
[[camera]]
name = "gate"
url = "rtsps://10.0.0.7/stream1"
username = "viewer"
password = { env = "GATE_PASSWORD" }
transport = "udp"
tls_ca = "cert.pem"
max_size = "1280x720"
max_fps = 15
silent_seconds = 3
autostart = true
[[camera.prompts]]
box_prompts = [{ x_min = 10, y_min = 8, x_max = 30, y_max = 40, object_id = 7 }]
width = 64
height = 48
"""
    certificate(tmp_path)
    camera = read_cameras(written(tmp_path, text), {"GATE_PASSWORD": SECRET})["gate"]
    assert camera.rtsp.address.url == f"rtsps://viewer:{SECRET}@10.0.0.7/stream1"
    assert (camera.rtsp.authorities, camera.rtsp.verify) == (str(tmp_path / "cert.pem"), True)
    assert SECRET not in repr(camera)
    assert (camera.rtsp.transport, camera.autostart) == ("udp", True)
    limits = camera.rtsp.limits
    assert (limits.max_width, limits.max_height, limits.max_fps, limits.silent_seconds) == (1280, 720, 15, 3)
    assert camera.prompts[0].boxes[0].object_id == 7


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        ('password = "hunter2-hunter2"', "env"),
        ('username = "a"\npassword = { env = "NOT_SET" }', "NOT_SET"),
        ('transport = "carrier pigeon"', "transport"),
        ('tls_ca = "gone.pem"', "tls_ca.*gone.pem: No such file"),
        ('tls_ca = "cameras.toml"', "tls_ca.*cameras.toml"),
        ('colour = "red"', "unknown key"),
        ('prompts = [{ mask_file = "gone.png" }]', "gone.png"),
        ('prompts = [{ mask_file = "cameras.toml" }]', "mask_url.*PNG"),
        ('prompts = [{ mask_file = "bad.json" }]', "bad.json: expected COCO run lengths.*4 x 4"),
        ("prompts = [{ object_id = 1 }]", "at least one of"),
        ('max_size = "big"', "WIDTHxHEIGHT"),
    ],
)
def test_a_wrong_entry_is_named_and_no_secret_is_shown(tmp_path: Path, lines: str, why: str) -> None:
    text = f'[[camera]]\nname = "gate"\nurl = "rtsp://10.0.0.7/"\n{lines}\n'
    (tmp_path / "bad.json").write_text('{"size": [4, 4], "counts": "5"}')
    with pytest.raises(SettingsError, match=why) as caught:
        read_cameras(written(tmp_path, text), {})
    assert "gate" in str(caught.value)
    assert SECRET not in str(caught.value)


def test_credentials_in_the_url_are_refused(tmp_path: Path) -> None:
    text = f'[[camera]]\nname = "gate"\nurl = "rtsp://u:{SECRET}@10.0.0.7/"\n'
    with pytest.raises(SettingsError, match="no credentials") as caught:
        read_cameras(written(tmp_path, text), {})
    assert SECRET not in str(caught.value)


async def test_a_camera_is_followed_from_the_start_and_seen_by_name_only(
    tiny_model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "stream")
    caplog.set_level(logging.DEBUG, "livemask")
    monkeypatch.setenv("GATE_PASSWORD", SECRET)
    async with rtsp_camera("--user", "viewer", "--password", SECRET) as camera:
        text = f"""
[[camera]]
name = "gate"
url = "{camera.url}"
username = "viewer"
password = {{ env = "GATE_PASSWORD" }}
autostart = true
max_fps = 5
[[camera.prompts]]
box_prompts = [{{ x_min = 10, y_min = 10, x_max = 100, y_max = 100, object_id = 3 }}]
width = 320
height = 240
[[camera.prompts]]
mask_file = "door.png"
object_id = 4
[[camera.prompts]]
mask_file = "window.json"
object_id = 5
"""
        save_masks(tmp_path)
        settings = Settings(port=0, cameras=str(written(tmp_path, text)), offers_per_second=100)
        async with serving(settings, Worker(lambda: tiny_model)) as service:
            await until(lambda: service.registry.live("gate") is not None, 60)
            snapshot = await followed(service, "gate")
            cameras = (await service.http.get("/cameras")).json()["cameras"]
            metrics = (await service.http.get("/metrics")).text
            marked = [{"mask_url": mask_url.encode(MASK), "object_id": 9}]
            body = {"source": {"camera": "gate"}, "prompts": marked}
            other = await service.http.post("/sessions", json=body)
            by_api = await followed(service, other.json()["id"])
            unknown = await service.http.post("/sessions", json={"source": {"camera": "cellar"}})
            assert (await service.http.delete(f"/sessions/{snapshot['id']}")).status_code == 204
            assert len(service.registry) == 1  # a deleted one is not begun anew
    assert (snapshot["name"], snapshot["source"]) == ("gate", "camera:gate")
    assert snapshot["signal"]["state"] == "live"
    assert snapshot["signal"]["decoder"] == snapshot["stats"]["decoder"] in ("software", "cuda")
    assert [found["object_id"] for found in snapshot["objects"]] == [3, 4, 5]
    assert [found["object_id"] for found in by_api["objects"]] == [9]
    assert cameras == [{"name": "gate", "autostart": True, "sessions": [snapshot["id"]]}]
    assert other.status_code == 201
    assert "sdp" not in other.json()
    assert (unknown.status_code, unknown.json()["error_type"]) == (404, "NOT_FOUND")
    assert SECRET not in str(snapshot) + str(cameras) + metrics + caplog.text


async def test_objects_outlive_a_camera_that_is_away_at_the_start_and_again_later(
    tiny_model: Model, tmp_path: Path
) -> None:
    """The prompts wait for its first picture; when it is back, the same objects go on under the same ids."""
    need_gstreamer()
    camera = RtspCamera()
    save_masks(tmp_path)
    text = f"""
[[camera]]
name = "gate"
url = "{camera.url}"
autostart = true
max_fps = 5
prompts = [{{ mask_file = "window.json", object_id = 5 }}]
"""
    settings = Settings(port=0, cameras=str(written(tmp_path, text)), offers_per_second=100)
    async with serving(settings, Worker(lambda: tiny_model)) as service:
        try:
            await until(lambda: service.registry.live("gate") is not None, 60)
            live = service.registry.live("gate")
            assert live is not None
            await until(lambda: live.snapshot()["signal"]["error_type"] == "UNREACHABLE", 60)
            await camera.start()
            before = await followed(service, "gate")
            bright = await look(service)
            await camera.kill()
            await until(lambda: live.session.state()["no_signal_since"] is not None, 60)
            await until(lambda: live.glance.shown is not None and live.glance.shown.result is None, 60)
            slate = await look(service)
            away = (await service.http.get("/sessions/gate")).json()
            await camera.start()
            await until(lambda: live.session.state()["no_signal_since"] is None, 60)
            back = await followed(service, "gate")
        finally:
            await camera.kill()
    assert away["signal"]["state"] == "no_signal"
    assert [found["object_id"] for found in away["objects"]] == [5]
    assert [found["object_id"] for found in back["objects"]] == [5]
    assert back["id"] == before["id"]
    assert back["frame_index"] > before["frame_index"]
    assert back["signal"]["connections"] == 2
    assert slate.shape == bright.shape
    assert slate[:90].mean() < 0.7 * bright[:90].mean()  # the last picture, darkened
    letters = slate[108:132]
    assert (letters > 225).sum() > 100
    assert (letters < 30).sum() > 1000


async def look(service: Service) -> NDArray[np.uint8]:
    """The newest picture of the camera, grey."""
    answer = await service.http.get("/sessions/gate/snapshot.png")
    return np.asarray(Image.open(io.BytesIO(answer.content)).convert("L"))


async def followed(service: Service, session: str) -> dict[str, object]:
    """Wait until a session has objects; its snapshot."""
    async with asyncio.timeout(60):
        while True:
            snapshot = (await service.http.get(f"/sessions/{session}")).json()
            if snapshot["objects"]:
                return dict(snapshot)
            await asyncio.sleep(0.1)
