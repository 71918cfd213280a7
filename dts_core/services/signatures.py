"""Where signatures are kept: with their version, and on their own once the version has left its function.

Jobs go on to name a version that is not listed any more, or whose function was deleted: its source stays, and so does
who signed it.
"""

import hashlib

import msgspec

from dts_core.errors import InvalidInput
from dts_core.model import Function, Signature
from dts_core.names import split_function
from dts_core.stores.base import Store

__all__ = ["leaving", "signature_of"]

_FUNCTION = msgspec.msgpack.Decoder(Function)
_SIGNATURE = msgspec.msgpack.Decoder(Signature)


async def signature_of(store: Store, function: str, digest: str) -> Signature | None:
    """Who signed a version as one of this function; None when nobody has, or there is no such thing.

    Raises:
        StoreUnavailable: The store cannot say now.
    """
    try:
        split_function(function)
    except InvalidInput:
        return None
    stored = await store.get_document("functions", function)
    for version in () if stored is None else _FUNCTION.decode(stored).versions:
        if version.hash == digest:
            return version.signature
    kept = await store.get_blob(_address(function, digest))
    return None if kept is None else _SIGNATURE.decode(kept)


def leaving(before: Function | None, after: Function | None) -> list[tuple[str, bytes]]:
    """Signatures of versions that a write takes off a function, as blobs to keep with it: (address, content)."""
    if before is None:
        return []
    staying = () if after is None else {version.hash for version in after.versions}
    return [
        (_address(before.id, version.hash), msgspec.msgpack.encode(version.signature))
        for version in before.versions
        if version.signature is not None and version.hash not in staying
    ]


def _address(function: str, digest: str) -> str:
    """Of no content: a sha256 over what no source can be."""
    return hashlib.sha256(f"signature\0{function}\0{digest}".encode()).hexdigest()
