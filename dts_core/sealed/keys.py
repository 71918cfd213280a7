"""Keys of secret arguments: who has the one half seals, who has the other opens. Both are one line of text."""

import base64
import binascii
import hashlib
from typing import Final

from dts_core.errors import InvalidInput, SealBroken
from dts_core.text import one_line

__all__ = ["OpeningKey", "SealingKey"]

PUBLIC: Final = "x25519:"
PRIVATE: Final = "x25519-private:"
KEY_BYTES: Final = 32
ID_LENGTH: Final = 16
"""Hex digits of the public half's sha256 that name a key."""


class SealingKey:
    """The half that seals; no secret.

    Args:
        raw: 32 bytes.
        namespace: Of which it seals the arguments; empty: of all that have no key of their own.
    """

    def __init__(self, raw: bytes, namespace: str = "") -> None:
        self._raw = raw
        self.namespace = namespace
        self.id = hashlib.sha256(raw).hexdigest()[:ID_LENGTH]
        """How what is sealed names it."""

    @classmethod
    def parse(cls, text: str) -> "SealingKey":
        """The key of its one line: `x25519:` and 44 characters of base64, then the namespace, if it is for one.

        Raises:
            InvalidInput: The text is something else; nothing of it is in the message.
        """
        words = text.split()
        raw = _raw(words[0], PUBLIC) if 1 <= len(words) <= 2 else None
        if raw is None:
            raise InvalidInput(
                "a line is no public key for secret arguments.",
                advice="`dts admin arguments public FILE` prints it: x25519:...",
            )
        return cls(raw, words[1] if len(words) == 2 else "")

    def seal(self, content: bytes) -> bytes:
        """The content so that only the other half opens it; another box each time."""
        from nacl.public import PublicKey, SealedBox

        sealed: bytes = SealedBox(PublicKey(self._raw)).encrypt(content)
        return sealed

    def __str__(self) -> str:
        return f"{PUBLIC}{base64.b64encode(self._raw).decode()} {self.namespace}".rstrip()

    def __repr__(self) -> str:
        return f"SealingKey({self.id})"


class OpeningKey:
    """The half that opens. Nothing of it is printed or packed by accident."""

    def __init__(self, raw: bytes) -> None:
        from nacl.public import PrivateKey

        self._key = PrivateKey(raw)
        self.public = SealingKey(bytes(self._key.public_key))

    @classmethod
    def new(cls) -> "OpeningKey":
        """A random key."""
        import secrets

        return cls(secrets.token_bytes(KEY_BYTES))

    @classmethod
    def parse(cls, text: str) -> "OpeningKey":
        """The key of its one line, as `written` makes it.

        Raises:
            InvalidInput: The text is something else; nothing of it is in the message.
        """
        raw = _raw(text.strip(), PRIVATE)
        if raw is None:
            shown = f" It begins with {one_line(PUBLIC)}" if text.startswith(PUBLIC) else ""
            raise InvalidInput(
                f"a line is no private key for secret arguments.{shown}",
                advice="`dts admin arguments new-key FILE` makes one.",
            )
        return cls(raw)

    def open(self, box: bytes) -> bytes:
        """What was sealed.

        Raises:
            SealBroken: It was altered, or sealed with another key.
        """
        from nacl.exceptions import CryptoError
        from nacl.public import SealedBox

        try:
            content: bytes = SealedBox(self._key).decrypt(box)
        except (CryptoError, ValueError, TypeError):
            raise SealBroken("what was sealed does not open: it was altered.") from None
        return content

    def written(self) -> str:
        """The line of its file: a secret."""
        return PRIVATE + base64.b64encode(bytes(self._key)).decode()

    def __repr__(self) -> str:
        return f"OpeningKey({self.public.id})"

    def __reduce__(self) -> str:
        raise TypeError("a key stays in its process")


def _raw(word: str, prefix: str) -> bytes | None:
    if not word.startswith(prefix):
        return None
    try:
        raw = base64.b64decode(word.removeprefix(prefix), validate=True)
    except (ValueError, binascii.Error):
        return None
    return raw if len(raw) == KEY_BYTES else None
