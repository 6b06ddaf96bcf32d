"""The files that a request made: into the storage, and into the answer as fal's File objects."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

from signaling.fal.errors import FalError
from signaling.fal.settings import MIB
from signaling.fal.storage import NewFile, Storage
from signaling.fal.tables import File, Job
from signaling.fal.work import Made

INLINE_BYTES = 32 * MIB


def file_url(origin: str, file: File) -> str:
    return f"{origin}/files/{file.id}/{file.name}"


class Outbox:
    """Publishes what a request made, in its owner's name."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    async def publish(self, body: dict[str, Any], job: Job, *, sync_mode: bool) -> dict[str, Any]:
        """The answer with every `Made` replaced by a File object.

        With `sync_mode` small files are carried in the answer as data URIs; those above 32 MiB keep a URL.

        Raises:
            FalError: 413, the owner's quota is used up; nothing of the answer is kept then.
        """
        try:
            return {name: await self._published(value, job, sync_mode) for name, value in body.items()}
        except FalError:
            await self.forget(job)
            raise

    async def forget(self, job: Job) -> None:
        """Delete what an earlier try published."""
        await self._storage.forget_outputs(job.id)

    async def _published(self, value: Any, job: Job, sync_mode: bool) -> Any:
        if isinstance(value, Made):
            return await self._file(value, job, sync_mode)
        if isinstance(value, list) and value and isinstance(value[0], Made):
            return [await self._file(made, job, sync_mode) for made in value]
        return value

    async def _file(self, made: Made, job: Job, sync_mode: bool) -> dict[str, Any]:
        size = await asyncio.to_thread(lambda: made.path.stat().st_size)
        answer: dict[str, Any] = {
            "content_type": made.content_type,
            "file_name": made.path.name,
            "file_size": size,
        }
        if made.width is not None:
            answer |= {"width": made.width, "height": made.height}
        if sync_mode and size <= INLINE_BYTES:
            data = base64.b64encode(await asyncio.to_thread(made.path.read_bytes)).decode()
            return {"url": f"data:{made.content_type};base64,{data}", **answer}
        new = NewFile(job.owner, made.path.name, made.content_type, job.file_seconds, job.id)
        file = await self._storage.add(new, made.path)
        return {"url": file_url(job.origin, file), **answer}
