"""The workers: take requests from the queue, run them on the engine, write the answers.

A running request holds a lease that is prolonged while this process lives. When it dies, the request is
queued again, by the next start here or by another server that finds the lease expired.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from signaling.fal.bells import Bells
from signaling.fal.endpoints import Endpoint, find_endpoint
from signaling.fal.errors import FalError
from signaling.fal.inbox import Inbox
from signaling.fal.jobs import CANCELLED, Jobs, Outcome
from signaling.fal.outbox import Outbox
from signaling.fal.settings import FalSettings
from signaling.fal.tables import Job
from signaling.fal.work import Cancelled, Lane, Taken, Task

logger = logging.getLogger("livemask.fal")

POLL_SECONDS = 1.0
BEAT_SECONDS = 0.5
BROKEN = FalError(500, "Internal Server Error", "internal_server_error")


@dataclass(slots=True)
class Running:
    """One request while it runs. `stop` is set when it must end; `lines` wait to be written.

    `fetching` is what brings its files, while it does.
    """

    job: Job
    stop: threading.Event = field(default_factory=threading.Event)
    cancelled: bool = False
    lines: list[tuple[float, str, str]] = field(default_factory=list)
    fetching: asyncio.Task[dict[str, Taken]] | None = None

    def halt(self) -> None:
        """End it: at once while its files come, which may be slow, else at the next frame."""
        self.stop.set()
        if self.fetching is not None:
            self.fetching.cancel()

    def say(self, message: str, level: str = "INFO") -> None:
        self.lines.append((time.time(), level, message))


class Runner:
    """`settings.workers` workers over one queue. `name` marks this process's leases."""

    def __init__(
        self,
        settings: FalSettings,
        jobs: Jobs,
        inbox: Inbox,
        outbox: Outbox,
        bells: Bells,
        open_lane: Callable[[], Lane],
        call: Callable[[Callable[[Any], Any]], Future[Any]],
        model: Callable[[], str],
        name: str,
    ) -> None:
        self._settings, self._jobs, self._inbox, self._outbox = settings, jobs, inbox, outbox
        self._bells, self._open_lane, self._call = bells, open_lane, call
        self._model, self._name = model, name
        self._threads = ThreadPoolExecutor(settings.workers, thread_name_prefix="fal")
        self._running: dict[str, Running] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._stopping = False

    @property
    def busy(self) -> int:
        """How many requests run here now."""
        return len(self._running)

    def start(self) -> None:
        self._tasks = [asyncio.create_task(self._work()) for _ in range(self._settings.workers)]

    async def stop(self) -> None:
        """Stop what runs, put it back into the queue as if it had never begun."""
        self._stopping = True
        for running in self._running.values():
            running.halt()
        self._bells.ring()
        await asyncio.gather(*self._tasks)
        self._threads.shutdown(wait=True)

    def cancel(self, job_id: str) -> None:
        """Stop a request, if it runs here."""
        running = self._running.get(job_id)
        if running is not None:
            running.cancelled = True
            running.halt()

    async def _work(self) -> None:
        while not self._stopping:
            try:
                job = await self._jobs.claim(self._name, time.time(), self._settings.lease_seconds)
                if job is None:
                    await self._bells.wait("", POLL_SECONDS)
                else:
                    await self._run(job)
            except Exception:
                logger.exception("a worker of the queue failed; it goes on")
                await asyncio.sleep(POLL_SECONDS)

    async def _run(self, job: Job) -> None:
        running = self._running[job.id] = Running(job)
        running.say(f"{job.endpoint} begins" + (f", try {job.tries}" if job.tries > 1 else ""))
        self._bells.ring(job.id)
        beating = asyncio.create_task(self._beat(running))
        began = time.monotonic()
        try:
            with _folder(self._settings.work_dir / "jobs" / job.id) as folder:
                outcome = await self._outcome(running, folder, began)
        finally:
            beating.cancel()
            self._running.pop(job.id, None)
        if outcome is not None:
            level = "INFO" if outcome.error is None else "ERROR"
            running.say(outcome.error or f"done in {time.monotonic() - began:.2f} s", level)
            await self._flush(running)
            await self._jobs.finish(job.id, self._name, outcome, time.time())
        elif self._stopping:
            await self._jobs.release(job.id, self._name)
        self._bells.ring(job.id)
        self._bells.ring("webhooks")

    async def _outcome(self, running: Running, folder: Path, began: float) -> Outcome | None:
        """How the run ended; None when it was stopped and is not answered here."""
        try:
            body = await self._answer(running, folder)
            return Outcome(200, body, seconds=time.monotonic() - began)
        except FalError as error:
            return Outcome.failed(error, time.monotonic() - began)
        except Cancelled:
            return Outcome.failed(CANCELLED, time.monotonic() - began) if running.cancelled else None
        except Exception:
            logger.exception("request %s failed", running.job.id)
            return Outcome.failed(BROKEN, time.monotonic() - began)

    async def _answer(self, running: Running, folder: Path) -> object:
        job = running.job
        endpoint = find_endpoint(job.endpoint)
        if job.tries > 1:
            await self._outbox.forget(job)
        asked = endpoint.read(job.input, self._model())
        files = await self._fetched(running, self._take(endpoint, asked, job, folder))
        task = Task(self._open_lane, self._call, folder, running.say, running.stop.is_set, self._settings)
        task.check()
        loop = asyncio.get_running_loop()
        body = await loop.run_in_executor(self._threads, endpoint.run, task, asked, files)
        return await self._outbox.publish(body, job, sync_mode=getattr(asked, "sync_mode", False))

    async def _fetched(
        self, running: Running, taking: Coroutine[Any, Any, dict[str, Taken]]
    ) -> dict[str, Taken]:
        """What `taking` brings.

        Raises:
            Cancelled: the request was stopped meanwhile.
        """
        running.fetching = asyncio.create_task(taking)
        if running.stop.is_set():
            running.halt()
        try:
            return await running.fetching
        except asyncio.CancelledError:
            if running.stop.is_set():
                raise Cancelled from None
            raise
        finally:
            running.fetching = None

    async def _take(self, endpoint: Endpoint, asked: object, job: Job, folder: Path) -> dict[str, Taken]:
        taken = {}
        for name, family in endpoint.files.items():
            url = getattr(asked, name)
            if url is not None:
                path = folder / f"{name}.input"
                taken[name] = Taken(path, await self._inbox.take(url, family, path, job.origin, (name,)))
        return taken

    async def _beat(self, running: Running) -> None:
        """Prolong the lease, write the log lines, notice a cancellation."""
        while True:
            await asyncio.sleep(BEAT_SECONDS)
            try:
                job = await self._jobs.beat(
                    running.job.id, self._name, time.time(), self._settings.lease_seconds
                )
                running.cancelled = running.cancelled or bool(job and job.cancel_requested)
                if job is None or running.cancelled:
                    running.halt()
                await self._flush(running)
            except Exception:
                logger.exception("request %s: its lease could not be prolonged", running.job.id)

    async def _flush(self, running: Running) -> None:
        lines, running.lines = running.lines, []
        if lines:
            await self._jobs.log(running.job.id, lines)
            self._bells.ring(running.job.id)


@contextmanager
def _folder(path: Path) -> Iterator[Path]:
    path.mkdir(parents=True, exist_ok=True)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
