"""What leaves a session for others than the one who opened it, through the whole service."""

from __future__ import annotations

import asyncio
import io
import ipaddress
import json
from pathlib import Path

import av
import msgpack
import numpy as np
import pytest
from PIL import Image
from players import CLICK, page_viewer, player, sample
from rtsp import free_port
from signaling_service import Service, serving, until
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from engine.models import Model
from engine.worker import Worker
from signaling.routes import results
from signaling.settings import Settings
from stream.encoders import pick_h264
from stream.wire import Message

FULL, VIEW = "full-key-0123456789", "view-key-0123456789"


async def test_viewers_share_one_encoding_and_a_late_one_sees_at_once(service: Service) -> None:
    session = await sample(service)
    live = service.registry.live(session)
    assert live is not None
    async with player(service, session) as first:
        await until(lambda: len(first.frames) >= 3)
        async with player(service, session) as late:
            assert late.headers["etag"]
            await until(lambda: len(late.frames) >= 3)
            ((codec, tier),) = live.broadcast.renditions
            assert (codec, tier) == ("video/h264", "main")
            assert live.broadcast.viewers == 2
            (told,) = (await service.http.get(f"/sessions/{session}")).json()["encoders"]
            assert (told["codec"], told["encoder"], told["viewers"]) == ("h264", pick_h264(), 2)
            assert late.frames[0].shape == (480, 640, 3)
            assert late.frames[0].std() > 20  # a picture, not what a decoder makes of half of one
            assert (await service.http.patch(late.location, content="x")).status_code == 405
            assert (await service.http.delete(late.location)).status_code == 200
            await until(lambda: live.broadcast.viewers == 1)
            assert (await service.http.delete(late.location)).status_code == 404
        seen = len(first.frames)
        await until(lambda: len(first.frames) > seen + 3)  # nobody else's leaving is noticed
    assert (await service.http.delete(f"/sessions/{session}")).status_code == 204


async def test_viewers_end_with_their_session(service: Service) -> None:
    session = await sample(service)
    async with player(service, session) as watching:
        await until(lambda: len(watching.frames) >= 1)
        await service.http.delete(f"/sessions/{session}")
        await until(lambda: watching.connection.connectionState == "closed")


async def test_a_bad_offer_of_a_player_is_refused(service: Service) -> None:
    session = await sample(service)
    for body, kind, status in (
        (b"v=0\r\n", "application/sdp", 400),
        (b"\xff", "application/sdp", 400),
        (b"{}", "application/json", 415),
        (b"v=0\r\n" + b"a" * 70000, "application/sdp", 413),
    ):
        for path in (f"/whep/{session}", "/whip/desk"):
            answer = await service.http.post(path, content=body, headers={"content-type": kind})
            assert answer.status_code == status
    unknown = await service.http.post("/whep/none", content=b"", headers={"content-type": "application/sdp"})
    assert unknown.status_code == 404
    assert (await service.http.options("/whip/desk")).headers["accept-post"] == "application/sdp"


async def test_prompts_over_http_are_those_of_the_data_channel(service: Service) -> None:
    session = await sample(service)
    path = f"/sessions/{session}/prompts"
    ack = (await service.http.post(path, json={**CLICK, "request_id": "r7"})).json()
    assert (ack["type"], ack["request_id"], ack["object_ids"]) == ("ack", "r7", [5])
    assert ack["timings"]["total"] > 0
    wrong = {"prompts": [{"x": 9999, "y": 1}], "width": 640, "height": 480}
    for body, status, code in (
        (wrong, 400, "OUT_OF_RANGE"),
        ({"remove": 99}, 400, "UNKNOWN_OBJECT"),
        ({"prompt": "the red one"}, 400, "UNSUPPORTED"),
    ):
        answer = await service.http.post(path, json=body)
        assert (answer.status_code, answer.json()["error_type"]) == (status, code)
    assert (await service.http.post(path, content=b"x")).status_code == 415
    assert (await service.http.post("/sessions/none/prompts", json=CLICK)).status_code == 404


async def test_results_come_as_events_and_over_a_websocket(service: Service) -> None:
    session = await sample(service)
    await service.http.post(f"/sessions/{session}/prompts", json=CLICK)
    path = f"/sessions/{session}/results"
    events = asyncio.create_task(read_events(service, f"{path}?rle=false"))
    async with connect(service.url.replace("http", "ws") + path) as socket:
        told = [json.loads(await socket.recv()) for _ in range(6)]
        assert told[0]["type"] == "state"
        results = [message for message in told if message["type"] == "result"]
        assert [found["object_id"] for found in results[-1]["objects"]] == [5]
        assert results[-1]["objects"][0]["rle"]["size"] == [480, 640]
        await service.http.delete(f"/sessions/{session}")
        async for _ in socket:
            pass
        assert socket.close_code == 1000
    kinds = await asyncio.wait_for(events, 30)
    assert kinds[0][0] == "state"
    assert kinds[-1][0] == "end"
    found = [message for kind, message in kinds if kind == "result"]
    assert all("rle" not in each for message in found for each in message["objects"])
    numbers = [message["frame_index"] for message in found]
    assert numbers == sorted(set(numbers))
    assert (await service.http.get("/sessions/none/results")).status_code == 404


async def test_a_websocket_may_ask_for_msgpack_without_run_lengths(service: Service) -> None:
    session = await sample(service)
    await service.http.post(f"/sessions/{session}/prompts", json=CLICK)
    path = f"{service.url.replace('http', 'ws')}/sessions/{session}/results?encoding=msgpack&rle=false"
    async with connect(path) as socket:
        data = [await socket.recv() for _ in range(5)]
    told = [msgpack.unpackb(each) for each in data if isinstance(each, bytes)]
    assert len(told) == 5
    assert told[0]["type"] == "state"
    result = next(each for each in told if each["type"] == "result")
    (found,) = result["objects"]
    assert (found["object_id"], result["rle_omitted"], "rle" in found) == (5, True, False)


async def test_whoever_comes_too_late_is_told_why_the_session_ended(service: Service) -> None:
    session = await sample(service)
    reason = "the cellar is flooded " * 10
    await service.registry.close(session, reason)
    path = f"/sessions/{session}/results"
    assert reason in (await service.http.get(path)).json()["detail"]
    async with connect(service.url.replace("http", "ws") + path) as socket:
        with pytest.raises(ConnectionClosed):
            await socket.recv()
        assert socket.close_code == 4404
        assert str(socket.close_reason).startswith("this session has ended: the cellar is flooded")
    assert (await service.http.get("/sessions/other/results")).json()["detail"].endswith("may have ended")


async def test_a_silent_session_keeps_its_readers(tiny_model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results, "KEEP_ALIVE_SECONDS", 0.2)
    networks = (ipaddress.ip_network("127.0.0.0/8"),)
    settings = Settings(port=0, source_networks=networks, offers_per_second=100)
    async with serving(settings, Worker(lambda: tiny_model)) as service:
        away = {"source": {"url": f"rtsp://127.0.0.1:{free_port()}/cam"}}  # its pictures never come
        session = (await service.http.post("/sessions", json=away)).json()["id"]
        async with service.http.stream("GET", f"/sessions/{session}/results") as response:
            async with asyncio.timeout(30):
                lines = response.aiter_lines()
                while not (line := await anext(lines)).startswith(":"):
                    assert not line.startswith("event: result")
        assert line == ": still here"


async def read_events(service: Service, path: str) -> list[tuple[str, Message]]:
    """Every event until the end of the stream."""
    found: list[tuple[str, Message]] = []
    kind = ""
    async with service.http.stream("GET", path) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        async for line in response.aiter_lines():
            if line.startswith("event: "):
                kind = line.removeprefix("event: ")
            elif line.startswith("data: "):
                found.append((kind, json.loads(line.removeprefix("data: "))))
    return found


def green(picture: Image.Image) -> float:
    """The share of pixels that are nothing but green."""
    red, full, blue = np.moveaxis(np.asarray(picture.convert("RGB")).astype(int), 2, 0)
    return float(((full > 200) & (red < 60) & (blue < 60)).mean())


async def test_snapshots_and_mjpeg_show_the_masked_picture(service: Service) -> None:
    session = await sample(service)
    for form in ("jpg", "png"):
        answer = await service.http.get(f"/sessions/{session}/snapshot.{form}")
        assert answer.headers["content-type"] == f"image/{'jpeg' if form == 'jpg' else 'png'}"
        picture = Image.open(io.BytesIO(answer.content))
        assert picture.size == (640, 480)
        assert np.asarray(picture).std() > 20
        assert green(picture) == 0
    cutout = {**CLICK, "output": {"mode": "cutout", "background": "#00ff00"}}
    ack = (await service.http.post(f"/sessions/{session}/prompts", json=cutout)).json()
    for form in ("jpg", "png"):
        answer = await service.http.get(f"/sessions/{session}/snapshot.{form}")
        assert int(answer.headers["x-frame-index"]) >= ack["frame_index"]
        assert green(Image.open(io.BytesIO(answer.content))) > 0.02, "what is no object is cut out"
    data = b""
    async with service.http.stream("GET", f"/sessions/{session}/mjpeg?fps=15") as response:
        boundary = response.headers["content-type"].partition("boundary=")[2]
        async for chunk in response.aiter_bytes():
            data += chunk
            if data.count(f"--{boundary}".encode()) >= 4:
                break
    parts = data.split(f"--{boundary}\r\n".encode())[1:3]
    for part in parts:
        head, _, body = part.partition(b"\r\n\r\n")
        assert b"image/jpeg" in head
        picture = Image.open(io.BytesIO(body.removesuffix(b"\r\n")))
        assert picture.size == (640, 480)
        assert green(picture) > 0.02
    assert (await service.http.get(f"/sessions/{session}/mjpeg?fps=0")).status_code == 400


async def test_recording_lines_up_frame_by_frame(tiny_model: Model, tmp_path: Path) -> None:
    settings = Settings(port=0, recordings_dir=str(tmp_path), offers_per_second=100)
    async with serving(settings, Worker(lambda: tiny_model)) as service:
        session = await sample(service)
        path = f"/sessions/{session}/recording"
        assert (await service.http.get(path)).status_code == 404
        assert (await service.http.post(path)).status_code == 201
        assert (await service.http.post(path)).status_code == 409
        await service.http.post(f"/sessions/{session}/prompts", json=CLICK)
        recorder = (await service.http.get(path)).json()
        async with asyncio.timeout(60):
            while recorder["frames"] < 12:
                await asyncio.sleep(0.1)
                recorder = (await service.http.get(path)).json()
        done = (await service.http.delete(path)).json()
        assert done["ended"] == "stopped"
        files = (await service.http.get("/recordings")).json()["recordings"]
        assert {each["name"] for each in files} == {f"{done['name']}.mp4", f"{done['name']}.jsonl"}
        video = (await service.http.get(f"/recordings/{done['name']}.mp4")).content
        known = (await service.http.get(f"/recordings/{done['name']}.coco.json")).json()
        for bad in ("..%2Fsecret.mp4", "none.coco.json", "..%2Fsecret.coco.json", ".coco.json"):
            assert (await service.http.get(f"/recordings/{bad}")).status_code == 404
        await service.http.delete(f"/sessions/{session}")
    lines = [json.loads(line) for line in (tmp_path / f"{done['name']}.jsonl").read_text().splitlines()]
    with av.open(io.BytesIO(video)) as container:
        frames = list(container.decode(video=0))
    assert len(frames) == len(lines) == done["frames"]
    for number, (frame, line) in enumerate(zip(frames, lines, strict=True)):
        assert line["video"]["frame"] == number
        assert frame.time == pytest.approx(line["video"]["time"], abs=1e-3)
    assert [found["object_id"] for found in lines[-1]["objects"]] == [5]
    assert [each["time"] for each in known["images"]] == [line["video"]["time"] for line in lines]


async def test_recording_and_pushing_are_off_unless_allowed(service: Service) -> None:
    session = await sample(service)
    answer = await service.http.post(f"/sessions/{session}/recording")
    assert (answer.status_code, answer.json()["error_type"]) == (403, "NOT_ALLOWED")
    answer = await service.http.post(f"/sessions/{session}/pushes", json={"url": "rtmp://x/live"})
    assert (answer.status_code, answer.json()["error_type"]) == (403, "NOT_ALLOWED")


async def test_the_right_to_watch_is_not_the_right_to_prompt(tiny_model: Model) -> None:
    settings = Settings(port=0, api_keys=(FULL,), view_keys=(VIEW,), offers_per_second=100)
    full, view = ({"authorization": f"Bearer {key}"} for key in (FULL, VIEW))
    async with serving(settings, Worker(lambda: tiny_model)) as service:
        assert (
            await service.http.post("/sessions", json={"source": "sample"}, headers=view)
        ).status_code == 403
        answer = await service.http.post("/sessions", json={"source": "sample"}, headers=full)
        session = answer.json()["id"]
        async with player(service, session, **view) as watching:
            await until(lambda: len(watching.frames) >= 1)
        assert (await service.http.get(f"/sessions/{session}", headers=view)).status_code == 200
        for method, path in (
            ("POST", f"/sessions/{session}/prompts"),
            ("POST", f"/sessions/{session}/recording"),
            ("DELETE", f"/sessions/{session}"),
            ("POST", "/whip/desk"),
        ):
            answer = await service.http.request(method, path, json=CLICK, headers=view)
            assert (answer.status_code, answer.json()["error_type"]) == (403, "FORBIDDEN")
        assert (await service.http.get(f"/sessions/{session}")).status_code == 401
        async with (
            page_viewer(service, session, **view) as watched,
            page_viewer(service, session, **full) as prompted,
        ):
            assert watched.answer["may_prompt"] is False
            watched.say({"request_id": "a", **CLICK})
            await until(lambda: watched.of("x-fal-error"))
            assert watched.of("x-fal-error")[0]["error"] == "FORBIDDEN"
            prompted.say({"request_id": "b", **CLICK})
            await until(lambda: prompted.of("ack"))
            await until(lambda: any(message["objects"] for message in watched.of("result")))
        await service.http.delete(f"/sessions/{session}", headers=full)
