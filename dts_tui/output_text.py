"""What a host printed, as lines to be read: untrusted, so nothing in it acts. No Textual here."""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import Final, TypeAlias, overload

from dts_core.plain import words
from dts_core.views.ssh import HostOutputView

TextLine: TypeAlias = tuple[str, str]
"""A line and its style; cleaned where it is drawn."""
KEPT_LINES: Final = 50_000
"""Most lines of one part of an output that are held here."""


class OutputText(Sequence[TextLine]):
    """Lines in parts, each of one style: ten thousand lines cost no more than their text.

    Args:
        parts: Lines and their style, from top to bottom.
    """

    def __init__(self, parts: Iterable[tuple[list[str], str]] = ()) -> None:
        self._parts = [part for part in parts if part[0]]
        self._ends = list(accumulate(len(lines) for lines, _ in self._parts))

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    @overload
    def __getitem__(self, index: int) -> TextLine: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[TextLine]: ...
    def __getitem__(self, index: int | slice) -> TextLine | Sequence[TextLine]:
        if isinstance(index, slice):
            return [self[at] for at in range(*index.indices(len(self)))]
        at = index if index >= 0 else index + len(self)
        if not 0 <= at < len(self):
            raise IndexError(index)
        part = bisect_right(self._ends, at)
        lines, style = self._parts[part]
        return lines[at - self._ends[part]], style

    def plain(self) -> list[str]:
        """All lines without their styles."""
        return [line for lines, _ in self._parts for line in lines]


def output_lines(output: HostOutputView) -> OutputText:
    """All that there is to read of a host: its error, what it returned, standard output and error, in this order.

    The server has made it printable; what it kept of more is told by a line in it. Of a part with more than KEPT_LINES
    lines the middle is left out and counted.
    """
    parts: list[tuple[list[str], str]] = []
    if output.error is not None:
        parts.append((_split(f"{output.error.type}: {output.error.message}"), "bad"))
        parts += _bounded(_split(output.error.traceback), "dim")
    if output.fingerprint:
        parts.append(([f"it showed the key {output.fingerprint}"], "warn"))
    parts += _bounded(_split(output.result), "accent")
    parts += _bounded(_split(output.stdout), "text")
    stderr = _split(output.stderr)
    if stderr and output.stdout:
        parts.append((["── standard error ──"], "faint"))
    return OutputText([*parts, *_bounded(stderr, "warn")])


def _split(text: str) -> list[str]:
    return text.rstrip("\n").split("\n") if text else []


def _bounded(lines: list[str], style: str) -> list[tuple[list[str], str]]:
    surplus = len(lines) - KEPT_LINES
    if surplus <= 0:
        return [(lines, style)]
    half = KEPT_LINES // 2
    note = [f"… {words.count(surplus)} lines are left out here …"]
    return [(lines[:half], style), (note, "warn"), (lines[half + surplus :], style)]
