"""Rules of results that come in chunks, whatever keeps them."""

import hashlib
from typing import Final

from dts_core.errors import CodecError, Conflict, InvalidInput
from dts_core.model import CHUNK_MAX, RESULT_CEILING, BlobChunk
from dts_core.text import clean

PARTIAL: Final = 0
"""Chunks came, not all or not proved."""
WHOLE: Final = 1
"""All came and were proved; a FINISH may refer to it."""


def check_shape(chunk: BlobChunk) -> None:
    """Whether it can be a piece of what it says.

    Raises:
        InvalidInput: It cannot.
    """
    if not 0 < chunk.total <= RESULT_CEILING:
        raise InvalidInput(f"a result of {chunk.total} bytes: 1 to {RESULT_CEILING} are taken.")
    if chunk.offset % CHUNK_MAX or not 0 <= chunk.offset < chunk.total:
        raise InvalidInput(f"no chunk of {chunk.total} bytes begins at {chunk.offset}.")
    expected = min(CHUNK_MAX, chunk.total - chunk.offset)
    if len(chunk.data) != expected:
        raise InvalidInput(
            f"the chunk at {chunk.offset} has {len(chunk.data)} bytes, not {expected}."
        )


def check_content(data: bytes, chunk: BlobChunk) -> None:
    """Whether all that came is the whole that a chunk belongs to.

    Raises:
        CodecError: It is not.
    """
    if len(data) != chunk.total or hashlib.sha256(data).hexdigest() != chunk.hash:
        raise CodecError(
            f"the {len(data)} bytes that came are not what {chunk.hash[:12]} stands for."
        )


def claim_over(chunk: BlobChunk) -> Conflict:
    """What the sender of a chunk hears when nobody wants it any more."""
    return Conflict(f"claim {chunk.epoch} of job {chunk.job[:64]} is over.")


def not_whole(digest: str) -> str:
    """Why a FINISH is refused whose result is not there."""
    return f"its result {clean(digest, 12)} did not come whole"
