"""`livemask keys create | list | revoke`: the API keys, in the database of the server."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime

from signaling.command import CommandError
from signaling.fal.database import Database
from signaling.fal.keys import SCOPES, Keys
from signaling.fal.settings import FalSettings
from signaling.fal.tables import Key


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verbs and their flags. The database is the server's: LIVEMASK_FAL_DATA_DIR,
    LIVEMASK_FAL_DATABASE_URL.
    """
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="create | list | revoke")
    create = verbs.add_parser("create", help="make a key and print it, the only time it is seen")
    create.add_argument("--name", default="", help="what it is for")
    create.add_argument(
        "--scopes", default="run", help=f"comma-separated, out of {', '.join(SCOPES)} (default: run)"
    )
    create.add_argument("--max-jobs", type=int, help="requests waiting or running at once")
    create.add_argument("--max-rate", type=int, help="requests a minute")
    create.add_argument("--max-bytes", type=int, help="bytes kept in the storage")
    verbs.add_parser("list", help="show the keys, without their secrets")
    revoke = verbs.add_parser("revoke", help="refuse a key from now on")
    revoke.add_argument("id", help="the part of the key before the colon")


def run(arguments: argparse.Namespace) -> int:
    """Raises CommandError: scopes or an id that do not exist, a database that cannot be opened."""
    database = Database(FalSettings.from_env().database)
    try:
        database.migrate()
        VERBS[arguments.verb](Keys(database), arguments)
    finally:
        database.close()
    return 0


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
