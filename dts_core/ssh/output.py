"""Output of a far host, kept within bounds: its begin, its end, and how much lies between."""

from typing import Final

__all__ = ["KEPT_MAX", "KeptOutput"]

KEPT_MAX: Final = 1 << 20
"""Bytes that are kept of one stream, unless told otherwise."""


class KeptOutput:
    """Takes a stream of any length in memory of `most` bytes (and at most as much again while it is taken).

    Args:
        most: Bytes to keep, half of them from the begin; at least 2.
    """

    __slots__ = ("_head", "_head_max", "_tail", "_tail_max", "total")

    def __init__(self, most: int = KEPT_MAX) -> None:
        self._head = bytearray()
        self._tail = bytearray()
        self._head_max = most // 2
        self._tail_max = most - most // 2
        self.total = 0
        """Bytes that came."""

    def take(self, data: bytes) -> None:
        """One more piece."""
        self.total += len(data)
        room = self._head_max - len(self._head)
        if room > 0:
            self._head += data[:room]
            data = data[room:]
        if not data:
            return
        if len(data) >= self._tail_max:
            self._tail[:] = data[-self._tail_max :]
            return
        self._tail += data
        if len(self._tail) > 2 * self._tail_max:
            del self._tail[: -self._tail_max]

    @property
    def dropped(self) -> int:
        """Bytes that lie between begin and end, and are gone."""
        return max(self.total - self._head_max - self._tail_max, 0)

    def kept(self) -> bytes:
        """What is left of it, with a line that says how much is missing where it is missing."""
        tail = bytes(self._tail[-self._tail_max :])
        if not self.dropped:
            return bytes(self._head) + tail
        return bytes(self._head) + f"\n... {self.dropped} bytes left out ...\n".encode() + tail
