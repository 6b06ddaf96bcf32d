"""The files that a request names: data URIs, files of our own storage, and the web. All checked by their
bytes.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import re
import secrets
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import unquote_to_bytes, urlsplit

from signaling.fal.errors import Loc, invalid
from signaling.fal.fetch import Fetcher
from signaling.fal.settings import FalSettings
from signaling.fal.sniff import IMAGES, SNIFF_BYTES, VIDEOS, Media, sniff
from signaling.fal.storage import NewFile, Storage
from signaling.fal.tables import KEPT

STORED_PATH = re.compile(r"(?:/[\w-]+)*/files/([0-9a-f]{32})(?:/[^/]*)?")
CDN_SUFFIX = ".fal.media"


class Inbox:
    """Brings what an input field names onto the local disk."""

    def __init__(self, storage: Storage, fetcher: Fetcher, settings: FalSettings) -> None:
        self._storage = storage
        self._fetcher = fetcher
        self._settings = settings

    async def take(
        self, url: str, family: str, path: Path, origin: str, loc: Loc, limit: int | None = None
    ) -> Media:
        """Save the file at `path` and say what it is.

        Args:
            family: "image" or "video".
            origin: under which address this server was asked; files there are our own.
            limit: bytes that are downloaded at most; None for the setting.

        Raises:
            FalError: 422, it cannot be had or is not of the family.
        """
        if url.startswith("data:"):
            await asyncio.to_thread(path.write_bytes, read_data_uri(url, loc))
        elif (file_id := self._stored_id(url, origin)) is not None:
            await self._copy_stored(file_id, url, path, loc)
        else:
            await self._fetcher.download(url, path, loc, limit)
        return await asyncio.to_thread(check_family, path, family, loc)

    async def read_picture(self, url: str, origin: str, limit: int, loc: Loc) -> bytes:
        """The bytes of a picture, as `take`; not more than `limit` of them are downloaded."""
        folder = self._settings.work_dir / "pictures"
        await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
        path = folder / secrets.token_hex(16)
        try:
            await self.take(url, "image", path, origin, loc, limit)
            return await asyncio.to_thread(path.read_bytes)
        finally:
            path.unlink(missing_ok=True)

    async def keep_data_uri(self, url: str, owner: str, job_seconds: int, loc: Loc) -> str:
        """Move a data URI into the storage, so that the database holds only its address."""
        data = read_data_uri(url, loc)
        spooled = await self._storage.receive(_once(data), len(data))
        new = NewFile(owner, "input", seconds=job_seconds)
        file = await self._storage.reserve(new)
        await self._storage.finish(file.id, spooled)
        return KEPT + file.id

    async def _copy_stored(self, file_id: str, url: str, path: Path, loc: Loc) -> None:
        file = await self._storage.find(file_id)
        if file is None:
            raise invalid(loc, "There is no such file, or it has expired", "file_download_error", got=url)
        await self._storage.copy_to(file, path)

    def _stored_id(self, url: str, origin: str) -> str | None:
        """The id in an address of ours, which is read from the storage and not over the network."""
        if url.startswith(KEPT):
            return url.removeprefix(KEPT)
        try:
            parts = urlsplit(url)
        except ValueError:
            return None
        match = STORED_PATH.fullmatch(parts.path)
        ours = {urlsplit(origin).netloc, urlsplit(self._settings.public_url).netloc}
        return match[1] if match and (parts.netloc in ours or parts.netloc.endswith(CDN_SUFFIX)) else None


def read_data_uri(url: str, loc: Loc) -> bytes:
    """The bytes of `data:[type][;base64],...` (RFC 2397).

    Raises:
        FalError: 422, it is malformed or empty.
    """
    head, comma, body = url.partition(",")
    try:
        if not comma:
            raise ValueError("no comma")
        data = base64.b64decode(body, validate=True) if head.endswith(";base64") else unquote_to_bytes(body)
        if not data:
            raise ValueError("no data")
    except (binascii.Error, ValueError) as error:
        raise invalid(loc, f"Expected a data URI ({error})", "file_download_error", got=url) from None
    return data


def check_family(path: Path, family: str, loc: Loc) -> Media:
    """What a file is.

    Raises:
        FalError: 422 `unsupported_image_format` or `unsupported_video_format`.
    """
    with path.open("rb") as file:
        media = sniff(file.read(SNIFF_BYTES))
    if media is None or media.family != family:
        formats = [known.content_type for known in (IMAGES if family == "image" else VIDEOS)]
        got = media.content_type if media else "something else"
        text = f"Expected {'an image' if family == 'image' else 'a video'} ({', '.join(formats)}), got {got}"
        raise invalid(loc, text, f"unsupported_{family}_format", ctx={"supported_formats": formats})
    return media


async def _once(data: bytes) -> AsyncIterator[bytes]:
    yield data
