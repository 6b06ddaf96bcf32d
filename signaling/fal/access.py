"""Who a request comes from, and whether it may. Keys in `Authorization`, our own tokens there or in the
query.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.requests import HTTPConnection

from signaling.fal.database import Database
from signaling.fal.errors import FalError
from signaling.fal.keys import Keys
from signaling.fal.signing import Signer
from signaling.keyring import STATIC, KeyRing, credential_of
from signaling.rights import ANYBODY, Principal

REALTIME = "realtime"
CDN = "cdn"
UPLOAD = "upload"
NEEDS_KEY = "An API key is needed: send `Authorization: Key <id>:<secret>` (see `livemask keys create`)"


class Access:
    """Decides for every request of the API."""

    def __init__(self, ring: KeyRing, database: Database, keys: Keys, signer: Signer) -> None:
        self._ring, self._database, self._keys, self._signer = ring, database, keys, signer

    async def require(
        self, connection: HTTPConnection, scope: str | None = None, audience: str = ""
    ) -> Principal:
        """The principal of a request, who may do `scope` if one is named.

        Args:
            audience: our tokens for this purpose are accepted as well as keys.

        Raises:
            FalError: 401 without a valid key where one is needed, 403 without the scope, 429 too often.
        """
        who = await self.identify(connection, audience)
        if who is None:
            raise FalError(401, NEEDS_KEY, "unauthorized", {"www-authenticate": "Key"})
        if scope is not None and not who.may(scope):
            raise FalError(403, f"This key may not {scope}: it lacks the scope", "forbidden")
        if not self._ring.take(who):
            text = f"This key may make {self._ring.rate_of(who)} requests a minute"
            raise FalError(429, text, "too_many_requests", {"retry-after": "1"})
        return who

    async def identify(self, connection: HTTPConnection, audience: str = "") -> Principal | None:
        """The principal; anybody where no key is required, None where one is and there is none."""
        header = connection.headers.get("authorization")
        found = await self._ring.holder(header)
        for token in (credential_of(header), connection.query_params.get("fal_jwt_token")):
            if found is None and token and audience:
                claims = self._signer.read_token(token, audience)
                found = None if claims is None else await self.of_token(claims)
        if found is None and not self._ring.required:
            return ANYBODY
        return found

    async def of_token(self, claims: Mapping[str, Any]) -> Principal | None:
        """Whose a token is; None when its key was revoked since."""
        subject = str(claims["sub"])
        if subject.startswith(STATIC):
            return self._ring.static(subject)
        if not subject:
            return None if self._ring.required else ANYBODY
        return await self._database.call(self._keys.find, subject)
