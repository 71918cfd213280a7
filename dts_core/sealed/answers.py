"""Boxes of a person's answers: each opens in the one process that asked, for the one question that it answers."""

import hashlib
import hmac
import struct
from collections.abc import Sequence
from typing import Final

import msgspec

from dts_core.errors import InvalidInput, SealBroken
from dts_core.model import Wording
from dts_core.sealed.boxes import BLOCK
from dts_core.sealed.keys import OpeningKey, SealingKey

__all__ = ["ANSWER_MAX", "BOX_MAX", "open_answers", "seal_answers"]

ANSWER_MAX: Final = 4096
"""Characters of one answer."""
BOX_MAX: Final = 64 << 10
_CONTEXT: Final = b"dts answers 1\0"
_LENGTH: Final = struct.Struct(">I")
_BOUND_BYTES: Final = 32


def seal_answers(key: str, question: str, wording: Wording, answers: Sequence[str]) -> bytes:
    """Seal them; how long they are is not told.

    Args:
        key: The question's sealing key, `x25519:...`.
        question: Its id.
        wording: As the person saw it.
        answers: One for each prompt, or the one signature.

    Raises:
        InvalidInput: The key is none, or an answer is too long.
    """
    if any(len(each) > ANSWER_MAX for each in answers):
        raise InvalidInput(f"an answer has at most {ANSWER_MAX} characters.")
    content = msgspec.json.encode(list(answers))
    filled = _bound(question, wording) + _LENGTH.pack(len(content)) + content
    return SealingKey.parse(key).seal(filled + bytes(-len(filled) % (4 * BLOCK)))


def open_answers(key: OpeningKey, question: str, wording: Wording, box: bytes) -> list[str]:
    """What was sealed.

    Raises:
        SealBroken: It was altered, or answers something else.
    """
    filled = key.open(box)
    if not hmac.compare_digest(filled[:_BOUND_BYTES], _bound(question, wording)):
        raise SealBroken("the answer belongs to another question.")
    try:
        (length,) = _LENGTH.unpack_from(filled, _BOUND_BYTES)
        begin = _BOUND_BYTES + _LENGTH.size
        answers: list[str] = msgspec.json.decode(filled[begin : begin + length], type=list[str])
    except (msgspec.DecodeError, struct.error):
        raise SealBroken("the answer cannot be read.") from None
    return answers


def _bound(question: str, wording: Wording) -> bytes:
    """sha256 over the question as it is asked, every part behind its length."""
    parts = [question, wording.host, wording.user, wording.title, wording.public_key]
    parts.append(wording.opens)
    parts += [f"{prompt.echo:d}{prompt.text}" for prompt in wording.prompts]
    found = hashlib.sha256(_CONTEXT)
    for part in (*(each.encode() for each in parts), wording.data):
        found.update(_LENGTH.pack(len(part)) + part)
    return found.digest()
