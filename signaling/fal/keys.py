"""API keys: who may do what, and how much of it. Secrets are stored hashed and compared in constant time."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
import uuid
from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from signaling.fal.database import Database
from signaling.fal.tables import Key
from signaling.rights import SCOPES, Principal


class Keys:
    """The table of keys."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(
        self,
        name: str,
        scopes: Sequence[str] = ("run",),
        *,
        max_jobs: int | None = None,
        max_rate: int | None = None,
        max_bytes: int | None = None,
    ) -> str:
        """Make a key and return it as `id:secret`, the only time the secret is seen.

        Raises:
            ValueError: an unknown scope, or none; a limit below 1.
        """
        for limit, value in {"max_jobs": max_jobs, "max_rate": max_rate, "max_bytes": max_bytes}.items():
            if value is not None and value < 1:
                raise ValueError(f"{limit}: expected 1 or more, got {value}")
        unknown = sorted(set(scopes) - set(SCOPES))
        if unknown or not scopes:
            raise ValueError(
                f"expected scopes out of {', '.join(SCOPES)}, got {', '.join(unknown) or 'none'}"
            )
        secret = secrets.token_hex(32)
        key = Key(
            id=str(uuid.uuid4()),
            name=name,
            hash=_hash(secret),
            scopes=sorted(set(scopes)),
            max_jobs=max_jobs,
            max_rate=max_rate,
            max_bytes=max_bytes,
            created_at=time.time(),
        )
        self._database.write(lambda session: session.add(key))
        return f"{key.id}:{secret}"

    def list(self) -> Sequence[Key]:
        return self._database.read(
            lambda session: session.scalars(select(Key).order_by(Key.created_at)).all()
        )

    def any_in_force(self) -> bool:
        """Whether there is a key that opens anything."""
        query = select(Key.id).where(Key.revoked_at.is_(None)).limit(1)
        return self._database.read(lambda session: session.scalar(query)) is not None

    def revoke(self, key_id: str) -> bool:
        """Refuse the key from now on; False when there is no such key in force."""

        def work(session: Session) -> bool:
            key = session.get(Key, key_id)
            if key is None or key.revoked_at is not None:
                return False
            key.revoked_at = time.time()
            return True

        return self._database.write(work)

    def check(self, credential: str) -> Principal | None:
        """The principal of `id:secret`, None when it is wrong or revoked."""
        key_id, _, secret = credential.partition(":")
        key = self._database.read(lambda session: session.get(Key, key_id))
        # An unknown id costs the same comparison as a wrong secret.
        same = hmac.compare_digest(_hash(secret), key.hash if key else _hash(""))
        return _principal(key) if key and same and key.revoked_at is None else None

    def find(self, key_id: str) -> Principal | None:
        """The principal of a key named by a token that we signed, None when it was revoked since."""
        key = self._database.read(lambda session: session.get(Key, key_id))
        return _principal(key) if key and key.revoked_at is None else None


def _principal(key: Key) -> Principal:
    return Principal(key.id, frozenset(key.scopes), key.max_jobs, key.max_rate, key.max_bytes)


def _hash(secret: str) -> str:
    """SHA-256: secrets are 256 random bits, so a slow hash would protect nothing more."""
    return hashlib.sha256(secret.encode()).hexdigest()
