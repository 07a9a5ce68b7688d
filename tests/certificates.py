"""A private CA, and a certificate of it, for servers on loopback."""

from __future__ import annotations

import datetime
import ipaddress
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


def make_certificates(folder: Path, client: str = "", days: float = 60) -> None:
    """A CA, and a certificate of it for 127.0.0.1, for so long; with `client` one for a client of that name too."""
    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    now = datetime.datetime.now(datetime.UTC)
    ca_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Postwatch tests")])

    def build(subject: x509.Name, public: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(ca_name)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(days=days))
        )

    ca = build(ca_name, ca_key.public_key()).add_extension(x509.BasicConstraints(True, None), True)
    names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    (folder / "ca.pem").write_bytes(_signed(ca, ca_key))
    server_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "server")])
    _write(folder / "server", key, _signed(build(server_name, key.public_key()).add_extension(names, False), ca_key))
    if client:
        client_key = ec.generate_private_key(ec.SECP256R1())
        client_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, client)])
        _write(folder / client, client_key, _signed(build(client_name, client_key.public_key()), ca_key))


def _signed(built: x509.CertificateBuilder, ca_key: ec.EllipticCurvePrivateKey) -> bytes:
    return built.sign(ca_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def _write(path: Path, key: ec.EllipticCurvePrivateKey, certificate: bytes) -> None:
    """`path`.pem and `path`.key."""
    path.with_suffix(".pem").write_bytes(certificate)
    written = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.with_suffix(".key").touch(mode=0o600)
    path.with_suffix(".key").write_bytes(written)
