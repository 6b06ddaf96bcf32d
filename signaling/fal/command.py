"""`livemask keys create | list | revoke`: the API keys, in the database of the server."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from sqlalchemy.exc import SQLAlchemyError

from signaling.command import CommandError
from signaling.fal.database import Database
from signaling.fal.keys import Keys
from signaling.fal.settings import FalSettings, read_fal_settings
from signaling.fal.settings import add_arguments as add_data_dir
from signaling.fal.tables import Key
from signaling.rights import SCOPES


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verbs and their flags. The database is the server's: --data-dir or LIVEMASK_FAL_DATABASE_URL."""
    add_data_dir(parser)
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="create | list | revoke")
    create = verbs.add_parser("create", help="make a key and print it, the only time it is seen")
    create.add_argument("--name", default="", help="what it is for")
    create.add_argument(
        "--scopes", default="run", help=f"comma-separated, out of {', '.join(SCOPES)} (default: run)"
    )
    create.add_argument(
        "--max-jobs", type=int, help="requests waiting or running, and live sessions, at once"
    )
    create.add_argument("--max-rate", type=int, help="requests a minute")
    create.add_argument("--max-bytes", type=int, help="bytes kept in the storage")
    verbs.add_parser("list", help="show the keys, without their secrets")
    revoke = verbs.add_parser("revoke", help="refuse a key from now on")
    revoke.add_argument("id", help="the part of the key before the colon")


def run(arguments: argparse.Namespace) -> int:
    """Raises CommandError: scopes or an id that do not exist, a database that cannot be opened."""
    with opened_keys(read_fal_settings(arguments, os.environ)) as keys:
        VERBS[arguments.verb](keys, arguments)
    return 0


@contextmanager
def opened_keys(settings: FalSettings) -> Iterator[Keys]:
    """The keys of a server that may be running, or not yet.

    Raises:
        CommandError: the database cannot be opened.
    """
    try:
        database = Database(settings.database)
    except (OSError, ValueError, SQLAlchemyError, ImportError) as error:
        raise CommandError(f"the database cannot be opened: {error}") from None
    try:
        database.migrate()
        yield Keys(database)
    except SQLAlchemyError as error:
        raise CommandError(f"the database cannot be used: {_first_line(error)}") from None
    finally:
        database.close()


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)


def _create(keys: Keys, arguments: argparse.Namespace) -> None:
    scopes = [scope.strip() for scope in arguments.scopes.split(",") if scope.strip()]
    try:
        key = keys.create(
            arguments.name,
            scopes,
            max_jobs=arguments.max_jobs,
            max_rate=arguments.max_rate,
            max_bytes=arguments.max_bytes,
        )
    except ValueError as error:
        raise CommandError(str(error)) from None
    print(key)


def _list(keys: Keys, arguments: argparse.Namespace) -> None:
    for key in keys.list():
        print(_line(key))


def _revoke(keys: Keys, arguments: argparse.Namespace) -> None:
    if not keys.revoke(arguments.id):
        raise CommandError(f"there is no key {arguments.id} in force")


def _line(key: Key) -> str:
    made = datetime.fromtimestamp(key.created_at, UTC).date().isoformat()
    state = "revoked" if key.revoked_at is not None else "in force"
    limits = [f"{name} {value}" for name, value in _limits(key) if value is not None]
    return "  ".join((key.id, made, state, ",".join(key.scopes), *limits, key.name)).rstrip()


def _limits(key: Key) -> tuple[tuple[str, int | None], ...]:
    return ("jobs", key.max_jobs), ("rate", key.max_rate), ("bytes", key.max_bytes)


VERBS = {"create": _create, "list": _list, "revoke": _revoke}
