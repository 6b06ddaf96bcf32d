"""The files that a request made: into the storage, and into the answer as fal's File objects."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

from signaling.fal.settings import MIB, FalSettings
from signaling.fal.storage import NewFile, Storage
from signaling.fal.tables import File, Job
from signaling.fal.work import Made

INLINE_BYTES = 32 * MIB


def file_url(origin: str, file: File) -> str:
    return f"{origin}/files/{file.id}/{file.name}"


class Outbox:
    """Publishes what a request made, in its owner's name."""

    def __init__(self, storage: Storage, settings: FalSettings) -> None:
        self._storage = storage
        self._settings = settings

    async def publish(self, body: dict[str, Any], job: Job, *, sync_mode: bool) -> dict[str, Any]:
        """The answer with every `Made` replaced by a File object.

        With `sync_mode` small files are carried in the answer as data URIs; those above 32 MiB keep a URL.

        Raises:
            FalError: 413, the quota is used up.
        """
        published: dict[str, Any] = {}
        for name, value in body.items():
            if isinstance(value, Made):
                published[name] = await self._file(value, job, sync_mode)
            elif isinstance(value, list) and value and isinstance(value[0], Made):
                published[name] = [await self._file(made, job, sync_mode) for made in value]
            else:
                published[name] = value
        return published

    async def forget(self, job: Job) -> None:
        """Delete what an earlier try published."""
        await self._storage.forget_outputs(job.id)

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
        file = await self._storage.add(new, made.path, self._settings.key_bytes)
        return {"url": file_url(job.origin, file), **answer}
