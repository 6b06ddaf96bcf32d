"""The fal-compatible service as one object: its parts, in the order in which they start and stop."""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import shutil
import time
import uuid
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from signaling.command import CommandError
from signaling.fal.access import Access
from signaling.fal.bells import Bells
from signaling.fal.database import PRIVATE, Database
from signaling.fal.fetch import Fetcher
from signaling.fal.inbox import Inbox
from signaling.fal.jobs import Jobs
from signaling.fal.keys import Keys
from signaling.fal.outbox import Outbox
from signaling.fal.runner import Runner
from signaling.fal.settings import FalSettings
from signaling.fal.signing import Signer
from signaling.fal.storage import Storage
from signaling.fal.webhooks import Webhooks
from signaling.fal.work import Lane
from signaling.keyring import KeyRing
from signaling.rights import Principal

logger = logging.getLogger("livemask.fal")

TICK_SECONDS = 0.5
SWEEP_TICKS = 60


class FalService:
    """Everything behind the routes. `start` before the first request, `stop` after the last.

    Args:
        open_lane: a new tracker on the engine; not called before `ready` is true.
        call: something else with the model, on the engine's thread (`Worker.call`).
        ready: whether the model is loaded; requests wait in the queue until then.
        model: its name, for messages.
        ring: the keys of the service, to which those of the database are added.

    Raises (`occupy`, `start`):
        CommandError: another server uses the data directory.
    """

    def __init__(
        self,
        settings: FalSettings,
        *,
        open_lane: Callable[[], Lane],
        call: Callable[[Callable[[Any], Any]], Future[Any]],
        ready: Callable[[], bool],
        model: Callable[[], str],
        ring: KeyRing,
    ) -> None:
        self.settings = settings
        self.open_lane, self.call = open_lane, call
        self.ready, self.model = ready, model
        self.ring = ring
        self.bells = Bells()
        self._lock: IO[str] | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._errands: set[asyncio.Task[object]] = set()

    def occupy(self) -> None:
        """Take the data directory now, while a refusal still ends the command with one line."""
        self._server, self._lock = _occupy(self.settings.data_dir)

    async def start(self) -> None:
        settings = self.settings
        if self._lock is None:
            await asyncio.to_thread(self.occupy)
        self.name = f"{self._server}:{uuid.uuid4().hex[:8]}"
        self.database = Database(settings.database)
        await self.database.call(self.database.migrate)
        self.signer = await self.database.call(Signer, self.database)
        self.keys = Keys(self.database)
        self.ring.stored = self._stored_key
        self.access = Access(self.ring, self.database, self.keys, self.signer)
        self.jobs = Jobs(self.database, keep_seconds=settings.job_seconds)
        self.storage = Storage(self.database, settings)
        self.fetcher = Fetcher(settings)
        self.inbox = Inbox(self.storage, self.fetcher, settings)
        self.webhooks = Webhooks(settings, self.database, self.fetcher, self.signer, self.bells, self.name)
        self.runner = Runner(
            settings,
            self.jobs,
            self.inbox,
            Outbox(self.storage),
            self.bells,
            self.open_lane,
            self.call,
            self.model,
            self.name,
        )
        await self._recover(f"{self._server}:")
        self._tasks = [asyncio.create_task(self._begin_when_ready()), asyncio.create_task(self._tick())]
        self._tasks.append(asyncio.create_task(self.webhooks.run()))

    async def stop(self) -> None:
        """Running requests go back into the queue; the next start runs them."""
        for task in self._tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        await asyncio.gather(*self._errands, return_exceptions=True)
        await self.runner.stop()
        await self.fetcher.close()
        await asyncio.to_thread(self.database.close)
        if self._lock is not None:
            self._lock.close()

    def spawn(self, work: Coroutine[Any, Any, object]) -> None:
        """Do something that must not end with the request it came from."""
        task = asyncio.create_task(work)
        self._errands.add(task)
        task.add_done_callback(self._errands.discard)

    async def cancel(self, job_id: str) -> str:
        """Cancel a request, waiting or running; says what it was, as `Jobs.cancel`."""
        found = await self.jobs.cancel(job_id, time.time())
        self.runner.cancel(job_id)
        self.bells.ring(job_id)
        self.bells.ring("webhooks")
        return found

    async def _stored_key(self, credential: str) -> Principal | None:
        return await self.database.call(self.keys.check, credential)

    async def _recover(self, dead: str) -> None:
        """What the last process of this data directory left when it died."""
        ids = await self.jobs.recover(dead, time.time())
        await self.webhooks.recover(dead)
        if ids:
            logger.warning("requests that were running when the server died: %s", ", ".join(ids))

    async def _begin_when_ready(self) -> None:
        while not self.ready():  # noqa: ASYNC110 (the engine's thread knows no event loop)
            await asyncio.sleep(0.05)
        self.runner.start()

    async def _tick(self) -> None:
        """Time-outs of the queue, leases of dead servers, and now and then what has expired."""
        ticks = 0
        while True:
            try:
                now = time.time()
                changed = await self.jobs.give_up_waiting(now)
                changed += await self.jobs.recover("\0", now)
                for job_id in changed:
                    self.bells.ring(job_id)
                if ticks % SWEEP_TICKS == 0:
                    await self.storage.sweep(now)
                    await self.jobs.purge(now)
            except Exception:
                logger.exception("the housekeeping failed; it will be tried again")
            ticks += 1
            await asyncio.sleep(TICK_SECONDS)


def _occupy(folder: Path) -> tuple[str, IO[str]]:
    """Take the data directory for this process: the server's lasting id, and the lock to hold.

    The system frees the lock when the process ends, however it ends; so whoever gets it knows that the
    requests marked as running under this id are nobody's.
    """
    folder.mkdir(mode=PRIVATE, parents=True, exist_ok=True)
    lock = (folder / "server.lock").open("a+")
    lock.seek(0)
    server, _, holder = lock.read().strip().partition("\n")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.close()
        who = f"another server (process {holder})" if holder else "another server"
        raise CommandError(f"{folder} is used by {who}; give this one its own with --data-dir") from None
    server = server or uuid.uuid4().hex
    lock.truncate(0)
    lock.write(f"{server}\n{os.getpid()}")
    lock.flush()
    shutil.rmtree(folder / "work", ignore_errors=True)
    return server, lock
