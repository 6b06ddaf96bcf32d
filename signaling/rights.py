"""What a key may do: everything, or only watch. Pure."""

from __future__ import annotations

READING = frozenset({"GET", "HEAD", "OPTIONS"})


def watches(method: str, path: str) -> bool:
    """Whether a request only looks at what there is, or opens or ends a view of it.

    A view that a watcher opens carries no prompts: `signaling.routes.viewers` sees to that.
    """
    if method in READING or path.startswith("/whep/"):
        return True
    parts = path.strip("/").split("/")
    return len(parts) in (3, 4) and parts[0] == "sessions" and parts[2] == "viewers"
