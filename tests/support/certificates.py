"""Certificates for tests of TLS: one for loopback signed by itself, and authorities that sign for servers and users."""

import ipaddress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

LOOPBACK: Final = "127.0.0.1"


def make_certificate(folder: Path) -> tuple[Path, Path]:
    """Write cert.pem and key.pem, good for an hour; returns their paths."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name("localhost")
    certificate = _builder(name, key).add_extension(_names(LOOPBACK), critical=False)
    signed = certificate.issuer_name(name).sign(key, hashes.SHA256())
    return _write(folder, "cert.pem", signed), _write(folder, "key.pem", key)


class Authority:
    """Who signs certificates, each good for an hour.

    Args:
        folder: Where its files go.
        name: Of the authority and of its file.
    """

    def __init__(self, folder: Path, name: str = "ca") -> None:
        self._folder = folder
        self._prefix = name
        self._name = _name(name)
        self._key = ec.generate_private_key(ec.SECP256R1())
        made = (
            _builder(self._name, self._key)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .issuer_name(self._name)
            .sign(self._key, hashes.SHA256())
        )
        self.file = _write(folder, f"{name}.pem", made)
        """Its own certificate: what a `ca_file` names."""

    def server(self, host: str = LOOPBACK) -> tuple[Path, Path]:
        """(certificate, key) of a server that is reached by this name or address."""
        return self._sign(f"server-{host}", _names(host))

    def client(self, user: str) -> tuple[Path, Path]:
        """(certificate, key) of a user, named by the common name."""
        return self._sign(user)

    def _sign(
        self, name: str, names: x509.SubjectAlternativeName | None = None
    ) -> tuple[Path, Path]:
        key = ec.generate_private_key(ec.SECP256R1())
        builder = _builder(_name(name), key).issuer_name(self._name)
        if names is not None:
            builder = builder.add_extension(names, critical=False)
        signed = builder.sign(self._key, hashes.SHA256())
        return (
            _write(self._folder, f"{self._prefix}.{name}.cert.pem", signed),
            _write(self._folder, f"{self._prefix}.{name}.key.pem", key),
        )


def joined(certificate: Path, key: Path) -> Path:
    """Both in one file, as MongoDB's driver wants them."""
    both = certificate.with_suffix(".both.pem")
    both.write_bytes(certificate.read_bytes() + key.read_bytes())
    return both


def _builder(name: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=1))
        .not_valid_after(now + timedelta(hours=1))
    )


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _names(host: str) -> x509.SubjectAlternativeName:
    try:
        return x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(host))])
    except ValueError:
        return x509.SubjectAlternativeName([x509.DNSName(host)])


def _write(folder: Path, name: str, made: x509.Certificate | ec.EllipticCurvePrivateKey) -> Path:
    pem = serialization.Encoding.PEM
    path = folder / name
    if isinstance(made, x509.Certificate):
        path.write_bytes(made.public_bytes(pem))
    else:
        plain = serialization.NoEncryption()
        path.write_bytes(made.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))
    return path
