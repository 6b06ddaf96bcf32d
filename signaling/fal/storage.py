"""Files: uploads, outputs of jobs and their lifecycles, on any object store (local disk, S3, GCS, Azure).

Bytes are spooled to the work directory first, bounded, and enter the store only when they are complete, so
a broken upload leaves nothing there. A file's id is 128 random bits: whoever knows its address may read it,
as on fal's CDN. It knows no HTTP.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from signaling.fal.database import Database
from signaling.fal.errors import FalError
from signaling.fal.objects import Objects
from signaling.fal.settings import DAY, FalSettings
from signaling.fal.spool import Spool, Spooled, too_large
from signaling.fal.tables import File, Key, Part

UNFINISHED_SECONDS = DAY
NAME_CHARACTERS = 200
MAX_PARTS = 10_000
ANYTHING = "application/octet-stream"


@dataclass(frozen=True, slots=True)
class NewFile:
    """What is known of a file before its bytes. `seconds`: how long it is kept, None for the default."""

    owner: str
    name: str
    content_type: str = ANYTHING
    seconds: int | None = None
    job_id: str | None = None


class Storage:
    """The files of one server. The owner's quota and the total are checked when a file becomes ready.

    The quota is the `max_bytes` of the owner's key, `settings.key_bytes` where there is none.
    """

    def __init__(self, database: Database, settings: FalSettings) -> None:
        self._database = database
        self._settings = settings
        self._spool = Spool(settings.work_dir / "uploads")
        self._objects = Objects(settings.files_url, settings.data_dir / "files")

    async def reserve(self, new: NewFile) -> File:
        """Make the row of a file whose bytes will follow."""
        now = time.time()
        seconds = self._settings.file_seconds if new.seconds is None else new.seconds
        file = File(
            id=secrets.token_hex(16),
            owner=new.owner,
            job_id=new.job_id,
            name=safe_name(new.name),
            content_type=new.content_type[:120],
            size=0,
            ready=False,
            created_at=now,
            expires_at=now + seconds if seconds > 0 else None,
        )
        await self._database.change(lambda session: session.add(file))
        return file

    async def receive(self, body: AsyncIterator[bytes], limit: int) -> Spooled:
        """Take bytes from a client into the work directory.

        Raises:
            FalError: 413, more than one upload or than `limit` bytes.
        """
        return await self._spool.receive(body, min(self._settings.upload_bytes, limit))

    async def finish(self, file_id: str, spooled: Spooled) -> File:
        """Put received bytes in the store and make the file readable. The spool file is consumed.

        Raises:
            FalError: 413, over the quota; the file is gone then.
        """
        try:
            await self._objects.put(file_id, spooled.path)
        finally:
            spooled.path.unlink(missing_ok=True)
        return await self._make_ready(file_id, spooled.size)

    async def add(self, new: NewFile, path: Path) -> File:
        """Store a file that we made; `path` stays where it is.

        Raises:
            FalError: 413, over the quota; the file is gone then.
        """
        file = await self.reserve(new)
        await self._objects.put(file.id, path)
        size = await asyncio.to_thread(lambda: path.stat().st_size)
        return await self._make_ready(file.id, size)

    async def add_part(self, file_id: str, number: int, spooled: Spooled) -> Part:
        """Keep one part of a multipart upload, replacing an earlier one of the same number.

        Raises:
            FalError: 400, a number outside 1..10000 or a file that is complete; 413, parts too large
            together.
        """
        try:
            if not 1 <= number <= MAX_PARTS:
                raise FalError(400, f"part: expected 1..{MAX_PARTS}, got {number}", "bad_request")
            part = Part(file_id=file_id, number=number, etag=spooled.etag, size=spooled.size)
            await self._database.change(lambda session: self._keep_part(session, part))
            await self._objects.put_part(file_id, number, spooled.path)
        finally:
            spooled.path.unlink(missing_ok=True)
        return part

    async def complete(self, file_id: str, numbers: Sequence[int]) -> File:
        """Join the parts in the order of their numbers.

        Raises:
            FalError: 400, parts that were not sent; 413, over the quota.
        """
        query = select(Part).where(Part.file_id == file_id).order_by(Part.number)
        parts = await self._database.fetch(lambda session: session.scalars(query).all())
        sent = [part.number for part in parts]
        wanted = sorted(set(numbers)) or sent
        if not wanted or not set(wanted) <= set(sent):
            raise FalError(400, f"parts: expected numbers out of {sent}, got {wanted}", "bad_request")
        size = sum(part.size for part in parts if part.number in wanted)
        await self._objects.join(file_id, wanted)
        file = await self._make_ready(file_id, size)
        await self._objects.erase_parts(file_id, sent)
        return file

    async def find(self, file_id: str) -> File | None:
        """A readable file that has not expired."""
        file = await self._database.fetch(lambda session: session.get(File, file_id))
        return file if file and file.ready and not _expired(file, time.time()) else None

    async def pending(self, file_id: str) -> File | None:
        """A file that still waits for its bytes."""
        file = await self._database.fetch(lambda session: session.get(File, file_id))
        return file if file and not file.ready else None

    def read(self, file: File, start: int, end: int) -> AsyncIterator[bytes]:
        """The bytes from `start` up to, not including, `end`."""
        return self._objects.read(file.id, start, end)

    async def copy_to(self, file: File, path: Path) -> None:
        """Write a stored file to a local path."""
        with path.open("wb") as sink:
            async for chunk in self.read(file, 0, file.size):
                await asyncio.to_thread(sink.write, chunk)

    async def room(self, owner: str) -> int:
        """Bytes that the owner may still add.

        Raises:
            FalError: 413 when there is no room.
        """
        left = await self._database.fetch(lambda session: self._left(session, owner))
        if left <= 0:
            raise over_quota()
        return left

    async def forget_outputs(self, job_id: str) -> None:
        """Delete what an earlier try of a job left behind."""
        query = select(File.id).where(File.job_id == job_id)
        await self._remove(await self._database.fetch(lambda session: session.scalars(query).all()))

    async def sweep(self, now: float) -> int:
        """Delete expired files, and uploads that nobody finished. Returns how many."""
        old = (File.expires_at < now) | (~File.ready & (File.created_at < now - UNFINISHED_SECONDS))
        query = select(File.id).where(old).limit(500)
        ids = await self._database.fetch(lambda session: session.scalars(query).all())
        await self._remove(ids)
        return len(ids)

    async def _remove(self, ids: Sequence[str]) -> None:
        for file_id in ids:
            numbers = await self._database.fetch(partial(_numbers, file_id=file_id))
            await self._objects.erase(file_id, numbers)
            # The row goes last: a crash in between leaves something that the next sweep finds.
            await self._database.change(partial(_delete_row, file_id=file_id))

    async def _make_ready(self, file_id: str, size: int) -> File:
        def work(session: Session) -> File | None:
            file = session.get(File, file_id)
            assert file is not None
            if size > self._left(session, file.owner, besides=file_id):
                return None
            file.size, file.ready = size, True
            return file

        file = await self._database.change(work)
        if file is None:
            await self._remove([file_id])
            raise over_quota()
        return file

    def _left(self, session: Session, owner: str, besides: str = "") -> int:
        """Bytes until the quota of the owner, or of all together, is reached; negative beyond it."""
        key = session.get(Key, owner)
        quota = (key.max_bytes if key else None) or self._settings.key_bytes
        mine, everybody = _used(session, owner, besides)
        return min(quota - mine, self._settings.storage_bytes - everybody)

    def _keep_part(self, session: Session, part: Part) -> None:
        file = session.get(File, part.file_id, with_for_update=True)
        if file is None or file.ready:
            raise FalError(400, "This upload is complete or was given up", "bad_request")
        others = select(func.sum(Part.size)).where(Part.file_id == part.file_id, Part.number != part.number)
        if int(session.scalar(others) or 0) + part.size > self._settings.upload_bytes:
            raise too_large(self._settings.upload_bytes)
        session.merge(part)


def safe_name(name: str) -> str:
    """A file name as it may stand in a URL: the last component, letters, digits and `._-` only."""
    last = name.replace("\\", "/").rsplit("/", 1)[-1]
    kept = "".join(char if char.isascii() and (char.isalnum() or char in "._-") else "_" for char in last)
    return kept.lstrip(".")[-NAME_CHARACTERS:] or "file"


def over_quota() -> FalError:
    return FalError(
        413, "The storage quota is used up; delete files or wait until some expire", "quota_exceeded"
    )


def _used(session: Session, owner: str, besides: str) -> tuple[int, int]:
    """Bytes that the owner and all together keep, parts of unfinished uploads among them."""
    files = select(func.sum(File.size)).where(File.id != besides)
    parts = select(func.sum(Part.size)).join(File, File.id == Part.file_id)
    parts = parts.where(~File.ready, File.id != besides)
    mine = [session.scalar(query.where(File.owner == owner)) or 0 for query in (files, parts)]
    everybody = [session.scalar(query) or 0 for query in (files, parts)]
    return int(sum(mine)), int(sum(everybody))


def _numbers(session: Session, file_id: str) -> Sequence[int]:
    return session.scalars(select(Part.number).where(Part.file_id == file_id)).all()


def _delete_row(session: Session, file_id: str) -> None:
    file = session.get(File, file_id)
    if file is not None:
        for part in session.scalars(select(Part).where(Part.file_id == file_id)):
            session.delete(part)
        session.flush()
        session.delete(file)


def _expired(file: File, now: float) -> bool:
    return file.expires_at is not None and file.expires_at < now
