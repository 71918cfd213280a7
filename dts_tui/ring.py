"""The last log lines that came, and those of them that are shown."""

from collections import deque
from collections.abc import Iterable

from dts_core.views import LogLine
from dts_tui.filters import Filter
from dts_tui.text_of import log_record


class LogRing:
    """The last lines that came, and those of them that are shown. Costs one append a line; memory is bounded.

    Args:
        capacity: Most lines kept; the oldest fall off.
    """

    def __init__(self, capacity: int = 10_000) -> None:
        self.lines: deque[LogLine] = deque(maxlen=capacity)
        self.shown: deque[LogLine] = deque(maxlen=capacity)
        self.filter = Filter()
        self.level = 0
        self.host = ""
        self.dropped = 0
        """Lines that never came here, because there were too many."""
        self.newest = 0
        """Highest position in the store that was seen."""
        self.came = 0
        """Lines that came since the start; with `scrolled` it keeps a view in its place."""
        self.scrolled = 0
        """Shown lines that fell off since the last change of the filter."""

    def add(self, lines: Iterable[LogLine]) -> int:
        """Append lines.

        One that was seen already (a resumed stream overlaps) is left out. Returns how many are
        shown.
        """
        added = 0
        for line in lines:
            if line.seq and line.seq <= self.newest:
                continue
            self.newest = max(self.newest, line.seq)
            self.lines.append(line)
            self.came += 1
            if self.fits(line):
                if len(self.shown) == self.shown.maxlen:
                    self.scrolled += 1
                self.shown.append(line)
                added += 1
        return added

    def merge(self, lines: Iterable[LogLine]) -> None:
        """Take a page: its lines find their places among those that the stream brought meanwhile."""
        have = {line.seq for line in self.lines}
        new = [line for line in lines if line.seq not in have]
        if not new:
            return
        self.came += len(new)
        every = sorted((*self.lines, *new), key=lambda line: line.seq)
        self.lines = deque(every, maxlen=self.lines.maxlen)
        self.newest = max(self.newest, every[-1].seq)
        self.refilter(self.filter, level=self.level, host=self.host)

    def fits(self, line: LogLine) -> bool:
        """Whether a line is shown under the present filter, level and host."""
        if line.level < self.level or (self.host and line.host != self.host):
            return False
        return not self.filter or self.filter.match(log_record(line))

    def refilter(self, wanted: Filter, *, level: int, host: str) -> None:
        """Change what is shown; looks at every line kept (10,000 take some 10 ms)."""
        self.filter, self.level, self.host = wanted, level, host
        self.shown = deque(
            (line for line in self.lines if self.fits(line)), maxlen=self.lines.maxlen
        )
        self.scrolled = 0

    def clear(self) -> None:
        """Forget all lines; the position stays, so that they do not come again."""
        self.lines.clear()
        self.shown.clear()
        self.scrolled = 0
