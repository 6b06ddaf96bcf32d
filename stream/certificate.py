"""TLS with publishers whose certificate is an RSA one, as GStreamer's webrtcbin makes it.

aiortc, which is the TLS client towards whoever offers, proposes cipher suites for ECDSA certificates alone:
all that RFC 8827 section 6.5 demands, and too little for encoders that people have.
"""

from __future__ import annotations

from aiortc import RTCCertificate, RTCPeerConnection
from aiortc.rtcdtlstransport import SRTPProtectionProfile
from OpenSSL import SSL

SUITES = ":".join(
    f"ECDHE-{signed}-{rest}"
    for rest in ("AES128-GCM-SHA256", "CHACHA20-POLY1305", "AES128-SHA", "AES256-SHA")
    for signed in ("ECDSA", "RSA")
)


class Certificate(RTCCertificate):
    """An ECDSA certificate on P-256, made anew for each connection, for TLS with either kind."""

    def _create_ssl_context(self, srtp_profiles: list[SRTPProtectionProfile]) -> SSL.Context:
        context: SSL.Context = super()._create_ssl_context(srtp_profiles)
        context.set_cipher_list(SUITES.encode())
        return context


def take_either_kind(connection: RTCPeerConnection) -> None:
    """Let a connection that has negotiated nothing yet do TLS with RSA certificates too."""
    certificates = [Certificate.generateCertificate()]
    connection._RTCPeerConnection__certificates = certificates  # type: ignore[attr-defined]
