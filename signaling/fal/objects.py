"""The object store: bytes by file id, on local disk, S3, Google Cloud or Azure. Knows no database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import obstore
from obstore.exceptions import NotFoundError
from obstore.store import from_url

from signaling.fal.settings import MIB


class Objects:
    """What is stored under `url` (`s3://bucket/prefix`, `gs://`, `az://`), or in `folder` without one."""

    def __init__(self, url: str, folder: Path) -> None:
        # Only the local store takes `mkdir`; the type checker sees the union of all of them.
        if url:
            self._store = from_url(url)
        else:
            self._store = from_url(folder.absolute().as_uri(), mkdir=True)

    async def put(self, file_id: str, path: Path) -> None:
        """Store the bytes of a local file; they can be read when all of them are there."""
        await asyncio.to_thread(obstore.put, self._store, _key(file_id), path)

    async def put_part(self, file_id: str, number: int, path: Path) -> None:
        """Store one part of a file that is sent in parts."""
        await asyncio.to_thread(obstore.put, self._store, _part_key(file_id, number), path)

    async def join(self, file_id: str, numbers: Sequence[int]) -> None:
        """Make the file out of its parts, in this order; they stay."""
        await asyncio.to_thread(self._join, _key(file_id), [_part_key(file_id, each) for each in numbers])

    async def read(self, file_id: str, start: int, end: int) -> AsyncIterator[bytes]:
        """The bytes from `start` up to, not including, `end`."""
        if start >= end:
            return
        answer = await obstore.get_async(self._store, _key(file_id), options={"range": (start, end)})
        async for chunk in answer.stream(min_chunk_size=MIB):
            yield bytes(chunk)

    async def erase_parts(self, file_id: str, numbers: Sequence[int]) -> None:
        """Delete parts; those that are not there do not matter."""
        await asyncio.to_thread(self._erase, [_part_key(file_id, number) for number in numbers])

    async def erase(self, file_id: str, numbers: Sequence[int]) -> None:
        """Delete a file and its parts; what is not there does not matter."""
        await asyncio.to_thread(self._erase, [_key(file_id)])
        await self.erase_parts(file_id, numbers)

    def _join(self, whole: str, keys: Sequence[str]) -> None:
        with obstore.open_writer(self._store, whole) as sink:
            for key in keys:
                for chunk in obstore.get(self._store, key).stream(min_chunk_size=MIB):
                    sink.write(chunk)

    def _erase(self, keys: Sequence[str]) -> None:
        for key in keys:
            try:
                obstore.delete(self._store, key)
            except (NotFoundError, FileNotFoundError):
                continue


def _key(file_id: str) -> str:
    return f"files/{file_id[:2]}/{file_id}"


def _part_key(file_id: str, number: int) -> str:
    return f"parts/{file_id}/{number:05d}"
