"""What is new of a host's output since somebody looked last: whole lines, and how much was missed."""

import re
from typing import Final

import msgspec

__all__ = ["Piece", "end_of", "new_lines"]

_LEFT_OUT: Final = re.compile(rb"\n\.\.\. (\d+) bytes left out \.\.\.\n")
"""See `KeptOutput.kept`."""
LINE_MAX: Final = 4 << 10
"""Bytes of a line without an end after which it counts as one."""


class Piece(msgspec.Struct, frozen=True):
    """Some of a stream."""

    data: bytes
    at: int
    """Where the next piece begins: bytes from the begin of the stream."""
    missed: int = 0
    """Bytes before it that nobody has any more."""


def end_of(kept: bytes, total: int) -> bytes:
    """The end of a stream without a gap, of what was kept of it."""
    if len(kept) == total:
        return kept
    for found in _LEFT_OUT.finditer(kept):
        held = total - int(found[1])
        if len(kept) - len(found[0]) == held and found.start() == held // 2:
            return kept[found.end() :]
    return b""


def new_lines(held: bytes, total: int, at: int, *, is_over: bool) -> Piece:
    """What lies behind a position.

    Args:
        held: The end of the stream, as far as it is held.
        total: Bytes that came of it.
        at: The position.
        is_over: Whether nothing more comes, so that the last line needs no end.
    """
    begin = total - len(held)
    if at >= total:
        return Piece(b"", at)
    missed = max(begin - at, 0)
    data = held[max(at - begin, 0) :]
    if missed and (line := data.find(b"\n")) >= 0:
        missed += line + 1
        data = data[line + 1 :]
    at = total - len(data)
    if not is_over:
        end = data.rfind(b"\n") + 1
        data = data[:end] if end or len(data) < LINE_MAX else data
    return Piece(data, at + len(data), missed)
