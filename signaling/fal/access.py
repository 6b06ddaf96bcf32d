"""Who a request comes from, and whether it may. Keys in `Authorization`, our own tokens there or in the
query.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from starlette.requests import HTTPConnection

from signaling.fal.database import Database
from signaling.fal.errors import FalError
from signaling.fal.keys import NOBODY_IN_PARTICULAR, SCOPES, Keys, Principal
from signaling.fal.settings import FalSettings
from signaling.fal.signing import Signer
from stream.bucket import Bucket

REALTIME = "realtime"
CDN = "cdn"
UPLOAD = "upload"
STATIC = "static:"
MAX_BUCKETS = 10_000
NEEDS_KEY = "An API key is needed: send `Authorization: Key <id>:<secret>` (see `livemask keys create`)"


class Access:
    """Decides for every request of the API.

    `static` recognises the keys of the service's own settings; their holder may do everything.
    """

    def __init__(
        self,
        settings: FalSettings,
        database: Database,
        keys: Keys,
        signer: Signer,
        static: Callable[[str | None], str | None],
    ) -> None:
        self._settings, self._database, self._keys = settings, database, keys
        self._signer, self._static = signer, static
        self._buckets: dict[str, Bucket] = {}

    async def require(
        self, connection: HTTPConnection, scope: str | None = None, audience: str = ""
    ) -> Principal:
        """The principal of a request, who may do `scope` if one is named.

        Args:
            audience: our tokens for this purpose are accepted as well as keys.

        Raises:
            FalError: 401 without a valid key where one is needed, 403 without the scope, 429 too often.
        """
        principal = await self.identify(connection, audience)
        if principal is None:
            raise FalError(401, NEEDS_KEY, "unauthorized", {"www-authenticate": "Key"})
        if scope is not None and not principal.may(scope):
            raise FalError(403, f"This key may not {scope}: it lacks the scope", "forbidden")
        self._count(principal)
        return principal

    async def identify(self, connection: HTTPConnection, audience: str = "") -> Principal | None:
        """The principal; anybody where no key is required, None where one is and there is none."""
        header = connection.headers.get("authorization")
        found = await self._by_header(header, audience)
        token = connection.query_params.get("fal_jwt_token")
        if found is None and token and audience:
            found = await self._by_token(token, audience)
        if found is None and not self._settings.require_key:
            return NOBODY_IN_PARTICULAR
        return found

    async def _by_header(self, header: str | None, audience: str) -> Principal | None:
        scheme, _, credential = (header or "").partition(" ")
        credential = credential.strip()
        if scheme.lower() not in ("key", "bearer") or not credential:
            return None
        name = self._static(header)
        if name is not None:
            return Principal(STATIC + name, frozenset(SCOPES))
        if ":" in credential:
            return await self._database.call(self._keys.check, credential)
        return await self._by_token(credential, audience) if audience else None

    async def _by_token(self, token: str, audience: str) -> Principal | None:
        claims = self._signer.read_token(token, audience)
        return None if claims is None else await self.of_token(claims)

    async def of_token(self, claims: Mapping[str, Any]) -> Principal | None:
        """Whose a token is; None when its key was revoked since."""
        subject = str(claims["sub"])
        if subject.startswith(STATIC):
            return Principal(subject, frozenset(SCOPES))
        if not subject:
            return None if self._settings.require_key else NOBODY_IN_PARTICULAR
        return await self._database.call(self._keys.find, subject)

    def _count(self, principal: Principal) -> None:
        rate = principal.max_rate or self._settings.key_rate
        if principal.key_id not in self._buckets and len(self._buckets) >= MAX_BUCKETS:
            self._buckets.clear()
        bucket = self._buckets.setdefault(principal.key_id, Bucket(rate / 60, max(1.0, rate / 6)))
        if not bucket.take(time.monotonic()):
            text = f"This key may make {rate} requests a minute"
            raise FalError(429, text, "too_many_requests", {"retry-after": "1"})
