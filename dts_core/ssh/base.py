"""What services need to know of SSH keys, whatever library reads them."""

import base64
import hashlib
from typing import Protocol

import msgspec

from dts_core.vault import Secret

__all__ = ["KeyFacts", "SshKeys", "fingerprint", "type_of"]


class KeyFacts(msgspec.Struct, frozen=True):
    """What may be told of a private key."""

    public_key: str
    """`TYPE BASE64`, as in authorized_keys; empty when it cannot be told without the passphrase."""
    is_encrypted: bool


class SshKeys(Protocol):
    """Reads keys in the forms that OpenSSH writes. Blocking: decrypting takes its time.

    No message holds a part of what was given.
    """

    def private_key(self, pem: Secret, passphrase: Secret | None) -> KeyFacts:
        """A private key; with its passphrase it is decrypted, so that a wrong one shows now.

        Raises:
            InvalidInput: It is no private key, of a kind that is not taken, or the passphrase does not fit. `fields`
                names `ssh_pem_cert` or `key_passphrase`.
        """
        ...

    def host_keys(self, text: str) -> list[str]:
        """Public keys of a host: `TYPE BASE64` each, `@cert-authority` before one that signs host certificates.

        Takes lines of known_hosts, of ssh-keyscan and of *.pub files; names of hosts and comments are left out.

        Raises:
            InvalidInput: A line is none; `fields` names `known_host_key`.
        """
        ...

    def certificate(self, text: str) -> tuple[str, str]:
        """A user's certificate, and the public key that it certifies: `TYPE BASE64` both.

        Raises:
            InvalidInput: It is none; `fields` names `certificate`.
        """
        ...


def fingerprint(public_key: str) -> str:
    """`SHA256:…` of a `TYPE BASE64` line, as OpenSSH shows it; empty for an empty line."""
    parts = public_key.removeprefix("@cert-authority ").split()
    if len(parts) < 2:
        return ""
    digest = hashlib.sha256(base64.b64decode(parts[1])).digest()
    return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")


def type_of(public_key: str) -> str:
    """The kind of key of a `TYPE BASE64` line; empty for an empty line."""
    return public_key.removeprefix("@cert-authority ").partition(" ")[0]
