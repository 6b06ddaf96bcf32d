"""What a file is, by its first bytes, whatever its name or its server says. Pure."""

from __future__ import annotations

from dataclasses import dataclass

SNIFF_BYTES = 64


@dataclass(frozen=True, slots=True)
class Media:
    """A kind of file that we read: MIME type, "image" or "video", and libav's or Pillow's name of the
    format.
    """

    content_type: str
    family: str
    format: str
    suffix: str


PNG = Media("image/png", "image", "PNG", ".png")
JPEG = Media("image/jpeg", "image", "JPEG", ".jpg")
WEBP = Media("image/webp", "image", "WEBP", ".webp")
BMP = Media("image/bmp", "image", "BMP", ".bmp")
GIF = Media("image/gif", "video", "gif", ".gif")
MP4 = Media("video/mp4", "video", "mov", ".mp4")
MOV = Media("video/quicktime", "video", "mov", ".mov")
WEBM = Media("video/webm", "video", "matroska", ".webm")
AVI = Media("video/x-msvideo", "video", "avi", ".avi")
MPEG_TS = Media("video/mp2t", "video", "mpegts", ".ts")
IMAGES = (PNG, JPEG, WEBP, BMP)
VIDEOS = (MP4, MOV, WEBM, AVI, MPEG_TS, GIF)
# ISO base media brands that are still pictures (HEIF, AVIF), which we do not read.
STILL_BRANDS = (b"heic", b"heix", b"mif1", b"msf1", b"avif", b"avis")


def sniff(head: bytes) -> Media | None:
    """The kind of a file that begins with `head` (64 bytes do), None when it is none that we read.

    Text formats that name other files (HLS, DASH, concat) are none, which keeps libav from following them.
    """
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return PNG
    if head.startswith(b"\xff\xd8\xff"):
        return JPEG
    if head.startswith((b"GIF87a", b"GIF89a")):
        return GIF
    if head.startswith(b"\x1aE\xdf\xa3"):
        return WEBM
    if head.startswith(b"RIFF"):
        return {b"WEBP": WEBP, b"AVI ": AVI}.get(head[8:12])
    if head[4:8] == b"ftyp":
        return None if head[8:12] in STILL_BRANDS else MOV if head[8:12] == b"qt  " else MP4
    if head[4:8] in (b"moov", b"mdat", b"wide", b"free"):
        return MOV
    if head.startswith(b"BM") and len(head) > 14 and head[6:10] == b"\0\0\0\0":
        return BMP
    return MPEG_TS if head[:1] == b"G" and _is_transport_stream(head) else None


def _is_transport_stream(head: bytes) -> bool:
    """Sync byte, then a plausible header: no transport error, adaptation field control not reserved."""
    return len(head) >= 4 and not head[1] & 0x80 and bool(head[3] & 0x30)
