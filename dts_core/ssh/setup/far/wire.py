"""Orders come by standard input, answers go by standard output: four bytes of length, then JSON."""

import json
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from typing import Any, Optional

from dts_core.ssh.setup.far.base import Failed

PIECE = 1 << 18
ORDER_MAX = 16 << 20


def serve(mark: str, obey: "Callable[[dict[str, Any]], dict[str, Any]]") -> None:
    """Greet with the mark, then answer one order after the other, until nobody gives any more."""
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    os.umask(0o077)
    os.write(1, mark.encode("ascii") + b":")
    while True:
        order = read_order()
        if order is None:
            return
        try:
            told = obey(order)
        except Failed as error:
            told = {"failed": str(error)}
        except (OSError, ValueError, shutil.Error) as error:
            told = {"failed": f"{type(error).__name__}: {error}"}
        answer(told)


def read_order() -> "Optional[dict[str, Any]]":
    """The next order, or None when nobody gives any more."""
    head = _read(4, can_end=True)
    if not head:
        return None
    length = int.from_bytes(head, "big")
    if length > ORDER_MAX:
        raise ValueError("the order is too long")
    order: dict[str, Any] = json.loads(_read(length))
    return order


def read_body(size: int) -> "Iterator[bytes]":
    """So many bytes that follow an order, piece by piece."""
    while size:
        piece = os.read(0, min(size, PIECE))
        if not piece:
            raise EOFError("the connection ended within the files")
        size -= len(piece)
        yield piece


def answer(value: "dict[str, Any]") -> None:
    """Send an answer."""
    data = json.dumps(value).encode()
    rest = memoryview(len(data).to_bytes(4, "big") + data)
    while rest:
        rest = rest[os.write(1, rest) :]


def _read(size: int, *, can_end: bool = False) -> bytes:
    found = b""
    while len(found) < size:
        piece = os.read(0, size - len(found))
        if not piece:
            if can_end and not found:
                return b""
            raise EOFError("the connection ended within an order")
        found += piece
    return found
