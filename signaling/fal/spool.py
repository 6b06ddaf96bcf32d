"""Bytes on their way in: from a client to the work directory, bounded, before they enter the store."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from signaling.fal.errors import FalError
from signaling.fal.settings import MIB


@dataclass(frozen=True, slots=True)
class Spooled:
    """Received bytes: where they lie, how many they are, and their MD5 (the ETag of S3 and of fal)."""

    path: Path
    size: int
    etag: str


class Spool:
    """Receives into `folder`; what breaks off leaves nothing there."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def receive(self, body: AsyncIterator[bytes], limit: int) -> Spooled:
        """Take bytes from a client.

        Raises:
            FalError: 413, more than `limit` bytes.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / secrets.token_hex(16)
        size, digest, waiting = 0, hashlib.md5(usedforsecurity=False), bytearray()
        try:
            with path.open("wb") as sink:
                async for chunk in body:
                    size += len(chunk)
                    if size > limit:
                        raise too_large(limit)
                    waiting += chunk
                    if len(waiting) >= MIB:
                        await asyncio.to_thread(_append, sink, digest, bytes(waiting))
                        waiting.clear()
                await asyncio.to_thread(_append, sink, digest, bytes(waiting))
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        return Spooled(path, size, digest.hexdigest())


def too_large(limit: int) -> FalError:
    return FalError(413, f"The file is larger than the {limit} bytes that may be uploaded", "file_too_large")


def _append(sink: BinaryIO, digest: hashlib._Hash, data: bytes) -> None:
    sink.write(data)
    digest.update(data)
