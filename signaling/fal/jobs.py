"""The queue: requests and their states in the database, one transaction per verb.

It knows no endpoint and runs nothing. A result and its webhook are written in one transaction, so neither
exists without the other. Times are `time.time()` and always given, so that tests need no clock.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, delete, func, or_, select, update
from sqlalchemy.orm import Session

from signaling.fal.database import Database
from signaling.fal.errors import FalError
from signaling.fal.tables import COMPLETED, IN_PROGRESS, IN_QUEUE, KEPT, File, Job, Log, Webhook

PRIORITIES = {"low": 0, "normal": 1, "high": 2}
UNKEPT_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class NewJob:
    """A request to be queued. `start_deadline`: when it must have begun (seconds since 1970)."""

    endpoint: str
    owner: str
    origin: str
    input: Any
    priority: int = PRIORITIES["normal"]
    start_deadline: float | None = None
    max_tries: int = 3
    webhook_url: str | None = None
    file_seconds: int | None = None
    keep_io: bool = True


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a job ended: what its result GET answers."""

    http_status: int
    result: Any
    error: str | None = None
    error_type: str | None = None
    seconds: float | None = None

    @classmethod
    def failed(cls, error: FalError, seconds: float | None = None) -> Outcome:
        return cls(error.status, error.body, error.message, error.kind, seconds)


@dataclass(frozen=True, slots=True)
class Limits:
    """What `submit` refuses: jobs of one owner, jobs of all (waiting or running)."""

    owner_jobs: int
    all_jobs: int


CANCELLED = FalError(499, "The request was cancelled by the client", "client_cancelled")
NOT_STARTED = FalError(504, "The request did not start within its x-fal-request-timeout", "request_timeout")
DIED = FalError(500, "The server died while running the request, on every try", "runner_server_error")


class Jobs:
    """Verbs on the tables of jobs and logs."""

    def __init__(self, database: Database, *, keep_seconds: float) -> None:
        self._database = database
        self._keep_seconds = keep_seconds

    async def submit(self, new: NewJob, limits: Limits, now: float, outcome: Outcome | None = None) -> Job:
        """Queue a request; with an `outcome` (its input was refused) it is completed from the start.

        Raises:
            FalError: 429, too many jobs of this owner or of all.
        """

        def work(session: Session) -> Job:
            _admit(session, new.owner, limits)
            job = Job(
                id=str(uuid.uuid4()),
                endpoint=new.endpoint,
                owner=new.owner,
                origin=new.origin,
                status=IN_QUEUE,
                priority=new.priority,
                input=new.input,
                start_deadline=new.start_deadline,
                max_tries=new.max_tries,
                tries=0,
                cancel_requested=False,
                webhook_url=new.webhook_url,
                file_seconds=new.file_seconds,
                keep_io=new.keep_io,
                result=None,
                created_at=now,
                expires_at=now + self._keep_seconds,
            )
            session.add(job)
            session.flush()
            if outcome is not None:
                self._complete(session, job, outcome, now)
            return job

        return await self._database.change(work)

    async def get(self, job_id: str) -> Job | None:
        return await self._database.fetch(lambda session: session.scalar(select(Job).where(Job.id == job_id)))

    async def position(self, job: Job) -> int:
        """How many waiting jobs run before this one."""
        ahead = select(func.count()).where(
            Job.status == IN_QUEUE,
            or_(Job.priority > job.priority, (Job.priority == job.priority) & (Job.sequence < job.sequence)),
        )
        return await self._database.fetch(lambda session: session.scalar(ahead) or 0)

    async def claim(self, owner: str, now: float, lease: float) -> Job | None:
        """Take the next job to run: highest priority, then oldest. Two servers never get the same."""

        def work(session: Session) -> Job | None:
            job = session.scalar(_next().with_for_update(skip_locked=True))
            if job is None:
                return None
            job.status, job.started_at = IN_PROGRESS, now
            job.tries += 1
            job.lease_owner, job.lease_until = owner, now + lease
            return job

        return await self._database.change(work)

    async def beat(self, job_id: str, owner: str, now: float, lease: float) -> Job | None:
        """Prolong the lease; the job as it is now (see `cancel_requested`), None when it is not ours."""

        def work(session: Session) -> Job | None:
            job = session.scalar(_owned(job_id, owner))
            if job is not None:
                job.lease_until = now + lease
            return job

        return await self._database.change(work)

    async def finish(self, job_id: str, owner: str, outcome: Outcome, now: float) -> bool:
        """Write the answer and queue its webhook; False when the job is not ours any more."""

        def work(session: Session) -> bool:
            job = session.scalar(_owned(job_id, owner))
            if job is not None:
                self._complete(session, job, outcome, now)
            return job is not None

        return await self._database.change(work)

    async def release(self, job_id: str, owner: str) -> None:
        """Put a running job back as if it had never been claimed (the server is shutting down)."""
        values = {"status": IN_QUEUE, "lease_owner": None, "lease_until": None, "tries": Job.tries - 1}
        statement = update(Job).where(Job.id == job_id, Job.lease_owner == owner, Job.status == IN_PROGRESS)
        await self._database.change(lambda session: session.execute(statement.values(values)))

    async def cancel(self, job_id: str, now: float) -> str:
        """Returns "missing", "completed" (too late), "cancelled" (it waited) or "requested" (it runs)."""

        def work(session: Session) -> str:
            job = session.scalar(select(Job).where(Job.id == job_id).with_for_update())
            if job is None:
                return "missing"
            if job.status == COMPLETED:
                return "completed"
            job.cancel_requested = True
            if job.status == IN_PROGRESS:
                return "requested"
            self._complete(session, job, Outcome.failed(CANCELLED), now)
            return "cancelled"

        return await self._database.change(work)

    async def recover(self, dead: str, now: float) -> list[str]:
        """Queue again what dead servers were running: leases of owners named `dead...`, and expired ones.

        A job out of tries is completed with an error instead. Returns the ids.
        """

        def work(session: Session) -> list[str]:
            orphaned = or_(Job.lease_owner.startswith(dead, autoescape=True), Job.lease_until < now)
            jobs = session.scalars(
                select(Job).where(Job.status == IN_PROGRESS, orphaned).with_for_update()
            ).all()
            for job in jobs:
                if job.cancel_requested:
                    self._complete(session, job, Outcome.failed(CANCELLED), now)
                elif job.tries >= job.max_tries:
                    self._complete(session, job, Outcome.failed(DIED), now)
                else:
                    job.status, job.lease_owner, job.lease_until = IN_QUEUE, None, None
            return [job.id for job in jobs]

        return await self._database.change(work)

    async def give_up_waiting(self, now: float) -> list[str]:
        """Complete the jobs that had to start by now and did not. A job that once ran has started."""

        def work(session: Session) -> list[str]:
            late = select(Job).where(Job.status == IN_QUEUE, Job.start_deadline < now, Job.tries == 0)
            jobs = session.scalars(late.with_for_update(skip_locked=True)).all()
            for job in jobs:
                self._complete(session, job, Outcome.failed(NOT_STARTED), now)
            return [job.id for job in jobs]

        return await self._database.change(work)

    async def log(self, job_id: str, lines: Sequence[tuple[float, str, str]]) -> None:
        """Append (timestamp, level, message)."""
        rows = [Log(job_id=job_id, timestamp=when, level=level, message=text) for when, level, text in lines]
        await self._database.change(lambda session: session.add_all(rows))

    async def logs(self, job_id: str, after: int = 0) -> Sequence[Log]:
        """Lines in order, those with an id above `after`."""
        query = select(Log).where(Log.job_id == job_id, Log.id > after).order_by(Log.id)
        return await self._database.fetch(lambda session: session.scalars(query).all())

    async def purge(self, now: float) -> int:
        """Delete the requests whose time is over, and hand their files to the sweeper. Returns how many."""

        def work(session: Session) -> int:
            old = select(Job.id).where(Job.status == COMPLETED, Job.expires_at < now)
            ids = list(session.scalars(old.limit(500)))
            for table in (Log, Webhook):
                session.execute(delete(table).where(table.job_id.in_(ids)))
            session.execute(
                update(File).where(File.job_id.in_(ids), File.expires_at.is_(None)).values(expires_at=now)
            )
            session.execute(delete(Job).where(Job.id.in_(ids)))
            return len(ids)

        return await self._database.change(work)

    def _complete(self, session: Session, job: Job, outcome: Outcome, now: float) -> None:
        job.status, job.completed_at = COMPLETED, now
        job.lease_owner, job.lease_until = None, None
        job.http_status, job.result = outcome.http_status, outcome.result
        job.error, job.error_type = outcome.error, outcome.error_type
        job.inference_seconds = outcome.seconds
        job.expires_at = now + (self._keep_seconds if job.keep_io else UNKEPT_SECONDS)
        if not job.keep_io:
            _expire(session, _kept_files(job.input), now)
            job.input = None
        if job.webhook_url:
            session.add(Webhook(job_id=job.id, url=job.webhook_url, tries=0, next_at=now))


def _next() -> Select[Job]:
    return select(Job).where(Job.status == IN_QUEUE).order_by(Job.priority.desc(), Job.sequence).limit(1)


def _owned(job_id: str, owner: str) -> Select[Job]:
    return (
        select(Job)
        .where(Job.id == job_id, Job.lease_owner == owner, Job.status == IN_PROGRESS)
        .with_for_update()
    )


def _kept_files(given: Any) -> list[str]:
    """The ids of the files that came with an input as data URIs."""
    values = given.values() if isinstance(given, dict) else ()
    return [value.removeprefix(KEPT) for value in values if isinstance(value, str) and value.startswith(KEPT)]


def _expire(session: Session, file_ids: Sequence[str], now: float) -> None:
    """Hand files to the sweeper."""
    if file_ids:
        session.execute(update(File).where(File.id.in_(file_ids)).values(expires_at=now))


def _admit(session: Session, owner: str, limits: Limits) -> None:
    active = select(func.count()).where(Job.status.in_((IN_QUEUE, IN_PROGRESS)))
    mine = session.scalar(active.where(Job.owner == owner)) or 0
    if mine >= limits.owner_jobs:
        text = f"This key has {mine} requests waiting or running, its limit is {limits.owner_jobs}"
        raise FalError(429, text, "too_many_requests", {"retry-after": "5"})
    everybody = session.scalar(active) or 0
    if everybody >= limits.all_jobs:
        raise FalError(
            429, f"The queue is full ({everybody} requests)", "too_many_requests", {"retry-after": "5"}
        )
