"""The schema, on SQLite and on PostgreSQL: made, upgraded with rows in it, taken back."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Timer
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import Connection, MetaData, inspect, select

from signaling.fal import database as module
from signaling.fal.database import Database
from signaling.fal.tables import Base, File, Job, Key, Log, Part, SigningKey, Webhook

FIRST = "0001"
# One row of each table as the first version of the schema had them.
ROWS: dict[str, dict[str, Any]] = {
    "keys": {
        "id": "key", "name": "kaméra", "hash": "f" * 64, "scopes": ["run", "view"], "max_jobs": 3,
        "max_rate": None, "max_bytes": 1 << 40, "created_at": 1.5, "revoked_at": None,
    },
    "jobs": {
        "sequence": 7, "id": "job", "endpoint": "fal-ai/sam2/video", "owner": "key", "origin": "http://here",
        "status": "COMPLETED", "priority": 1, "input": {"prompts": [{"x": 1}]}, "max_tries": 3, "tries": 1,
        "cancel_requested": False, "webhook_url": "http://hook", "keep_io": True, "http_status": 200,
        "result": {"rle": ["1 2"]}, "created_at": 1.0, "expires_at": 1e10,
    },
    "job_logs": {"id": 3, "job_id": "job", "message": "a line", "level": "INFO", "timestamp": 2.0},
    "files": {
        "id": "file", "owner": "key", "job_id": "job", "name": "x.mp4", "content_type": "video/mp4",
        "size": 1 << 33, "ready": True, "created_at": 1.0, "expires_at": None,
    },
    "file_parts": {"file_id": "file", "number": 2, "etag": "e", "size": 5},
    "webhooks": {"job_id": "job", "url": "http://hook", "tries": 1, "next_at": 9.0},
    "signing_keys": {"id": "sign", "private": bytes(range(32)), "created_at": 1.0},
}  # fmt: skip


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    opened = Database(database_url)
    yield opened
    opened.close()


def differences(database: Database) -> list[Any]:
    with database.engine.connect() as connection:
        return list(compare_metadata(MigrationContext.configure(connection), Base.metadata))


def step(connection: Connection, verb: Any, revision: str) -> None:
    """Alembic's `upgrade` or `downgrade`, as `Database.migrate` calls it."""
    config = Config()
    config.set_main_option("script_location", str(Path(module.__file__).with_name("migrations")))
    config.attributes["connection"] = connection
    verb(config, revision)


def test_an_empty_database_gets_the_tables_of_the_code(database: Database) -> None:
    database.migrate()
    assert differences(database) == []
    database.migrate()
    assert differences(database) == [], "twice is once"


def test_rows_of_the_first_version_live_on(database: Database) -> None:
    with database.engine.begin() as connection:
        step(connection, command.upgrade, FIRST)
        first = MetaData()
        first.reflect(connection)
        assert set(first.tables) == {*ROWS, "alembic_version"}
        for table in first.sorted_tables:
            if table.name in ROWS:
                connection.execute(table.insert().values(ROWS[table.name]))
    database.migrate()
    assert differences(database) == []
    for table in (Key, Job, Log, File, Part, Webhook, SigningKey):
        (row,) = database.read(lambda session, table=table: session.scalars(select(table)).all())  # type: ignore[misc]
        was = ROWS[table.__tablename__]
        assert {name: getattr(row, name) for name in was} == was
    database.write(lambda session: session.add(Log(job_id="job", message="m", level="INFO", timestamp=3.0)))
    lines = database.read(lambda session: session.scalars(select(Log.message)).all())
    assert sorted(lines) == ["a line", "m"]


def test_servers_that_start_at_once_migrate_once(database_url: str) -> None:
    databases = [Database(database_url) for _ in range(4)]
    with ThreadPoolExecutor(4) as threads:
        for done in [threads.submit(each.migrate) for each in databases]:
            done.result(timeout=60)
    assert differences(databases[0]) == []
    for each in databases:
        each.close()


def test_a_server_waits_while_another_makes_the_file(tmp_path: Path) -> None:
    """SQLite does not wait when a file that is being written gets its write-ahead log."""
    other = sqlite3.connect(tmp_path / "jobs.db", isolation_level=None, check_same_thread=False)
    other.execute("CREATE TABLE made (x)")
    other.execute("BEGIN IMMEDIATE")
    late = Timer(0.3, other.execute, ("COMMIT",))
    late.start()
    database = Database(f"sqlite:///{tmp_path / 'jobs.db'}")
    database.migrate()
    assert not late.is_alive()
    assert set(inspect(database.engine).get_table_names()) == {*ROWS, "alembic_version", "made"}
    database.close()
    other.close()


def test_it_can_be_taken_back(database: Database) -> None:
    database.migrate()
    with database.engine.begin() as connection:
        step(connection, command.downgrade, "base")
    assert inspect(database.engine).get_table_names() == ["alembic_version"]
