"""What a signature is over, as bytes that can be read in one way only."""

from typing import Final

from dts_core.names import split_function

__all__ = ["statement"]

CONTEXT: Final = b"dts function version, signature 1\0"
"""No other statement that a key of ours may ever sign begins so."""
LENGTH_BYTES: Final = 4


def statement(function: str, digest: str, key: str) -> bytes:
    """That a version belongs to a function, said by a key.

    The context, then namespace, name, digest and key, each as UTF-8 behind its length (4 bytes, big-endian): no field
    can end where another begins.

    Args:
        function: namespace/name.
        digest: sha256 of the source, in hex.
        key: Id of the key that signs.

    Raises:
        InvalidInput: `function` is not namespace/name.
    """
    fields = (*split_function(function), digest, key)
    return CONTEXT + b"".join(_framed(field.encode()) for field in fields)


def _framed(field: bytes) -> bytes:
    return len(field).to_bytes(LENGTH_BYTES, "big") + field
