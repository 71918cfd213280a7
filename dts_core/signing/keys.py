"""Keys: the private half signs and never shows itself; the public half is one line of text."""

import base64
import binascii
import hashlib
from typing import Final

from dts_core.errors import Forbidden, InvalidInput
from dts_core.model import Job, Signature
from dts_core.names import split_function
from dts_core.signing.envelope import envelope
from dts_core.signing.statement import statement
from dts_core.text import one_line

__all__ = ["PublicKey", "Signer", "new_pem"]

PREFIX: Final = "ed25519:"
KEY_BYTES: Final = 32
SIGNATURE_BYTES: Final = 64
ID_LENGTH: Final = 16
"""Hex digits of the public key's sha256 that name it."""
RESERVED: Final = "dts"
"""The control side's own namespace: its functions lie in files, none of them is ever signed."""


class PublicKey:
    """The half that checks. Equal when the key is.

    Args:
        raw: 32 bytes.

    Raises:
        InvalidInput: They are no Ed25519 key.
    """

    def __init__(self, raw: bytes) -> None:
        if len(raw) != KEY_BYTES:
            raise InvalidInput(f"a public key has {KEY_BYTES} bytes.")
        self._raw = raw
        self.id = hashlib.sha256(raw).hexdigest()[:ID_LENGTH]
        """How signatures name it."""

    @classmethod
    def parse(cls, text: str) -> "PublicKey":
        """The key of its one line, `ed25519:` and 44 characters of base64.

        Raises:
            InvalidInput: The text is something else.
        """
        given = text.strip()
        try:
            if not given.startswith(PREFIX):
                raise ValueError
            return cls(base64.b64decode(given.removeprefix(PREFIX), validate=True))
        except (ValueError, binascii.Error, InvalidInput) as error:
            # Who pastes the wrong half must not find it in a log.
            shown = one_line(given, 12) if not given.startswith("-----") else "a file's content"
            raise InvalidInput(
                f"{shown!r} is no public key.",
                advice="`dts admin signing public FILE` prints it: ed25519:...",
            ) from error

    def is_by(self, signature: bytes, said: bytes) -> bool:
        """Whether the private half signed just these bytes."""
        # By libsodium: cryptography, which the signing side has anyway, would be 7 MiB in every worker.
        from nacl.exceptions import BadSignatureError
        from nacl.signing import VerifyKey

        if len(signature) != SIGNATURE_BYTES:
            return False
        try:
            VerifyKey(self._raw).verify(said, signature)
        except BadSignatureError:
            return False
        return True

    def __str__(self) -> str:
        return PREFIX + base64.b64encode(self._raw).decode()

    def __repr__(self) -> str:
        return f"PublicKey({self.id})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PublicKey) and other._raw == self._raw

    def __hash__(self) -> int:
        return hash(self._raw)


class Signer:
    """The half that signs. Nothing of it can be printed, copied or stored.

    Args:
        pem: PKCS#8 in PEM, without a password, as `new_pem` and `openssl genpkey -algorithm ed25519` write it.

    Raises:
        InvalidInput: It is no such key; the message holds nothing of it.
    """

    def __init__(self, pem: bytes) -> None:
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        try:
            key = serialization.load_pem_private_key(pem, None)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            key = None
        if not isinstance(key, Ed25519PrivateKey):
            raise InvalidInput(
                "is no Ed25519 key in PEM without a password.",
                advice="`dts admin signing new-key FILE` makes one.",
            )
        self._key = key
        self.public = PublicKey(key.public_key().public_bytes_raw())

    def sign(self, function: str, digest: str) -> Signature:
        """Say that a version belongs to a function.

        Raises:
            Forbidden: The function is of the control side's own namespace.
            InvalidInput: `function` is not namespace/name.
        """
        if split_function(function)[0] == RESERVED:
            raise Forbidden(f"functions of namespace {RESERVED} are not signed.")
        said = statement(function, digest, self.public.id)
        return Signature(key=self.public.id, value=self._key.sign(said))

    def sign_job(self, job: Job) -> Signature:
        """Say that a job was accepted as it stands."""
        said = envelope(job, job.queue, self.public.id)
        return Signature(key=self.public.id, value=self._key.sign(said))

    def __repr__(self) -> str:
        return f"Signer({self.public.id})"

    def __reduce__(self) -> str:
        raise TypeError("a signer stays in its process")


def new_pem() -> bytes:
    """A new private key, as its file holds it."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    return Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
