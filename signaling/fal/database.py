"""The database: connections, transactions and migrations.

Synchronous SQLAlchemy; the server calls it in a few threads of its own (`call`), so that the command line,
the migrations and the server use one set of functions. It knows no request and no job.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import ParamSpec, TypeVar

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection, DBAPICursor
from sqlalchemy.orm import Session
from sqlalchemy.pool import ConnectionPoolEntry

P = ParamSpec("P")
T = TypeVar("T")
BUSY_MS = 15_000
THREADS = 4
PRIVATE = 0o700
"""Mode of a folder made for data: who may read the database could sign webhooks and tokens."""
MIGRATION_LOCK = 5_281_975


class Database:
    """One database by SQLAlchemy URL: `sqlite:///file` or `postgresql+psycopg://user@host/name`."""

    def __init__(self, url: str) -> None:
        self.url = _with_driver(url)
        self.engine = _sqlite(self.url) if self.url.startswith("sqlite") else _server(self.url)
        self._writing = self.engine.execution_options(livemask_write=True)
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="database")

    def migrate(self) -> None:
        """Bring the schema to the newest version; safe when several servers start at once."""
        logging.getLogger("alembic").setLevel(logging.WARNING)
        config = Config()
        config.set_main_option("script_location", str(Path(__file__).with_name("migrations")))
        with self._writing.begin() as connection:
            if connection.dialect.name == "postgresql":
                connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({MIGRATION_LOCK})")
            config.attributes["connection"] = connection
            command.upgrade(config, "head")

    def read(self, work: Callable[[Session], T]) -> T:
        with Session(self.engine, expire_on_commit=False) as session:
            return work(session)

    def write(self, work: Callable[[Session], T]) -> T:
        """Run `work` in one transaction that holds SQLite's write lock from its start."""
        with Session(self._writing, expire_on_commit=False) as session, session.begin():
            return work(session)

    async def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a function that uses this database in a thread."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, lambda: function(*args, **kwargs))

    async def fetch(self, work: Callable[[Session], T]) -> T:
        """`read` in a thread."""
        return await self.call(self.read, work)

    async def change(self, work: Callable[[Session], T]) -> T:
        """`write` in a thread."""
        return await self.call(self.write, work)

    def close(self) -> None:
        self._pool.shutdown(wait=True)
        self.engine.dispose()


def _with_driver(url: str) -> str:
    parsed = make_url(url)
    if parsed.drivername in ("postgres", "postgresql"):
        parsed = parsed.set(drivername="postgresql+psycopg")
    return parsed.render_as_string(hide_password=False)


def _server(url: str) -> Engine:
    return create_engine(url, pool_size=THREADS + 2, pool_pre_ping=True)


def _sqlite(url: str) -> Engine:
    """SQLite with a write-ahead log: readers never wait, one writer at a time, safe against kill -9.

    `synchronous=FULL` because an accepted job must also survive a power cut.
    """
    path = make_url(url).database
    if not path or path == ":memory:":
        raise ValueError(f"expected sqlite:///path/to/file, got {url!r}: jobs must outlive the process")
    Path(path).parent.mkdir(mode=PRIVATE, parents=True, exist_ok=True)
    engine = create_engine(url, connect_args={"timeout": BUSY_MS / 1000, "isolation_level": None})

    @event.listens_for(engine, "connect")
    def prepare(connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
        cursor = connection.cursor()
        _write_ahead(cursor)
        for pragma in ("synchronous=FULL", "foreign_keys=ON", f"busy_timeout={BUSY_MS}"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        writing = connection.get_execution_options().get("livemask_write", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")

    return engine


def _write_ahead(cursor: DBAPICursor) -> None:
    """Turn the write-ahead log on.

    Where several connections do that to a new file at once, SQLite refuses one of them on the spot, lest they
    wait for each other: the busy timeout does not apply, and the statement has to be said again.

    Raises:
        sqlite3.OperationalError: the file was locked for the whole of `BUSY_MS`, or cannot be opened.
    """
    until = time.monotonic() + BUSY_MS / 1000
    while True:
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                raise
            time.sleep(0.01)
        else:
            return
