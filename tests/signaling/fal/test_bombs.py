"""Small files that would unpack to a great deal: refused before they do, as the caller's fault."""

from __future__ import annotations

import asyncio
import base64
import io
import struct
import zipfile
import zlib
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import msgpack
import numpy as np
import pytest
from harness import Server, pictures
from test_video import refused, upload
from websockets.asyncio.client import connect

from signaling.command import CommandError
from signaling.fal.pictures import BadPicture, decoded
from signaling.fal.sniff import PNG
from signaling.videofile import VideoReader
from web import Web

CLICK = [{"x": 1, "y": 1}]
MIB = 1 << 20


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, before: bytes = b"", after: bytes = b"") -> bytes:
    """A black picture of one bit a pixel, with more chunks before and after its pixels."""
    rows = zlib.compress(bytes((width + 7) // 8 + 1) * height, 9)
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0))
    body = (head, before, chunk(b"IDAT", rows), after, chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(body)


def packed(kind: bytes, keyword: bytes) -> bytes:
    """A chunk of a few kilobytes that unpacks to 64 MiB."""
    return chunk(kind, keyword + zlib.compress(bytes(64 * MIB), 9))


def uri(data: bytes, kind: str = "image/png") -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


@pytest.mark.parametrize("side", [9000, 20_000], ids=["above our limit", "above Pillow's as well"])
def test_pictures_of_too_many_pixels(server: Server, clip: Path, side: int) -> None:
    data = png(side, side)
    assert len(data) < 100_000
    entry = refused(server, "fal-ai/sam2/image", image_url=uri(data), prompts=CLICK)
    assert (entry["loc"], entry["type"]) == (["body", "image_url"], "image_too_large")
    assert entry["ctx"] == {"max_pixels": server.service.settings.image_pixels}
    entry = refused(server, "fal-ai/sam2/auto-segment", image_url=uri(data))
    assert entry["type"] == "image_too_large"
    video = upload(server, clip, "video/mp4")
    entry = refused(server, "fal-ai/sam2/video", video_url=video, mask_url=uri(data))
    assert (entry["loc"], entry["type"]) == (["body", "mask_url"], "image_too_large")


@pytest.mark.parametrize("side", [9000, 20_000])
async def test_live_pictures_of_too_many_pixels(server: Server, side: int) -> None:
    async with connect(f"ws://{server.host}/run/fal-ai/sam2/video/realtime") as socket:
        await socket.send(msgpack.packb({"image_bytes": png(side, side), "prompts": CLICK}))
        answer = await asyncio.wait_for(socket.recv(), 60)
    assert isinstance(answer, str)
    assert '"TOO_LARGE"' in answer


TEXT = chunk(b"tEXt", b"k\0" + bytes(MIB))
HIDDEN = {
    "text": {"before": packed(b"zTXt", b"k\0\0")},
    "text behind": {"after": packed(b"zTXt", b"k\0\0")},
    "international text": {"before": packed(b"iTXt", b"k\0\1\0\0\0")},
    "colour profile": {"before": packed(b"iCCP", b"k\0\0")},
    "much plain text": {"before": 65 * TEXT},
}


@pytest.mark.parametrize("name", HIDDEN)
def test_what_hides_beside_the_pixels(name: str) -> None:
    with pytest.raises(BadPicture, match=r"text chunks|too large") as caught:
        decoded(io.BytesIO(png(8, 8, **HIDDEN[name])), PNG, 1 << 20)
    assert not caught.value.large, "its pixels are few"


def test_a_hidden_bomb_is_the_callers_fault(server: Server) -> None:
    data = uri(png(8, 8, **HIDDEN["text"]))
    entry = refused(server, "fal-ai/sam2/image", image_url=data, prompts=CLICK)
    assert entry["type"] == "image_load_error"
    assert str(server.data_dir) not in entry["msg"]


def gif(width: int, height: int) -> bytes:
    """A picture of one pixel on a screen of that size."""
    screen = struct.pack("<HHBBB", width, height, 0x80, 0, 0) + b"\0\0\0\xff\xff\xff"
    return b"GIF89a" + screen + b"," + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\2\2\x44\1\0;"


@pytest.mark.parametrize("side", [16_000, 60_000])
def test_animations_of_an_absurd_size(server: Server, side: int) -> None:
    entry = refused(server, "fal-ai/sam2/video", video_url=uri(gif(side, side), "image/gif"), prompts=CLICK)
    assert entry["type"] == "video_too_large"


def h264(side: int, count: int) -> bytes:
    data = io.BytesIO()
    with av.open(data, "w", format="h264") as out:
        video = out.add_stream("libx264", rate=10, options={"preset": "ultrafast"})
        video.width, video.height, video.pix_fmt = side, side, "yuv420p"
        grey = np.full((side * 3 // 2, side), 90, np.uint8)
        for _ in range(count):
            out.mux(video.encode(av.VideoFrame.from_ndarray(grey, format="yuv420p")))
        out.mux(video.encode(None))
    return data.getvalue()


@pytest.fixture(scope="module")
def growing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A film of 64x64 that says so, whose last picture has 2048x2048."""
    path = tmp_path_factory.mktemp("growing") / "growing.mkv"
    parts = [av.open(io.BytesIO(data), format="h264") for data in (h264(64, 20), h264(2048, 1))]
    with parts[0] as small, parts[1] as large, av.open(str(path), "w") as out:
        stream = out.add_stream_from_template(small.streams.video[0])
        packets = [packet for part in (small, large) for packet in part.demux(video=0) if packet.size]
        for index, packet in enumerate(packets):
            packet.stream, packet.time_base = stream, Fraction(1, 10)
            packet.pts, packet.dts, packet.duration = index, index, 1
            out.mux(packet)
    with av.open(str(path)) as film:
        assert (film.streams.video[0].width, film.streams.video[0].height) == (64, 64)
    return path


def test_a_picture_that_grows_on_the_way_is_not_decoded(growing: Path) -> None:
    """It counts as damaged: FFmpeg refuses its size before there is memory for it."""
    assert [len(picture) for picture in pictures(growing)] == [64] * 20 + [2048], "without a limit"
    with VideoReader(growing, max_pixels=1000 * 1000) as film:
        assert len(list(film)) == 20


def test_an_archive_is_nothing_that_is_unpacked(server: Server, tmp_path: Path) -> None:
    """`boundingbox_zip` is a switch: zips are written here and never read."""
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as bomb:
        bomb.writestr("x", bytes(64 * MIB))
    with Web() as web:
        url = web.serve("/bomb.zip", path.read_bytes())
        entry = refused(server, "fal-ai/sam2/video", video_url=url, prompts=CLICK)
        assert entry["type"] == "unsupported_video_format"
        given: Any = {"prompts": CLICK, "boundingbox_zip": url}
        entry = refused(server, "fal-ai/sam2/video", video_url=url, **given)
        assert entry["loc"] == ["body", "boundingbox_zip"]
        assert web.asked == ["/bomb.zip"]


def test_a_film_that_breaks_off_is_read_as_far_as_it_goes(growing: Path, tmp_path: Path) -> None:
    data = growing.read_bytes()
    short = tmp_path / "short.mkv"
    short.write_bytes(data[: len(data) - 2000])
    with VideoReader(short) as film:
        assert 18 <= len(list(film)) <= 20
    short.write_bytes(data[:200])
    with pytest.raises(CommandError):
        VideoReader(short)
