"""The realtime WebSocket with the stock Python client and by hand: live pictures, prompts, overload,
errors.
"""

from __future__ import annotations

import asyncio
import base64
import io
import json
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import fal_client
import msgpack
import numpy as np
import pytest
from harness import SIZE, Server, jpeg
from PIL import Image
from test_video import run, upload
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from engine.masks import fal_rle_to_mask
from signaling.fal import realtime
from web import Web

APP = "fal-ai/sam-3/video-rle"
CLICK = {"x": 40, "y": 50, "label": 1, "object_id": 1}


@pytest.fixture
async def socket(server: Server) -> AsyncIterator[ClientConnection]:
    async with connect(f"ws://{server.host}/run/{APP}/realtime?max_buffering=60") as opened:
        yield opened


async def ask(socket: ClientConnection, **message: Any) -> Any:
    await socket.send(msgpack.packb(message))
    return read(await socket.recv())


def read(data: str | bytes) -> Any:
    return json.loads(data) if isinstance(data, str) else msgpack.unpackb(data)


def test_stock_client_tracks_live_pictures(stock: Server) -> None:
    client = fal_client.SyncClient(key="id:secret")
    with client.realtime(APP) as connection:
        connection.send({"image_bytes": jpeg(), "prompts": [CLICK], "request_id": "one"})
        first = connection.recv()
        connection.send({"image_bytes": jpeg(4)})
        second = connection.recv()
    assert first["request_id"] == "one"
    assert "request_id" not in second
    assert (first["frame_index"], second["frame_index"]) == (0, 1)
    assert (first["width"], first["height"]) == SIZE
    assert [entry["object_id"] for entry in second["metadata"]] == [1]
    assert fal_rle_to_mask(second["rle"][0], SIZE[1], SIZE[0]).any()


@pytest.mark.parametrize("use_jwt", [True, False])
async def test_stock_async_client_with_token_and_with_key(stock: Server, use_jwt: bool) -> None:
    client = fal_client.AsyncClient(key="id:secret")
    async with client.realtime(APP, use_jwt=use_jwt, max_buffering=2) as connection:
        await connection.send({"image_bytes": jpeg(), "prompts": [CLICK]})
        assert (await connection.recv())["frame_index"] == 0


async def test_stock_client_sees_an_error_and_goes_on(stock: Server) -> None:
    client = fal_client.AsyncClient(key="id:secret")
    async with client.realtime(APP) as connection:
        await connection.send({"image_bytes": b"no picture", "prompts": [CLICK], "request_id": 7})
        with pytest.raises(fal_client.client.RealtimeError) as caught:
            await connection.recv()
        assert caught.value.error == "BAD_IMAGE"
        assert caught.value.payload["request_id"] == 7
        await connection.send({"image_bytes": jpeg(), "prompts": [CLICK]})
        assert (await connection.recv())["frame_index"] == 0


async def test_the_documents_input_runs_as_a_request(
    server: Server, clip: Path, socket: ClientConnection
) -> None:
    video = upload(server, clip, "video/mp4")
    body = {"video_url": video, "prompts": [{"x": 40, "y": 50}]}
    out = await ask(socket, **body, request_id="r")
    plain = await asyncio.to_thread(run, server, APP, **body)
    assert out == {**plain, "request_id": "r"}
    error = await ask(socket, video_url=video)
    assert (error["type"], error["error"]) == ("x-fal-error", "INVALID_INPUT")
    assert "box_prompts" in error["reason"]


async def test_json_is_answered_in_json(socket: ClientConnection) -> None:
    url = "data:image/jpeg;base64," + base64.b64encode(jpeg()).decode()
    await socket.send(json.dumps({"image_url": url, "prompts": [CLICK], "output_format": "png"}))
    answer = await socket.recv()
    assert isinstance(answer, str)
    (image,) = json.loads(answer)["images"]
    mask = np.asarray(Image.open(io.BytesIO(base64.b64decode(image["content"]))))
    assert mask.shape == (SIZE[1], SIZE[0])


async def test_pictures_out(socket: ClientConnection) -> None:
    out = await ask(socket, image_bytes=jpeg(), prompts=[CLICK], output_format="jpeg", apply_mask=True)
    (image,) = out["images"]
    assert isinstance(image["content"], bytes)
    assert (image["content_type"], image["width"], image["height"]) == ("image/jpeg", *SIZE)
    assert Image.open(io.BytesIO(image["content"])).size == SIZE
    out = await ask(socket, image_bytes=jpeg(), output_format="png")
    assert set(np.unique(np.asarray(Image.open(io.BytesIO(out["images"][0]["content"]))))) <= {0, 255}


async def test_objects_come_and_go(socket: ClientConnection) -> None:
    box = {"x_min": 20, "y_min": 30, "x_max": 60, "y_max": 70, "object_id": 5}
    out = await ask(socket, image_bytes=jpeg(), point_prompts=[CLICK], box_prompts=[box])
    assert [entry["object_id"] for entry in out["metadata"]] == [1, 5]
    out = await ask(socket, remove=1)
    assert [entry["object_id"] for entry in out["metadata"]] == [5]
    out = await ask(socket, image_bytes=jpeg(4), reset=True)
    assert out["metadata"] == []


async def test_what_clients_send_besides(socket: ClientConnection) -> None:
    """Integers for floats, null for absent, timestamps and empty maps (a Blob) in fields nobody reads."""
    click = {**CLICK, "x": 40.5, "y": 50, "label": "1", "frame_index": None}
    message = {
        "image_bytes": jpeg(),
        "prompts": [click],
        "mask_url": None,
        "when": msgpack.Timestamp(1),
        "blob": {},
    }
    assert (await ask(socket, **message))["frame_index"] == 0


async def test_the_documented_default_of_frame_index_means_the_picture_it_comes_with(
    socket: ClientConnection,
) -> None:
    for index in range(3):
        assert (await ask(socket, image_bytes=jpeg(4 * index)))["frame_index"] == index
    point = {**CLICK, "frame_index": 0}
    out = await ask(socket, image_bytes=jpeg(12), prompts=[point], frame_index=0)
    assert [entry["object_id"] for entry in out["metadata"]] == [1]
    assert out["rle"][0]


async def test_a_picture_by_its_address(server: Server, socket: ClientConnection, picture: Path) -> None:
    """From the web, and from this server's own storage; nothing of it stays."""
    inline = await ask(socket, image_bytes=jpeg(), prompts=[CLICK])
    with Web() as web:
        out = await ask(socket, image_url=web.serve("/x.jpg", jpeg()), reset=True, prompts=[CLICK])
        assert out["rle"] == inline["rle"]
        web.serve("/large.jpg", b"", Content_Length=str(1 << 30))
        refused = await ask(socket, image_url=f"{web.url}/large.jpg")
        assert (refused["error"], "larger" in refused["reason"]) == ("INVALID_INPUT", True)
    stored = await asyncio.to_thread(upload, server, picture, "image/jpeg")
    assert (await ask(socket, image_url=stored, reset=True, prompts=[CLICK]))["rle"] == inline["rle"]
    assert not list((server.data_dir / "work" / "pictures").iterdir())


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (b"\xc1", "BAD_ENCODING"),
        ("{", "BAD_ENCODING"),
        (msgpack.packb([1]), "BAD_ENCODING"),
        (msgpack.packb("text"), "BAD_ENCODING"),
        (msgpack.packb({"image_bytes": {}}), "INVALID_INPUT"),
        (msgpack.packb({"image_url": "file:///etc/passwd"}), "INVALID_INPUT"),
        (msgpack.packb({"image_url": "http://169.254.169.254/x.jpg"}), "INVALID_INPUT"),
        (msgpack.packb({"image_url": "data:image/jpeg,x"}), "INVALID_INPUT"),
        (msgpack.packb({}), "INVALID_INPUT"),
        (msgpack.packb({"prompts": [CLICK]}), "INVALID_INPUT"),
        (msgpack.packb({"image_bytes": b"GIF89a"}), "BAD_IMAGE"),
        (msgpack.packb({"image_bytes": jpeg()[:200]}), "BAD_IMAGE"),
        (msgpack.packb({"image_bytes": jpeg(), "prompts": [{"x": float("nan"), "y": 1}]}), "OUT_OF_RANGE"),
        (msgpack.packb({"image_bytes": jpeg(), "prompts": [{"x": 4000, "y": 1}]}), "OUT_OF_RANGE"),
        (msgpack.packb({"image_bytes": jpeg(), "prompts": [CLICK] * 10_000}), "TOO_MANY"),
        (msgpack.packb({"image_bytes": jpeg(), "remove": 3}), "UNKNOWN_OBJECT"),
        (msgpack.packb({"image_bytes": jpeg(), "prompt": "a cup"}), "UNSUPPORTED"),
        (msgpack.packb({"image_bytes": jpeg(), "output_format": "tiff"}), "INVALID_INPUT"),
    ],
)
async def test_bad_messages_get_one_text_error_each(
    socket: ClientConnection, message: str | bytes, code: str
) -> None:
    await socket.send(message)
    answer = await socket.recv()
    assert isinstance(answer, str), "errors are JSON text"
    assert json.loads(answer)["type"] == "x-fal-error"
    assert json.loads(answer)["error"] == code
    assert "frame_index" in await ask(socket, image_bytes=jpeg(), prompts=[CLICK])


async def test_a_picture_of_too_many_pixels_is_not_decoded(socket: ClientConnection) -> None:
    data = io.BytesIO()
    Image.new("1", (9000, 9000)).save(data, "PNG")
    assert (await ask(socket, image_bytes=data.getvalue()))["error"] == "TOO_LARGE"


async def test_order_is_kept_and_each_input_has_one_reply(socket: ClientConnection) -> None:
    for number in range(8):
        await socket.send(
            msgpack.packb({"image_bytes": jpeg(number), "prompts": [CLICK], "request_id": number})
        )
    answers = [read(await socket.recv()) for _ in range(8)]
    assert [answer["request_id"] for answer in answers] == list(range(8))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(socket.recv(), 0.3)


@pytest.mark.parametrize(
    ("said", "kept"), [(None, 1), ("1", 1), ("7", 7), ("60", 60), ("61", 60), ("0", 1), ("-3", 1), ("x", 1)]
)
def test_max_buffering_is_1_to_60(said: str | None, kept: int) -> None:
    assert realtime.buffering(said) == kept


async def test_overload_keeps_the_newest_and_every_prompt(server: Server) -> None:
    async with connect(f"ws://{server.host}/run/{APP}/realtime?max_buffering=2") as socket:
        await ask(socket, image_bytes=jpeg(), prompts=[CLICK])
        total = 30
        for number in range(total):
            prompts = [{"x": 40, "y": 50, "object_id": 8}] if number == 3 else []
            await socket.send(
                msgpack.packb({"image_bytes": jpeg(1), "request_id": number, "prompts": prompts})
            )
        answers = [read(await socket.recv())]
        while answers[-1]["request_id"] != total - 1:
            answers.append(read(await socket.recv()))
        dropped = sum(answer.get("dropped", 0) for answer in answers)
        assert dropped + len(answers) == total
        assert dropped > 0
        ids = [answer["request_id"] for answer in answers]
        assert ids == sorted(ids)
        assert [entry["object_id"] for entry in answers[-1]["metadata"]] == [1, 8], (
            "its picture may go, it may not"
        )


async def test_connections_do_not_see_each_other(server: Server) -> None:
    url = f"ws://{server.host}/run/{APP}/realtime"
    async with connect(url) as one, connect(url) as two:
        await ask(one, image_bytes=jpeg(), prompts=[CLICK])
        out = await ask(two, image_bytes=jpeg(), prompts=[{**CLICK, "object_id": 2}])
        assert [entry["object_id"] for entry in out["metadata"]] == [2]
        out = await ask(one, image_bytes=jpeg(2))
        assert [entry["object_id"] for entry in out["metadata"]] == [1]


async def test_a_lost_peer_frees_its_objects(server: Server) -> None:
    url = f"ws://{server.host}/run/{APP}/realtime"
    before = len(server.worker._lanes)
    socket = await connect(url)
    await ask(socket, image_bytes=jpeg(), prompts=[CLICK])
    assert len(server.worker._lanes) == before + 1
    socket.transport.abort()
    deadline = time.monotonic() + 10
    while len(server.worker._lanes) > before:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


async def test_the_close_without_a_status_is_answered_by_1000(server: Server) -> None:
    """The JavaScript client closes so, and takes anything but 1000 for an error."""
    socket = await connect(f"ws://{server.host}/run/{APP}/realtime", compression="deflate")
    assert "permessage-deflate" not in socket.response.headers.get("sec-websocket-extensions", "")
    await asyncio.sleep(0.1)
    socket.protocol.send_frame_close = None  # type: ignore[attr-defined]
    from websockets.frames import Frame, Opcode

    socket.protocol.writes.append(Frame(Opcode.CLOSE, b"").serialize(mask=True))
    socket.send_data()
    with pytest.raises(ConnectionClosed):
        await socket.recv()
    assert socket.protocol.close_rcvd is not None
    assert socket.protocol.close_rcvd.code == 1000


@pytest.fixture
def impatient(server: Server) -> Iterator[Server]:
    settings = server.service.settings
    server.service.settings = replace(settings, realtime_idle_seconds=0.3, realtime_connections=1)
    yield server
    server.service.settings = settings


async def test_an_idle_connection_is_ended(impatient: Server) -> None:
    async with connect(f"ws://{impatient.host}/run/{APP}/realtime") as socket:
        message = json.loads(await socket.recv())
        assert (message["type"], message["error"]) == ("x-fal-error", "TIMEOUT")
        with pytest.raises(ConnectionClosed) as caught:
            await socket.recv()
        assert caught.value.rcvd is not None
        assert caught.value.rcvd.code == 1000


async def test_connections_are_bounded(impatient: Server) -> None:
    url = f"ws://{impatient.host}/run/{APP}/realtime"
    async with connect(url), connect(url) as second:
        assert json.loads(await second.recv())["error"] == "TOO_MANY_CONNECTIONS"


async def test_unknown_apps_and_both_spellings_of_the_path(server: Server) -> None:
    async with connect(f"ws://{server.host}/run/fal-ai/nothing/realtime") as socket:
        assert json.loads(await socket.recv())["error"] == "NOT_FOUND"
    async with connect(f"ws://{server.host}/{APP}/realtime") as socket:
        assert (await ask(socket, image_bytes=jpeg(), prompts=[CLICK]))["frame_index"] == 0
    async with connect(f"ws://{server.host}/run/{APP}") as socket:
        assert (await ask(socket, image_bytes=jpeg(), prompts=[CLICK]))["frame_index"] == 0


async def test_pictures_of_the_image_endpoint(server: Server) -> None:
    async with connect(f"ws://{server.host}/run/fal-ai/sam2/image/realtime") as socket:
        out = await ask(socket, image_bytes=jpeg(), prompts=[{"x": 40, "y": 50}], request_id=3)
        assert out["image"]["url"].startswith("http")
        assert out["request_id"] == 3
