"""The server's Ed25519 key: signs webhooks and short-lived tokens; its public half is the JWKS."""

from __future__ import annotations

import time
import uuid
from base64 import urlsafe_b64encode
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import select
from sqlalchemy.orm import Session

from signaling.fal.database import Database
from signaling.fal.tables import SigningKey


class Signer:
    """The newest signing key of the database, or its first: all servers of a database share it."""

    def __init__(self, database: Database) -> None:
        row = database.write(_newest)
        self._id = row.id
        self._private = Ed25519PrivateKey.from_private_bytes(row.private)

    def jwks(self) -> dict[str, Any]:
        """The public key as RFC 8037 writes it."""
        x = urlsafe_b64encode(self._private.public_key().public_bytes_raw()).rstrip(b"=").decode()
        return {
            "keys": [{"kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": "EdDSA", "kid": self._id, "x": x}]
        }

    def sign(self, message: bytes) -> str:
        """Detached signature as hex."""
        return self._private.sign(message).hex()

    def token(self, audience: str, subject: str, seconds: float, **claims: str | list[str]) -> str:
        """A JWT (EdDSA) for one purpose (`audience`) in the name of a key (`subject`)."""
        now = time.time()
        payload = {"aud": audience, "sub": subject, "iat": int(now), "exp": int(now + seconds), **claims}
        return jwt.encode(payload, self._private, algorithm="EdDSA", headers={"kid": self._id})

    def read_token(self, token: str, audience: str) -> dict[str, Any] | None:
        """The claims, None when the token is forged, expired or for another purpose."""
        try:
            claims: dict[str, Any] = jwt.decode(
                token, self._private.public_key(), algorithms=["EdDSA"], audience=audience
            )
        except jwt.InvalidTokenError:
            return None
        return claims


def _newest(session: Session) -> SigningKey:
    row = session.scalars(select(SigningKey).order_by(SigningKey.created_at.desc()).limit(1)).first()
    if row is None:
        private = Ed25519PrivateKey.generate().private_bytes_raw()
        row = SigningKey(id=uuid.uuid4().hex, private=private, created_at=time.time())
        session.add(row)
    return row
