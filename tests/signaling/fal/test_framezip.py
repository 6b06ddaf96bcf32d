from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from signaling.fal import framezip
from signaling.fal.framezip import FrameZip


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "frames.zip"
    with FrameZip(path) as written:
        written.write("frame_000000.jpg", b"\xff\xd8 one")
        written.write("zwei ü.jpg", b"")
    with zipfile.ZipFile(path) as read:
        assert read.testzip() is None
        assert read.namelist() == ["frame_000000.jpg", "zwei ü.jpg"]
        assert read.read("frame_000000.jpg") == b"\xff\xd8 one"
    assert list(tmp_path.iterdir()) == [path]


def test_an_empty_one_is_one(tmp_path: Path) -> None:
    FrameZip(tmp_path / "frames.zip").close()
    with zipfile.ZipFile(tmp_path / "frames.zip") as read:
        assert read.namelist() == []


def test_more_members_than_the_old_format_counts(tmp_path: Path) -> None:
    """An hour has 108,000 frames, the old format 65,535 members."""
    count = 70_000
    with FrameZip(tmp_path / "frames.zip") as written:
        for index in range(count):
            written.write(f"{index}", b"x")
    with zipfile.ZipFile(tmp_path / "frames.zip") as read:
        assert len(read.namelist()) == count
        assert read.read(f"{count - 1}") == b"x"


def test_more_bytes_than_the_old_format_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if 100 bytes were the 4 GiB of the old format."""
    monkeypatch.setattr(framezip, "MAX32", 100)
    with FrameZip(tmp_path / "frames.zip") as written:
        for index in range(3):
            written.write(f"{index}", bytes([index]) * 80)
    data = (tmp_path / "frames.zip").read_bytes()
    # The real reader knows 0xffffffff alone as the sign to look further.
    for at in _offsets_of_100(data):
        data = data[:at] + b"\xff\xff\xff\xff" + data[at + 4 :]
    (tmp_path / "patched.zip").write_bytes(data)
    with zipfile.ZipFile(tmp_path / "patched.zip") as read:
        assert [read.read(f"{index}") for index in range(3)] == [bytes([index]) * 80 for index in range(3)]


def _offsets_of_100(data: bytes) -> list[int]:
    """Where a member's place, or the list's, is given as 100."""
    found, at = [], data.find(b"PK\1\2")
    while at >= 0:
        found.append(at + 42)
        at = data.find(b"PK\1\2", at + 1)
    found.append(data.rfind(b"PK\5\6") + 16)
    return [at for at in found if data[at : at + 4] == b"d\0\0\0"]
