"""The queue's table, on SQLite and on PostgreSQL: exclusive claims, leases, bounded tries, purging."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace

import pytest
from sqlalchemy import select, text

from signaling.fal.database import Database
from signaling.fal.errors import FalError
from signaling.fal.jobs import Jobs, Limits, NewJob, Outcome
from signaling.fal.tables import COMPLETED, IN_PROGRESS, IN_QUEUE, KEPT, File

NEW = NewJob("fal-ai/sam2/video", "me", "http://here", {"video_url": "x"})
LIMITS = Limits(owner_jobs=50, all_jobs=100)
DONE = Outcome(200, {"video": "y"})


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    opened = Database(database_url)
    opened.migrate()
    yield opened
    opened.close()


@pytest.fixture
def jobs(database: Database) -> Jobs:
    return Jobs(database, keep_seconds=1000)


async def test_two_servers_never_get_the_same_request(jobs: Jobs) -> None:
    wanted = {(await jobs.submit(NEW, LIMITS, 0)).id for _ in range(12)}
    claimed = await asyncio.gather(*(jobs.claim(f"server-{n % 2}", 1, 10) for n in range(16)))
    ids = [job.id for job in claimed if job]
    assert len(ids) == len(set(ids)) == 12
    assert set(ids) == wanted


async def test_order_is_priority_then_age(jobs: Jobs) -> None:
    names = [(await jobs.submit(replace(NEW, priority=p), LIMITS, 0)).id for p in (0, 1, 2, 1)]
    order = [(await jobs.claim("a", 1, 10)).id for _ in names]  # type: ignore[union-attr]
    assert order == [names[2], names[1], names[3], names[0]]


async def test_a_dead_servers_request_runs_again_a_bounded_number_of_times(jobs: Jobs) -> None:
    job = await jobs.submit(replace(NEW, max_tries=2, webhook_url="http://hook"), LIMITS, 0)
    await jobs.claim("dead:1", 1, 10)
    assert await jobs.recover("alive:", 5) == []
    assert await jobs.recover("dead:", 5) == [job.id]
    assert (await jobs.get(job.id)).status == IN_QUEUE  # type: ignore[union-attr]
    assert not await jobs.finish(job.id, "dead:1", DONE, 6), "its answer comes too late"
    await jobs.claim("other:1", 6, 10)
    assert await jobs.recover("dead:", 15) == []
    assert await jobs.recover("dead:", 17) == [job.id], "the lease is over"
    last = await jobs.get(job.id)
    assert last is not None
    assert (last.status, last.http_status, last.error_type) == (COMPLETED, 500, "runner_server_error")


async def test_a_lease_is_prolonged_by_its_owner_alone(jobs: Jobs) -> None:
    job = await jobs.submit(NEW, LIMITS, 0)
    await jobs.claim("a", 0, 10)
    assert await jobs.beat(job.id, "b", 5, 10) is None
    assert (await jobs.beat(job.id, "a", 9, 10)).status == IN_PROGRESS  # type: ignore[union-attr]
    assert await jobs.recover("nobody", 15) == []


async def test_answer_and_webhook_are_one(jobs: Jobs, database: Database) -> None:
    job = await jobs.submit(replace(NEW, webhook_url="http://hook"), LIMITS, 0)
    await jobs.claim("a", 0, 10)
    assert await jobs.finish(job.id, "a", DONE, 3)
    assert not await jobs.finish(job.id, "a", DONE, 4)
    rows = database.read(lambda session: session.execute(text("SELECT job_id, next_at FROM webhooks")).all())
    assert [tuple(row) for row in rows] == [(job.id, 3)]


async def test_limits(jobs: Jobs) -> None:
    few = Limits(owner_jobs=2, all_jobs=3)
    await jobs.submit(NEW, few, 0)
    await jobs.submit(NEW, few, 0)
    with pytest.raises(FalError, match="its limit is 2") as caught:
        await jobs.submit(NEW, few, 0)
    assert caught.value.status == 429
    await jobs.submit(replace(NEW, owner="you"), few, 0)
    with pytest.raises(FalError, match="queue is full"):
        await jobs.submit(replace(NEW, owner="them"), few, 0)


async def test_what_is_old_is_purged(jobs: Jobs, database: Database) -> None:
    old = await jobs.submit(replace(NEW, webhook_url="http://hook"), LIMITS, 0)
    await jobs.claim("a", 0, 10)
    await jobs.log(old.id, [(0.0, "INFO", "a line")])
    await jobs.finish(old.id, "a", DONE, 0)
    waiting = await jobs.submit(NEW, LIMITS, 0)
    assert await jobs.purge(999) == 0
    assert await jobs.purge(1001) == 1
    assert await jobs.get(old.id) is None
    assert await jobs.get(waiting.id) is not None


async def test_an_answer_that_is_not_to_be_kept_goes_soon(jobs: Jobs, database: Database) -> None:
    """And what came with it as data URIs at once."""

    def file(name: str) -> File:
        common = {"owner": "me", "name": "input", "content_type": "", "size": 1, "ready": True}
        return File(id=name, created_at=0.0, expires_at=1e6, **common)

    database.write(lambda session: session.add_all([file("given"), file("other")]))
    given = {"video_url": f"{KEPT}given", "mask_url": "http://there/other", "prompts": [{"x": 1}]}
    job = await jobs.submit(replace(NEW, input=given, keep_io=False), LIMITS, 0)
    await jobs.claim("a", 0, 10)
    await jobs.finish(job.id, "a", DONE, 5)
    times = database.read(
        lambda session: {each.id: each.expires_at for each in session.scalars(select(File))}
    )
    assert times == {"given": 5, "other": 1e6}
    kept = await jobs.get(job.id)
    assert kept is not None
    assert kept.input is None
    assert await jobs.purge(3606) == 1
