"""The keys that open this service's doors: those of its settings, and those of its database.

One keyring serves every door, live sessions and the fal-compatible API alike.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Awaitable, Callable, Iterable

from signaling.rights import SCOPES, Principal
from signaling.settings import Settings
from stream.bucket import Bucket

STATIC = "static:"
MAX_BUCKETS = 10_000
REQUESTS_A_MINUTE = 6000

Lookup = Callable[[str], Awaitable[Principal | None]]


class KeyRing:
    """Who holds the key in a header, and whether they come too often.

    A key of the settings is named `static:` and the first 8 hexadecimal digits of its digest.

    Args:
        required: whether a request without a key is refused.
        rate: requests a minute of a key that sets none.

    Attributes:
        stored: looks up `id:secret` in the database; None until there is one.
    """

    def __init__(self, settings: Settings, *, required: bool, rate: int = REQUESTS_A_MINUTE) -> None:
        self.required = required
        self.stored: Lookup | None = None
        self._rate = rate
        self._static = (
            *_static(settings.api_keys, SCOPES),
            *_static(settings.view_keys, ("view",)),
        )
        self._buckets: dict[str, Bucket] = {}

    async def holder(self, authorization: str | None) -> Principal | None:
        """Whose key is in an `Authorization: Bearer KEY` or `Key KEY` header; None when it is no good.

        Every key of the settings is compared, each in constant time, so that timing tells nothing.
        """
        credential = credential_of(authorization)
        if credential is None:
            return None
        given = _digest(credential)
        found = [who for digest, who in self._static if hmac.compare_digest(digest, given)]
        if found:
            return found[0]
        return await self.stored(credential) if self.stored is not None and ":" in credential else None

    def static(self, key_id: str) -> Principal | None:
        """The holder of a key of the settings, by its name; None when it is not among them any more."""
        return next((who for _, who in self._static if who.key_id == key_id), None)

    def rate_of(self, who: Principal) -> int:
        """How many requests a minute somebody may make."""
        return who.max_rate or self._rate

    def take(self, who: Principal) -> bool:
        """Count one request; False when it is one too many. A sixth of a minute's may come at once."""
        if who.key_id not in self._buckets and len(self._buckets) >= MAX_BUCKETS:
            self._buckets.clear()
        rate = self.rate_of(who)
        bucket = self._buckets.setdefault(who.key_id, Bucket(rate / 60, max(1.0, rate / 6)))
        return bucket.take(time.monotonic())


def credential_of(authorization: str | None) -> str | None:
    """What follows `Bearer` or `Key` in an Authorization header."""
    scheme, _, credential = (authorization or "").partition(" ")
    return credential.strip() or None if scheme.lower() in ("bearer", "key") else None


def _static(keys: Iterable[str], scopes: Iterable[str]) -> list[tuple[bytes, Principal]]:
    digests = [_digest(key) for key in keys]
    return [(digest, Principal(STATIC + digest.hex()[:8], frozenset(scopes))) for digest in digests]


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()
