"""Sealing and opening: AES-256-GCM, bound to a place by its associated data."""

import contextlib
import os
import struct
from typing import Final

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from dts_core.errors import ConfigError, KeyMissing, SealBroken, TooLarge
from dts_core.vault.keyfile import KeyFile
from dts_core.vault.keys import ID_BYTES, Key, Keyring
from dts_core.vault.secret import Secret

FORMAT: Final = b"\x01"
NONCE_BYTES: Final = 12
TAG_BYTES: Final = 16
BLOCK: Final = 64
"""A secret is filled up to a multiple of so many bytes: its length is not told."""
SECRET_MAX: Final = 1 << 20
_HEAD_BYTES: Final = len(FORMAT) + ID_BYTES
_LENGTH: Final = struct.Struct(">I")


class Place(msgspec.Struct, frozen=True):
    """Where a secret belongs; sealed for one place, it opens nowhere else."""

    collection: str
    document: str
    field: str

    def __str__(self) -> str:
        return f"{self.field} of {self.collection}/{self.document}"


def key_of(sealed: bytes) -> str:
    """Id of the key that it is sealed with.

    Raises:
        SealBroken: It is no sealed secret of this format.
    """
    if len(sealed) < _HEAD_BYTES + NONCE_BYTES + TAG_BYTES or sealed[:1] != FORMAT:
        raise SealBroken("a sealed secret is damaged, or of a newer version.")
    return sealed[len(FORMAT) : _HEAD_BYTES].hex()


class Vault:
    """Seals with the first key of a file, opens with any of them.

    Random nonces of 96 bits: one key is good for 2^32 secrets, far more than a store ever holds.

    Args:
        file: The keys.
        is_shared: Whether other servers have copies of the file: then no key is added to it from here.
    """

    def __init__(self, file: KeyFile, *, is_shared: bool = False) -> None:
        self.file = file
        self.is_shared = is_shared

    @property
    def ring(self) -> Keyring:
        """The keys as they were last read."""
        return self.file.ring

    def seal(self, secret: Secret, place: Place) -> bytes:
        """The secret, sealed for its place with the first key.

        Raises:
            TooLarge: It has more than SECRET_MAX bytes.
        """
        plain = secret.reveal().encode()
        if len(plain) > SECRET_MAX:
            raise TooLarge(f"{place} has more than {SECRET_MAX} bytes.")
        key, nonce = self.ring.first, os.urandom(NONCE_BYTES)
        head = FORMAT + bytes.fromhex(key.id)
        filled = _LENGTH.pack(len(plain)) + plain
        filled += bytes(-len(filled) % BLOCK)
        box = AESGCM(key.material).encrypt(nonce, filled, _bound(head, place))
        return head + nonce + box

    def open(self, sealed: bytes, place: Place) -> Secret:
        """The secret that was sealed for this place.

        Raises:
            KeyMissing: Its key is not in the file.
            SealBroken: It was altered, or sealed for another place.
        """
        key_id = key_of(sealed)
        try:
            key = self.ring.get(key_id)
        except KeyMissing:
            key = self._read_again().get(key_id)
        return _opened(key, sealed, place)

    def _read_again(self) -> Keyring:
        """The file's keys as they are now: one may have been added since, for another server on the same store."""
        with contextlib.suppress(ConfigError):
            self.file.read()
        return self.ring

    def is_fresh(self, sealed: bytes) -> bool:
        """Whether it is sealed with the first key. Raises SealBroken as `key_of`."""
        return key_of(sealed) == self.ring.first.id


def _opened(key: Key, sealed: bytes, place: Place) -> Secret:
    head, nonce = sealed[:_HEAD_BYTES], sealed[_HEAD_BYTES : _HEAD_BYTES + NONCE_BYTES]
    box = sealed[_HEAD_BYTES + NONCE_BYTES :]
    try:
        filled = AESGCM(key.material).decrypt(nonce, box, _bound(head, place))
    except InvalidTag:
        raise SealBroken(
            f"{place} does not open: it was altered, or sealed for another place."
        ) from None
    (length,) = _LENGTH.unpack_from(filled)
    return Secret(filled[_LENGTH.size : _LENGTH.size + length].decode())


def _bound(head: bytes, place: Place) -> bytes:
    """The associated data: every part with its length, so that no two places give the same bytes."""
    parts = (head, place.collection.encode(), place.document.encode(), place.field.encode())
    return b"".join(_LENGTH.pack(len(part)) + part for part in parts)
