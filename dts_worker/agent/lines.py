"""Bytes to lines: a line counts when its line feed has arrived, and none is longer than LINE_BYTES."""

from typing import Final, NamedTuple

from dts_core.text import LINE_MAX, SafeText, clean

LINE_BYTES: Final = 16 << 10
"""Longest line that is kept; the rest is counted."""
_HOLE: Final = bytes(8)
"""A file emptied under a writer that keeps its own position begins with a hole, which reads as zeros."""


class Line(NamedTuple):
    """One line of a file."""

    data: bytes
    """Without its line feed, at most LINE_BYTES."""
    cut: int
    """Bytes that were not kept."""
    end: int
    """Offset in the file right behind it."""

    def text(self) -> SafeText:
        """Printable, at most a little over LINE_MAX characters; says what was cut."""
        data = self.data.removesuffix(b"\r")
        if data.startswith(_HOLE):
            data = data.lstrip(b"\0")
        text = data.decode("utf-8", "backslashreplace")
        if not self.cut and len(text) <= LINE_MAX:
            return clean(text)
        missing = f" … ({self.cut} bytes more)" if self.cut else ""
        return SafeText(clean(text) + missing)


class Splitter:
    """Cuts what is read from one file into lines, keeping the unfinished one.

    Args:
        offset: Where in the file the first fed byte stands.
        is_inside: Whether that is in the middle of a line; its end is then left out.
    """

    def __init__(self, offset: int = 0, *, is_inside: bool = False) -> None:
        self.start = offset
        """Offset of the first byte that is in no finished line."""
        self._kept = bytearray()
        self._length = 0
        self._is_inside = is_inside

    @property
    def end(self) -> int:
        """Offset behind the last byte that was fed."""
        return self.start + self._length

    def feed(self, data: bytes) -> list[Line]:
        """Add what follows in the file; returns the lines that are finished by it."""
        parts = data.split(b"\n")
        last = parts.pop()
        lines = []
        for part in parts:
            line = self._finish(part)
            if line is not None:
                lines.append(line)
        self._keep(last)
        return lines

    def rest(self) -> Line | None:
        """The unfinished line, since nothing will follow it; None when there is none."""
        if not self._length:
            return None
        line = self._line(self.end)
        self._begin(self.end)
        return line

    def _finish(self, part: bytes) -> Line | None:
        if not self._length and not self._is_inside and len(part) <= LINE_BYTES:
            end = self.start = self.start + len(part) + 1
            return Line(part, 0, end)
        self._keep(part)
        line = self._line(self.end + 1)
        self._begin(line.end)
        if self._is_inside:
            self._is_inside = False
            return None
        return line

    def _keep(self, part: bytes) -> None:
        self._length += len(part)
        room = LINE_BYTES - len(self._kept)
        if room > 0:
            self._kept += part[:room]

    def _line(self, end: int) -> Line:
        return Line(bytes(self._kept), self._length - len(self._kept), end)

    def _begin(self, offset: int) -> None:
        self.start = offset
        self._kept.clear()
        self._length = 0
