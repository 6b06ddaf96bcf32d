"""TLS with publishers whose certificate is an RSA one, as GStreamer's webrtcbin makes it.

aiortc, which is the TLS client towards whoever offers, proposes cipher suites for ECDSA certificates alone:
all that RFC 8827 section 6.5 demands, and too little for encoders that people have.
"""

from __future__ import annotations

from aiortc import RTCCertificate, RTCPeerConnection
from aiortc.rtcdtlstransport import SRTPProtectionProfile
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from OpenSSL import SSL

SUITES = ":".join(
    f"ECDHE-{signed}-{rest}"
    for rest in ("AES128-GCM-SHA256", "CHACHA20-POLY1305", "AES128-SHA", "AES256-SHA")
    for signed in ("ECDSA", "RSA")
)


CURVES = {"secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521"}
# RFC 8446 section 6: the level comes before the description.
FATAL = 2
ALERTS = {
    40: "handshake_failure",
    42: "bad_certificate",
    43: "unsupported_certificate",
    46: "certificate_unknown",
    47: "illegal_parameter",
    50: "decode_error",
    51: "decrypt_error",
    70: "protocol_version",
    71: "insufficient_security",
    80: "internal_error",
}


class Certificate(RTCCertificate):
    """An ECDSA certificate on P-256, made anew for each connection, for TLS with either kind.

    Attributes:
        trouble: why TLS failed, as far as it is known; None before and where it did not.
    """

    trouble: str | None = None

    def _create_ssl_context(self, srtp_profiles: list[SRTPProtectionProfile]) -> SSL.Context:
        context: SSL.Context = super()._create_ssl_context(srtp_profiles)
        context.set_cipher_list(SUITES.encode())
        context.set_info_callback(self._notice)
        return context

    def _notice(self, connection: SSL.Connection, where: int, value: int) -> None:
        """OpenSSL says what it does; an alert that ends the handshake is the only word of why, for aiortc's
        errors are empty."""
        level, alert = divmod(value, 256)
        if not where & SSL.SSL_CB_ALERT or level != FATAL or self.trouble is not None:
            return
        ours = bool(where & SSL.SSL_CB_WRITE)
        name = ALERTS.get(alert, str(alert))
        self.trouble = f"{'we refused' if ours else 'the other side refused'} the TLS handshake ({name})"
        curve = _curve(connection) if ours else None
        if curve is not None and curve not in CURVES:
            self.trouble += f": expected a certificate with a key on {', '.join(CURVES.values())} or RSA, "
            self.trouble += f"got one on {curve}"


def take_either_kind(connection: RTCPeerConnection) -> Certificate:
    """Let a connection that has negotiated nothing yet do TLS with RSA certificates too; gives our own."""
    certificate = Certificate.generateCertificate()
    connection._RTCPeerConnection__certificates = [certificate]  # type: ignore[attr-defined]
    return certificate


def _curve(connection: SSL.Connection) -> str | None:
    """The curve of the other side's key; None for another kind of key, or where none has come."""
    certificate = connection.get_peer_certificate(as_cryptography=True)
    key = certificate.public_key() if certificate else None
    return key.curve.name if isinstance(key, EllipticCurvePublicKey) else None
