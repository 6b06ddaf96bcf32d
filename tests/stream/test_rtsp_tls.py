"""Cameras behind TLS: the certificate is checked by us before, and by FFmpeg as well."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from certificates import certificate
from rtsp import RtspCamera as Camera
from rtsp import rtsp_camera
from watching import QUICK, watching

from stream.sources.address import SourceError, read_address
from stream.sources.reader import Reader
from stream.sources.rtsp import RtspCamera, RtspSource


@pytest.fixture
async def camera(tmp_path: Path) -> AsyncIterator[Camera]:
    """One with a certificate of its own making, `tmp_path / "cert.pem"`."""
    paths = certificate(tmp_path)
    whole = tmp_path / "whole.pem"
    whole.write_bytes(b"".join(path.read_bytes() for path in paths))
    async with rtsp_camera("--tls", str(whole)) as running:
        yield running


async def test_a_certificate_that_is_trusted_or_not_asked_for_lets_pictures_through(
    camera: Camera, tmp_path: Path
) -> None:
    async with watching(camera.url, authorities=str(tmp_path / "cert.pem")) as watch:
        await watch.until(lambda: len(watch.pictures) >= 3)
    async with watching(camera.url, verify=False) as watch:
        await watch.until(lambda: len(watch.pictures) >= 3)
        assert watch.source.status()["state"] == "live"


async def test_a_certificate_of_nobody_we_know_is_refused(camera: Camera, tmp_path: Path) -> None:
    other, _ = certificate(tmp_path, stem="other")
    for authorities in (None, str(other)):
        async with watching(camera.url, authorities=authorities) as watch:
            assert await watch.error() == "UNREACHABLE"
            assert "CERTIFICATE_VERIFY_FAILED" in watch.source.status()["error"]


async def test_a_certificate_for_another_host_is_refused(tmp_path: Path) -> None:
    paths = certificate(tmp_path, host="10.0.0.1")
    whole = tmp_path / "whole.pem"
    whole.write_bytes(b"".join(path.read_bytes() for path in paths))
    async with (
        rtsp_camera("--tls", str(whole)) as camera,
        watching(camera.url, authorities=str(paths[0])) as watch,
    ):
        assert await watch.error() == "UNREACHABLE"


async def test_ffmpeg_checks_by_itself(camera: Camera, tmp_path: Path) -> None:
    """It connects a second time, where somebody else may answer."""
    other, _ = certificate(tmp_path, stem="other")
    wanted = RtspCamera(read_address(camera.url, ("rtsps",)), limits=QUICK, authorities=str(other))
    reader = Reader(wanted.address, RtspSource("gate", wanted)._options(), QUICK)
    with pytest.raises(SourceError) as refused:
        await asyncio.wait_for(reader.next(), 30)
    assert refused.value.code == "BROKEN"
