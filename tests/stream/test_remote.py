"""Videos behind http: a real server, real files, and the hosts that may be asked."""

from __future__ import annotations

import asyncio
import functools
import http.server
import ipaddress
import threading
from collections.abc import Iterator
from fractions import Fraction
from math import inf
from pathlib import Path

import av
import numpy as np
import pytest
from scene import ColourEngine, Kept

from stream.session import Session
from stream.sources.address import SourceError
from stream.sources.file import FileSource
from stream.sources.remote import RemoteFile

LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"),)


class Handler(http.server.SimpleHTTPRequestHandler):
    """Files, byte ranges of them, redirects (/to/URL), and files for viewer:p@ss alone (/locked/NAME)."""

    def log_message(self, *_: object) -> None:
        """Be quiet."""

    def do_GET(self) -> None:
        if self.path.startswith("/to/"):
            self.send_response(302)
            self.send_header("Location", self.path.removeprefix("/to/"))
            self.end_headers()
            return
        if self.path.startswith("/locked/") and self.headers["Authorization"] != "Basic dmlld2VyOnBAc3M=":
            self.send_error(401)
            return
        path = Path(self.directory) / self.path.removeprefix("/locked").lstrip("/")
        if not path.is_file():
            self.send_error(404)
            return
        data, start = path.read_bytes(), int(self.headers["Range"].removeprefix("bytes=").rstrip("-"))
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        self.send_header("Content-Length", str(len(data) - start))
        self.end_headers()
        self.wfile.write(data[start:])


def film(path: Path, size: tuple[int, int], times: list[int], pix_fmt: str = "yuv420p") -> None:
    """A picture at each of `times` (milliseconds)."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1" if path.suffix == ".mkv" else "libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = *size, pix_fmt
        stream.codec_context.time_base = Fraction(1, 1000)
        for number, moment in enumerate(times):
            rgb = np.full((size[1], size[0], 3), 30 + 20 * number, np.uint8)
            frame = av.VideoFrame.from_ndarray(rgb, format="rgb24").reformat(format=pix_fmt)
            frame.pts, frame.time_base = moment, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    handler = functools.partial(Handler, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as serving:
        thread = threading.Thread(target=serving.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{serving.server_address[1]}"
        serving.shutdown()


async def test_a_film_behind_a_url_plays_to_its_end_as_fast_as_it_is_taken(
    tmp_path: Path, server: str
) -> None:
    """A slow engine gets every picture of an uneven, odd-sized, 10-bit film, under the film's own times."""
    times = [0, 40, 500, 520, 2500]
    film(tmp_path / "a.mkv", (65, 49), times, "yuv420p10le")
    opened = functools.partial(RemoteFile, f"{server}/to/{server}/a.mkv", LOOPBACK)
    engine, kept = ColourEngine(seconds=0.02), Kept()
    session = Session(FileSource(opened, speed=inf), engine.step, [kept], on_demand=True)  # type: ignore[arg-type]
    assert await asyncio.wait_for(session.run(), 60) == "source ended"
    assert engine.frames == [0, 1, 2, 3, 4]
    assert [round((shown.frame.pts or 0) * 1000) for shown in kept.shown] == times
    assert kept.shown[0].image.shape == (72, 64)
    assert session.stats.dropped_in == 0


def test_a_part_in_the_middle_can_be_asked_for(tmp_path: Path, server: str) -> None:
    (tmp_path / "a.bin").write_bytes(bytes(range(200)))
    with RemoteFile(f"{server}/a.bin", LOOPBACK) as remote:
        assert remote.read(3) == b"\x00\x01\x02"
        assert remote.seek(-2, 2) == 198
        assert remote.read() == b"\xc6\xc7"
        assert remote.read(5) == b""


def test_a_password_opens_and_is_given_to_nobody_else(tmp_path: Path, server: str) -> None:
    (tmp_path / "a.bin").write_bytes(b"abc")
    login = server.replace("://", "://viewer:p%40ss@")
    with RemoteFile(f"{login}/locked/a.bin", LOOPBACK) as remote:
        assert remote.read() == b"abc"
    for url in (f"{server}/locked/a.bin", f"{login}/to/{server}/locked/a.bin"):
        with pytest.raises(SourceError) as caught:
            RemoteFile(url, LOOPBACK)
        assert caught.value.code == "UNAUTHORIZED"
        assert "p@ss" not in str(caught.value)


def test_hosts_that_are_not_allowed_are_not_asked_even_by_redirect(server: str) -> None:
    for url in (f"{server}/to/http://[::1]:1/x", "http://10.1.2.3/x"):
        with pytest.raises(SourceError) as caught:
            RemoteFile(url, LOOPBACK)
        assert caught.value.code == "NOT_ALLOWED"
    with pytest.raises(SourceError) as caught:
        RemoteFile(f"{server}/to/file:///etc/passwd", LOOPBACK)
    assert caught.value.code == "BAD_URL"
    with pytest.raises(SourceError) as caught:
        RemoteFile(f"{server}/gone.mp4", LOOPBACK)
    assert caught.value.code == "NOT_FOUND"
