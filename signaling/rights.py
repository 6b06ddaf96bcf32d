"""Who somebody is, and what a key lets them do with live sessions. Pure.

A key has scopes: `run` begins sessions and requests, and does everything with its own; `view` watches any;
`prompt` watches any session and prompts it; `admin` does everything, with everybody's.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

SCOPES = ("run", "view", "prompt", "admin")
READING = frozenset({"GET", "HEAD", "OPTIONS"})


@dataclass(frozen=True, slots=True)
class Principal:
    """Whoever a request comes from: the id of its key, its scopes, its limits (None: the service's own).

    `max_jobs` bounds requests and, by themselves, live sessions at once; `max_rate` requests a minute;
    `max_bytes` what is kept.
    """

    key_id: str
    scopes: frozenset[str]
    max_jobs: int | None = None
    max_rate: int | None = None
    max_bytes: int | None = None

    def may(self, scope: str) -> bool:
        return scope in self.scopes or "admin" in self.scopes


ANYBODY = Principal("", frozenset(SCOPES))
"""Whoever comes where no key is needed."""


class Right(Enum):
    """What a request under `/sessions`, `/whip` and the like does, and which scopes let it."""

    ENTER = frozenset(SCOPES)
    """Ask what there is to connect to; any key will do."""
    START = frozenset({"run"})
    WATCH = frozenset({"view", "prompt"})
    PROMPT = frozenset({"prompt"})
    MANAGE = frozenset[str]()
    """End a session, record it, send it on: its own holder's, else the administrator's."""


def needed(method: str, path: str) -> Right:
    """What a request does; what is not known to be harmless is management.

    A view that a watcher opens carries no prompts: `signaling.routes.viewers` sees to that.
    """
    match path.strip("/").split("/"):
        case ["sessions", "ice-servers"] | ["cameras"] | ["sessions"] if method in READING:
            return Right.ENTER
        case ["whip", *_] if method == "OPTIONS":
            return Right.ENTER
        case ["sessions"] | ["whip", _] if method == "POST":
            return Right.START
        case ["whep", *_] | ["sessions", _, "viewers", *_]:
            return Right.WATCH
        case ["sessions", _, "prompts"] if method == "POST":
            return Right.PROMPT
        case _:
            return Right.WATCH if method in READING else Right.MANAGE


def session_of(path: str) -> str | None:
    """The id or name of the session that a path is about."""
    match path.strip("/").split("/"):
        case ["sessions" | "whep", named, *_] | ["whip", _, named]:
            return named
        case _:
            return None


def allowed(who: Principal, right: Right, owner: str | None) -> bool:
    """Whether `who` may do it to a session that the key `owner` began (None: nobody's, or no session)."""
    if owner is not None and owner == who.key_id and who.may("run"):
        return True
    return any(who.may(scope) for scope in right.value) or who.may("admin")
