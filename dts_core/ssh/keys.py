"""SSH keys and certificates as asyncssh reads them; what is refused is told without a byte of it."""

import base64
import binascii
import struct
from typing import Final

import asyncssh
import msgspec

from dts_core.errors import InvalidInput
from dts_core.ssh.base import KeyFacts
from dts_core.vault import Secret

__all__ = ["AsyncsshKeys", "new_key"]

HOST_KEYS_MAX: Final = 16
ROUNDS_MAX: Final = 1024
"""Of bcrypt, for a key's passphrase; `ssh-keygen -a` writes 16 or 24 by default. More would take minutes."""
RSA_BITS_MIN: Final = 2048
_BEGIN: Final = b"-----BEGIN OPENSSH PRIVATE KEY-----"
_END: Final = b"-----END OPENSSH PRIVATE KEY-----"
_MAGIC: Final = b"openssh-key-v1\0"
_AUTHORITY: Final = "@cert-authority"
_KINDS: Final = ("ssh-", "ecdsa-", "sk-")
_HOST_KEY_FORM: Final = "each line must be TYPE BASE64, or a line of known_hosts"


def new_key() -> tuple[Secret, str]:
    """A new Ed25519 key: PEM in OpenSSH's form, and `TYPE BASE64` of its public half. Blocking."""
    key = asyncssh.generate_private_key("ssh-ed25519")
    return Secret(key.export_private_key("openssh").decode()), _public_line(key)


class AsyncsshKeys:
    """Implements `SshKeys`."""

    def private_key(self, pem: Secret, passphrase: Secret | None) -> KeyFacts:
        """See SshKeys."""
        data = pem.reveal().encode()
        header = _header(data)
        is_encrypted = header.is_encrypted if header else b"ENCRYPTED" in data
        if is_encrypted and not passphrase:
            _check_looks_encrypted(data)
            told = _public_line(_public_part(header.public_blob)) if header else ""
            return KeyFacts(told, is_encrypted=True)
        if passphrase and not is_encrypted:
            raise _refused("key_passphrase", "the key is not encrypted: leave the passphrase out")
        if header is not None and header.rounds > ROUNDS_MAX:
            raise _refused("ssh_pem_cert", f"its passphrase takes more than {ROUNDS_MAX} rounds")
        key = _imported(data, passphrase)
        _check_strength(key)
        return KeyFacts(_public_line(key), is_encrypted=is_encrypted)

    def host_keys(self, text: str) -> list[str]:
        """See SshKeys."""
        lines = [line.strip() for line in text.splitlines()]
        wanted = [line for line in lines if line and not line.startswith("#")]
        if len(wanted) > HOST_KEYS_MAX:
            raise _refused("known_host_key", f"at most {HOST_KEYS_MAX} keys are taken")
        return list(dict.fromkeys(_host_key(line) for line in wanted))

    def certificate(self, text: str) -> tuple[str, str]:
        """See SshKeys."""
        try:
            found = asyncssh.import_certificate(text.strip())
            exported = found.export_certificate().decode().split()
        except ValueError:
            raise _refused("certificate", "no certificate of OpenSSH (a *-cert.pub file)") from None
        if found.is_x509 or "-cert-" not in exported[0]:
            raise _refused("certificate", "a certificate of OpenSSH is expected, not of X.509")
        return " ".join(exported[:2]), _public_line(found.key)


class _Header(msgspec.Struct, frozen=True):
    """What an OpenSSH private key tells without its passphrase."""

    is_encrypted: bool
    rounds: int
    public_blob: bytes


def _imported(data: bytes, passphrase: Secret | None) -> asyncssh.SSHKey:
    # Causes are left out: what the library says may hold a part of what it was given.
    try:
        return asyncssh.import_private_key(data, passphrase.reveal() if passphrase else None)
    except asyncssh.KeyImportError:
        if passphrase:
            raise _refused("key_passphrase", "it does not open the key") from None
        raise _refused(
            "ssh_pem_cert", "no private key that is known here; OpenSSH or PEM is expected"
        ) from None
    except asyncssh.KeyEncryptionError as error:
        if passphrase and "passphrase" in str(error):
            raise _refused("key_passphrase", "it does not open the key") from None
        raise _refused("ssh_pem_cert", "its encryption is not known here") from None
    except (ValueError, TypeError, IndexError, struct.error):
        raise _refused("ssh_pem_cert", "the private key is damaged") from None


def _check_strength(key: asyncssh.SSHKey) -> None:
    kind = key.get_algorithm()
    if kind == "ssh-dss":
        raise _refused("ssh_pem_cert", "DSA keys are not taken any more: use Ed25519")
    modulus = getattr(getattr(key, "pyca_key", None), "key_size", 0)
    if kind == "ssh-rsa" and modulus and modulus < RSA_BITS_MIN:
        raise _refused("ssh_pem_cert", f"an RSA key has at least {RSA_BITS_MIN} bits: use Ed25519")


def _header(data: bytes) -> _Header | None:
    """Of a key in OpenSSH's own form; None when it is of another.

    Raises:
        InvalidInput: It begins as one and is damaged.
    """
    _, begin, rest = data.partition(_BEGIN)
    body, end, _ = rest.partition(_END)
    if not begin:
        return None
    try:
        blob = base64.b64decode(b"".join(body.split()), validate=True)
        if not end or not blob.startswith(_MAGIC):
            raise ValueError
        cipher, at = _string(blob, len(_MAGIC))
        _, at = _string(blob, at)
        options, at = _string(blob, at)
        public, _ = _string(blob, at + 4)  # after the number of keys
        rounds = struct.unpack(">I", options[-4:])[0] if options else 0
    except (binascii.Error, ValueError, struct.error):
        raise _refused("ssh_pem_cert", "the private key is damaged or cut off") from None
    return _Header(cipher != b"none", rounds, public)


def _string(blob: bytes, at: int) -> tuple[bytes, int]:
    (length,) = struct.unpack_from(">I", blob, at)
    end = at + 4 + length
    if end > len(blob):
        raise ValueError
    return blob[at + 4 : end], end


def _public_part(blob: bytes) -> asyncssh.SSHKey:
    try:
        kind, _ = _string(blob, 0)
        return asyncssh.import_public_key(kind + b" " + base64.b64encode(blob))
    except (ValueError, struct.error):
        raise _refused(
            "ssh_pem_cert", "the private key is damaged, or of an unknown kind"
        ) from None


def _check_looks_encrypted(data: bytes) -> None:
    if not (b"-----BEGIN " in data and b" PRIVATE KEY-----" in data and b"-----END " in data):
        raise _refused(
            "ssh_pem_cert", "no private key that is known here; OpenSSH or PEM is expected"
        )


def _host_key(line: str) -> str:
    parts = line.split()
    marker = ""
    if parts[0].startswith("@"):
        if parts[0] != _AUTHORITY:
            raise _refused("known_host_key", f"of the marks only {_AUTHORITY} is taken")
        marker, parts = f"{_AUTHORITY} ", parts[1:]
    at = next((n for n, part in enumerate(parts[:2]) if part.startswith(_KINDS)), None)
    if at is None or len(parts) < at + 2:
        raise _refused("known_host_key", _HOST_KEY_FORM)
    try:
        key = asyncssh.import_public_key(" ".join(parts[at : at + 2]))
    except (ValueError, TypeError):
        raise _refused("known_host_key", _HOST_KEY_FORM) from None
    return marker + _public_line(key)


def _public_line(key: asyncssh.SSHKey) -> str:
    return " ".join(key.export_public_key("openssh").decode().split()[:2])


def _refused(field: str, why: str) -> InvalidInput:
    return InvalidInput(f"{field}: {why}.", fields={field: why})
