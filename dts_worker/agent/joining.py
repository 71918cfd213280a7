"""Lines to entries: a traceback or an indented continuation belongs to the line that it explains."""

import re
from datetime import datetime
from enum import Enum
from typing import Final, NamedTuple

from dts_worker.agent.reading import ERROR, INFO, WARNING, level_of, starts_with_time, time_of

LINES_MAX: Final = 200
CHARACTERS_MAX: Final = 60_000
"""Bounds of one entry; what is over is counted in its last line."""
QUIET_SECONDS: Final = 1.0
"""An entry is whole when its file was quiet for so long."""
_TRACEBACK: Final = "Traceback (most recent call last)"
_CHAINED = ("During handling of the above exception", "The above exception was the direct cause")
_CAUSED = re.compile(r"(?:Caused by: |\.\.\. \d+ (?:more|common frames))")


class Entry(NamedTuple):
    """One record of a log."""

    text: str
    level: int
    at: datetime
    end: int
    """Offset in the file right behind its last line."""


class _Phase(Enum):
    PLAIN = 0
    FRAMES = 1  # inside a traceback, before the line that names the exception
    NAMED = 2  # behind it: only a chained exception belongs here still


class Joiner:
    """Gathers the lines of one file."""

    def __init__(self) -> None:
        self.start: int | None = None
        """Offset of the first line of the entry that is being gathered; None when there is none."""
        self._lines: list[str] = []
        self._characters = 0
        self._hidden = 0
        self._blanks = 0
        self._level = INFO
        self._at: datetime | None = None
        self._end = 0
        self._touched = 0.0
        self._phase = _Phase.PLAIN

    def add(
        self, text: str, start: int, end: int, *, monotonic: float, now: datetime
    ) -> Entry | None:
        """Take the next line; returns the entry before it when this one begins another.

        Args:
            text: Printable, without its line feed.
            start: Offset of its first byte.
            end: Offset behind its line feed.
            monotonic: When it was read.
            now: The same; the entry's instant where the line names none.
        """
        self._touched = monotonic
        if self._lines and not text.strip():
            self._blanks += 1
            self._end = end
            if self._phase is _Phase.FRAMES:
                self._phase = _Phase.PLAIN
            return None
        if self._lines and self._belongs(text):
            self._append(text, end)
            return None
        done = self.flush()
        if text.strip():
            self._begin(text, start, end, now)
        return done

    def flush(self) -> Entry | None:
        """The entry as gathered so far, since nothing will be added to it; None when there is none."""
        if not self._lines or self._at is None:
            return None
        if self._hidden:
            self._lines.append(f"… {self._hidden} lines more")
        entry = Entry("\n".join(self._lines), self._level, self._at, self._end)
        self._lines, self.start = [], None
        return entry

    def flush_quiet(self, monotonic: float) -> Entry | None:
        """The entry, when nothing was added to it for QUIET_SECONDS."""
        return self.flush() if self.start is not None and self._is_quiet(monotonic) else None

    def _is_quiet(self, monotonic: float) -> bool:
        return monotonic - self._touched >= QUIET_SECONDS

    def _begin(self, text: str, start: int, end: int, now: datetime) -> None:
        self.start, self._end = start, end
        self._lines = [text]
        self._characters = len(text)
        self._hidden = self._blanks = 0
        level = level_of(text)
        self._level = INFO if level is None else level
        self._at = time_of(text, now) or now
        self._phase = _Phase.FRAMES if _TRACEBACK in text else _Phase.PLAIN

    def _append(self, text: str, end: int) -> None:
        self._end = end
        blanks, self._blanks = self._blanks, 0
        if len(self._lines) + blanks >= LINES_MAX or self._characters + len(text) > CHARACTERS_MAX:
            self._hidden += 1 + blanks
            return
        self._lines += [""] * blanks
        self._lines.append(text)
        self._characters += len(text) + 1

    def _belongs(self, text: str) -> bool:
        """Whether the line goes on with the entry; moves the phase on."""
        if text.startswith(_TRACEBACK):
            if self._phase is _Phase.PLAIN and (self._level < WARNING or self._blanks):
                return False
            self._phase = _Phase.FRAMES
            self._level = max(self._level, ERROR)
            return True
        if self._phase is _Phase.NAMED and text.startswith(_CHAINED):
            return True
        if self._blanks:
            return False
        if text[0] in " \t":
            return True
        if self._phase is _Phase.FRAMES and not starts_with_time(text):
            self._phase = _Phase.NAMED
            return True
        return _CAUSED.match(text) is not None
