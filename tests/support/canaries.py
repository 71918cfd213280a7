"""Known secrets, and the search for them in whatever is stored, answered or logged."""

import base64
import contextlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import asyncssh

from tests.support.sshkeys import PASSPHRASE, private_key

PASSWORD = "Canary9-password-of-a-host"


class Canaries:
    """A password, a passphrase, an open and an encrypted private key, each new; and `others`."""

    def __init__(self, *others: str) -> None:
        self.open_key = private_key()
        self.closed_key = private_key(PASSPHRASE)
        self._needles = [*self._forms(PASSWORD.encode()), *self._forms(PASSPHRASE.encode())]
        self.add(*others)
        for pem, passphrase in ((self.open_key, None), (self.closed_key, PASSPHRASE)):
            self._needles += self._forms(_seed(pem, passphrase))
            lines = pem.splitlines()[1:-1]
            # The first line of OpenSSH's form holds names of methods alone.
            self._needles += [line.encode() for line in lines[1:] if len(line) >= 20]

    def add(self, *others: str) -> None:
        """Further secrets to look for."""
        for secret in others:
            self._needles += self._forms(secret.encode())

    @property
    def body(self) -> dict[str, Any]:
        """All secret fields of a virtual host."""
        return {
            "ssh_pem_cert": self.closed_key,
            "key_passphrase": PASSPHRASE,
            "password": PASSWORD,
        }

    @property
    def values(self) -> list[str]:
        """Each secret as it is given."""
        return [PASSWORD, PASSPHRASE, self.open_key, self.closed_key]

    def found(self, places: Iterable[tuple[str, bytes]]) -> list[tuple[str, bytes]]:
        """(place, needle) of every secret that lies in one of the places, in whatever form."""
        return [
            (name, needle)
            for name, content in places
            for needle in self._needles
            if needle in content
        ]

    @staticmethod
    def _forms(secret: bytes) -> list[bytes]:
        """As it is, reversed, in hexadecimal digits, as in a URL, and in base64 wherever it begins in a larger text."""
        shifted = [base64.b64encode(b"\0" * by + secret)[4 * bool(by) : -4] for by in range(3)]
        return [secret, secret[::-1], secret.hex().encode(), quote(secret).encode(), *shifted]


def files_under(folder: Path, *, besides: Iterable[str] = ()) -> list[tuple[str, bytes]]:
    """(path, content) of every file below a folder; what somebody removes meanwhile is passed over."""
    found = []
    for path in folder.rglob("*"):
        if path.is_file() and path.name not in besides:
            with contextlib.suppress(FileNotFoundError):
                found.append((str(path), path.read_bytes()))
    return found


def _seed(pem: str, passphrase: str | None) -> bytes:
    """The 32 bytes that an Ed25519 key is made of."""
    key: Any = asyncssh.import_private_key(pem, passphrase)
    raw: bytes = key.pyca_key.private_bytes_raw()
    return raw
