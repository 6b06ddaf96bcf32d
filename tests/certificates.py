"""Self-signed certificates for tests, good for a day."""

from __future__ import annotations

import datetime
import ipaddress
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

P256 = ec.SECP256R1()


def certificate(
    folder: Path, host: str = "127.0.0.1", stem: str = "", curve: ec.EllipticCurve = P256
) -> tuple[Path, Path]:
    """Files of a certificate for `host` on `curve`, and of its key."""
    key = ec.generate_private_key(curve)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    now = datetime.datetime.now(datetime.UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(host))]), False)
        .sign(key, hashes.SHA256())
    )
    paths = folder / f"{stem}cert.pem", folder / f"{stem}key.pem"
    paths[0].write_bytes(built.public_bytes(serialization.Encoding.PEM))
    form, private = serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL
    paths[1].write_bytes(key.private_bytes(form, private, serialization.NoEncryption()))
    return paths
