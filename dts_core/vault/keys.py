"""The keys of a vault and their text form: one line a key, its id first."""

import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Sequence
from typing import Final

import msgspec

from dts_core.errors import ConfigError, KeyMissing

KEY_BYTES: Final = 32
"""AES-256."""
ID_BYTES: Final = 6
KEYS_MAX: Final = 64
_LABEL: Final = b"dts vault key id"
_HEAD: Final = """\
# Keys of the dts vault: who reads this file and the store reads every secret in it.
# One key a line, its id first. The first key seals, every key opens. Keep the mode 0600, and keep
# copies away from those of the store. `dts admin vault status` tells which keys are still needed.
"""


class Key(msgspec.Struct, frozen=True):
    """One key; its id is computed from it, so that an id never names another key."""

    id: str
    """12 hexadecimal digits, no secret"""
    material: bytes

    def __repr__(self) -> str:
        return f"Key({self.id})"


class Keyring(msgspec.Struct, frozen=True):
    """The keys of one file, in its order; at least one."""

    keys: tuple[Key, ...]

    @property
    def first(self) -> Key:
        """The key that seals."""
        return self.keys[0]

    def get(self, key_id: str) -> Key:
        """The key of this id.

        Raises:
            KeyMissing: It is not here.
        """
        found = next((key for key in self.keys if key.id == key_id), None)
        if found is None:
            raise KeyMissing(
                f"a secret is sealed with key {key_id}, which is not in the key file.",
                advice="Put that key's line back into the file of [vault] key_file.",
            )
        return found

    def with_key(self, key: Key, *, is_first: bool) -> "Keyring":
        """These keys and one more, which seals from now on or only opens."""
        return Keyring((key, *self.keys) if is_first else (*self.keys, key))


def key_from(material: bytes) -> Key:
    """The key of these KEY_BYTES bytes."""
    identity = hmac.new(material, _LABEL, hashlib.sha256).digest()[:ID_BYTES]
    return Key(identity.hex(), material)


def new_key() -> Key:
    """A random key."""
    return key_from(secrets.token_bytes(KEY_BYTES))


def written(keys: Sequence[Key]) -> bytes:
    """The file's content."""
    lines = [f"{key.id} {base64.b64encode(key.material).decode()}\n" for key in keys]
    return (_HEAD + "".join(lines)).encode()


def parsed(content: bytes, *, file: str) -> Keyring:
    """The keys of a file's content.

    Args:
        content: As `written` makes it; empty lines and lines that begin with # are left out.
        file: Named in errors, which tell numbers of lines and never what stands in them.

    Raises:
        ConfigError: A line is no key, a key is damaged or there twice, there is none, or more than KEYS_MAX.
    """
    keys: list[Key] = []
    for number, line in enumerate(content.split(b"\n"), start=1):
        parts = line.split()
        if not parts or parts[0].startswith(b"#"):
            continue
        key = _key_of(parts)
        if key is None or key.id.encode() != parts[0].lower():
            raise ConfigError(
                f"line {number} is no key of the vault, or is damaged.",
                file=file,
                advice="Take the line from a copy of the file.",
            )
        if key in keys:
            raise ConfigError(f"line {number} repeats key {key.id}.", file=file)
        keys.append(key)
    if not 1 <= len(keys) <= KEYS_MAX:
        raise ConfigError(
            f"holds {len(keys)} keys; 1 to {KEYS_MAX} are expected.",
            file=file,
            advice="Make one with `dts admin vault new-key`.",
        )
    return Keyring(tuple(keys))


def _key_of(parts: Sequence[bytes]) -> Key | None:
    if len(parts) != 2:
        return None
    try:
        material = base64.b64decode(parts[1], validate=True)
    except (binascii.Error, ValueError):
        return None
    return key_from(material) if len(material) == KEY_BYTES else None
