"""Downloads on behalf of clients: where they may go, how much they may bring, and what they must be."""

from __future__ import annotations

import socket
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import httpx
import pytest
from harness import LOOPBACK, Server
from test_video import data_uri, refused

from signaling.fal.addresses import AddressRefused, may_call
from signaling.fal.errors import FalError
from signaling.fal.fetch import Fetcher, UrlRefused, check_url
from signaling.fal.settings import FalSettings
from signaling.fal.sniff import sniff
from web import Web

PRIVATE = (
    "127.0.0.1", "127.8.8.8", "0.0.0.0", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254",
    "100.64.0.1", "192.0.0.1", "198.18.0.1", "224.0.0.1", "255.255.255.255", "::", "::1", "fe80::1",
    "fc00::1", "fd00:ec2::254", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "64:ff9b::a00:1",
    "2002:7f00:1::", "ff02::1", "2001:db8::1",
)  # fmt: skip


@pytest.mark.parametrize("address", PRIVATE)
def test_addresses_that_are_nobodys_business(address: str) -> None:
    assert not may_call(ip_address(address), ())


@pytest.mark.parametrize("address", ["1.1.1.1", "93.184.216.34", "2606:4700:4700::1111", "::ffff:1.1.1.1"])
def test_public_addresses(address: str) -> None:
    assert may_call(ip_address(address), ())


def test_the_operator_may_allow_a_network() -> None:
    allowed = (ip_network("10.0.0.0/8"),)
    assert may_call(ip_address("10.1.2.3"), allowed)
    assert may_call(ip_address("::ffff:10.1.2.3"), allowed)
    assert not may_call(ip_address("192.168.1.1"), allowed)


@pytest.mark.parametrize(
    "url",
    ["file:///etc/passwd", "ftp://h/x", "gopher://h", "//h/x", "http://", "http://u:p@h/", "http://h:0/",
     "http://h/a b", "http://h/\r\nx", "x" * 3000, "concat:a|b", "http://[::1", "rtsp://h/x",
     "http://a..b/x", "http://" + "a" * 70 + ".org/", "http://\ud800.org/", "http://h/\ud800"],
)  # fmt: skip
def test_urls_that_are_refused(url: str) -> None:
    with pytest.raises(UrlRefused):
        check_url(url)


@pytest.mark.parametrize(
    ("url", "called"),
    [
        ("https://example.org:8443/a/b.mp4?x=1&y=a%20b#t", "https://example.org:8443/a/b.mp4?x=1&y=a%20b"),
        ("http://bücher.example/ä.mp4?ö=1", "http://xn--bcher-kva.example/%C3%A4.mp4?%C3%B6=1"),
        ("http://127。0。0。1/x", "http://127.0.0.1/x"),
        ("http://[2001:db8::1]:80/x", "http://[2001:db8::1]:80/x"),
        ("http://h/%zz/[a]{b}", "http://h/%zz/[a]%7Bb%7D"),
    ],
)
def test_addresses_in_any_script_are_called_in_ascii(url: str, called: str) -> None:
    assert check_url(url) == called


@pytest.fixture
async def open_fetcher(tmp_path: Path) -> AsyncIterator[Fetcher]:
    """May call loopback, at most 10 kB and 2 s."""
    settings = FalSettings(tmp_path, allow_networks=LOOPBACK, fetch_bytes=10_000, fetch_seconds=2)
    fetcher = Fetcher(settings)
    yield fetcher
    await fetcher.close()


async def reason(fetcher: Fetcher, url: str, path: Path) -> dict[str, Any]:
    with pytest.raises(FalError) as caught:
        await fetcher.download(url, path, ("video_url",))
    assert caught.value.status == 422
    assert isinstance(caught.value.detail, list)
    (entry,) = caught.value.detail
    assert entry["loc"] == ["body", "video_url"]
    return entry


async def test_downloads_follow_redirects_within_limits(open_fetcher: Fetcher, tmp_path: Path) -> None:
    with Web() as web:
        there = web.serve("/there", b"x" * 100)
        hop = web.serve("/hop", b"", 302, Location="/there")
        assert await open_fetcher.download(hop, tmp_path / "a", ("video_url",)) == 100
        assert (tmp_path / "a").read_bytes() == b"x" * 100
        loop = web.serve("/loop", b"", 302, Location=web.url + "/loop")
        assert "redirects" in (await reason(open_fetcher, loop, tmp_path / "b"))["msg"]
        assert len([path for path in web.asked if path == "/loop"]) == 6
        script = web.serve("/file", b"", 302, Location="file:///etc/passwd")
        assert "http" in (await reason(open_fetcher, script, tmp_path / "b"))["msg"]
        assert await open_fetcher.download(there, tmp_path / "a", ("video_url",)) == 100


async def test_a_redirect_into_the_house_is_refused(tmp_path: Path) -> None:
    """The first host is allowed, the one it points to is not."""
    allowed = (ip_network("127.0.0.1/32"),)
    fetcher = Fetcher(FalSettings(tmp_path, allow_networks=allowed))
    with Web() as web:
        hop = web.serve("/hop", b"", 302, Location=web.url.replace("127.0.0.1", "127.0.0.2") + "/secret")
        entry = await reason(fetcher, hop, tmp_path / "x")
        assert "not a public address" in entry["msg"]
        assert web.asked == ["/hop"]
    await fetcher.close()


async def test_a_name_that_changes_its_mind_gains_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DNS rebinding: the address that was judged is the one that is called."""
    real, asked = socket.getaddrinfo, []

    def rebinding(host: str, *args: Any, **kwargs: Any) -> Any:
        if host != "rebind.example":
            return real(host, *args, **kwargs)
        asked.append(host)
        return real("127.0.0.1" if len(asked) > 1 else "192.0.2.1", *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", rebinding)
    fetcher = Fetcher(FalSettings(tmp_path, allow_networks=(ip_network("192.0.2.0/24"),), fetch_seconds=1))
    with Web() as web:
        url = web.serve("/secret", b"secret").replace("127.0.0.1", "rebind.example")
        await reason(fetcher, url, tmp_path / "x")
        assert web.asked == []
        assert len(asked) == 1
        entry = await reason(fetcher, url, tmp_path / "x")
        assert "not a public address" in entry["msg"]
    await fetcher.close()


async def test_where_a_webhook_goes_is_judged_at_every_delivery(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that led to a place that may be called, and later leads into the house."""
    real, answers = socket.getaddrinfo, ["127.0.0.1", "127.0.0.2", "169.254.169.254", "127.0.0.1"]

    def moving(host: str, *args: Any, **kwargs: Any) -> Any:
        return real(answers.pop(0) if host == "hook.example" else host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", moving)
    fetcher = Fetcher(FalSettings(tmp_path, allow_networks=(ip_network("127.0.0.1/32"),)))
    with Web() as web:
        url = f"{web.url}/hook".replace("127.0.0.1", "hook.example")
        headers = [(b"content-length", b"2")]
        assert await fetcher.post(url, headers, b"{}", 10) == 200
        for _ in range(2):
            with pytest.raises(AddressRefused, match=r"hook\.example is not a public address"):
                await fetcher.post(url, headers, b"{}", 10)
        assert await fetcher.post(url, headers, b"{}", 10) == 200
        assert web.posted == ["/hook", "/hook"]
    await fetcher.close()


async def test_size_time_and_status_are_bounded(open_fetcher: Fetcher, tmp_path: Path) -> None:
    with Web() as web:
        assert (await reason(open_fetcher, web.serve("/big", b"x" * 10_001), tmp_path / "x"))[
            "type"
        ] == "file_too_large"
        lying = web.serve("/lying", b"x" * 20_000, Content_Length="20000", Transfer_Encoding="identity")
        assert (await reason(open_fetcher, lying, tmp_path / "x"))["type"] in (
            "file_too_large",
            "file_download_error",
        )
        assert "404" in (await reason(open_fetcher, web.url + "/none", tmp_path / "x"))["msg"]
        packed = web.serve("/gzip", b"x", Content_Encoding="gzip")
        assert "compressed" in (await reason(open_fetcher, packed, tmp_path / "x"))["msg"]
        web.pages["/slow"] = lambda: (time.sleep(5), (200, {}, b"late"))[1]  # type: ignore[func-returns-value]
        assert (
            "longer than 2 seconds" in (await reason(open_fetcher, web.url + "/slow", tmp_path / "x"))["msg"]
        )
    assert "connection failed" in (await reason(open_fetcher, "http://127.0.0.1:9/x", tmp_path / "x"))["msg"]


def test_private_addresses_are_refused_by_default(tiny_checkpoint: Any, tmp_path: Path) -> None:
    server = Server(tmp_path / "data", tiny_checkpoint).start()
    try:
        with Web() as web:
            url = web.serve("/clip.mp4", b"x")
            for target in (
                url,
                url.replace("127.0.0.1", "localhost"),
                "http://169.254.169.254/latest/meta-data",
            ):
                entry = refused(server, "fal-ai/sam2/video", video_url=target, prompts=[{"x": 1, "y": 1}])
                assert entry["type"] == "file_download_error"
                assert "not a public address" in entry["msg"]
            assert web.asked == []
            hook = {"fal_webhook": f"{web.url}/hook"}
            httpx.post(f"{server.url}/queue/fal-ai/sam2/video", json={}, params=hook)
            time.sleep(1)
            assert web.caught == []
    finally:
        server.stop()


@pytest.mark.parametrize(
    "data",
    [b"#EXTM3U\n#EXTINF:1\nfile:///etc/passwd\n", b"ffconcat version 1.0\nfile /etc/passwd\n", b"<MPD></MPD>",
     b"<svg/>", b"", b"\x00" * 64, b"RIFF\0\0\0\0WAVEfmt "],
)  # fmt: skip
def test_what_could_name_other_files_is_no_video(data: bytes) -> None:
    assert sniff(data) is None


def test_a_playlist_that_calls_itself_a_video_is_refused(server: Server) -> None:
    with Web() as web:
        url = web.serve("/x.mp4", b"#EXTM3U\n#EXTINF:1\nfile:///etc/passwd\n", Content_Type="video/mp4")
        entry = refused(server, "fal-ai/sam2/video", video_url=url, prompts=[{"x": 1, "y": 1}])
        assert entry["type"] == "unsupported_video_format"
        assert "video/mp4" in entry["ctx"]["supported_formats"]


def test_broken_videos_are_the_callers_fault(server: Server, clip: Path) -> None:
    whole = clip.read_bytes()
    with Web() as web:
        for name, data in {"head": whole[:300], "noise": whole[:40] + bytes(5000)}.items():
            url = web.serve(f"/{name}.mp4", data)
            entry = refused(server, "fal-ai/sam2/video", video_url=url, prompts=[{"x": 1, "y": 1}])
            assert entry["type"] == "unsupported_video_format"
            assert str(server.data_dir) not in entry["msg"]


def test_too_long_and_too_large_videos_are_refused(tiny_checkpoint: Any, clip: Path, tmp_path: Path) -> None:
    from test_video import upload

    base = Server(tmp_path / "data", tiny_checkpoint, fal={"video_seconds": 0.5, "image_pixels": 100})
    server = base.start()
    try:
        url = upload(server, clip, "video/mp4")
        entry = refused(server, "fal-ai/sam2/video", video_url=url, prompts=[{"x": 1, "y": 1}])
        assert entry["type"] == "video_duration_too_long"
        server.service.runner._settings = replace(server.service.settings, video_seconds=99, video_pixels=100)
        entry = refused(server, "fal-ai/sam2/video", video_url=url, prompts=[{"x": 1, "y": 1}])
        assert entry["type"] == "video_too_large"
        import numpy as np

        picture = data_uri(np.zeros((20, 20), np.uint8))
        entry = refused(server, "fal-ai/sam2/image", image_url=picture, prompts=[{"x": 1, "y": 1}])
        assert entry["type"] == "image_too_large"
    finally:
        server.stop()
