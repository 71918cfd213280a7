"""The log view: a ring of lines, drawn by line at most fifteen times a second, whatever comes in."""

import re
import time
from collections.abc import Callable, Iterable
from itertools import islice

from textual.timer import Timer

from dts_core.plain import words
from dts_core.plain.cells import cells, cut, pad
from dts_core.text import clean
from dts_core.views import LogLine
from dts_tui.draw import Line, fit, hits, rule, wrap
from dts_tui.filters import Filter
from dts_tui.ring import LogRing
from dts_tui.text_of import level_name
from dts_tui.widgets.scrolling import Scrolling

FRAME_SECONDS = 1 / 15
_LEVELS = {
    "debug": ("D", "faint"),
    "info": ("I", "dim"),
    "warning": ("W", "warn"),
    "error": ("E", "bad"),
    "critical": ("C", "dead"),
}
_STAMP = re.compile(
    r"^\[?\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?:Z|[+-]\d\d:?\d\d)?\]?\s+"
    r"(?:\[?(?:debug|info|warn(?:ing)?|error|critical)\]?:?\s+)?",
    re.IGNORECASE,
)
"""Time and level at the beginning of a line, which columns say already; wrapped and searched lines keep them."""
_TEXT = {"debug": "dim", "info": "text", "warning": "warn", "error": "bad", "critical": "bad"}


class LogView(Scrolling):
    """Newest below. While it follows, new lines push old ones up; otherwise the eye stays where it is.

    Args:
        owner: Under which name the feed sends lines here.
        capacity: Lines kept.
        title: What stands in the title line before the figures.
        plain: Without host and source, for the log of one job.
    """

    def __init__(
        self,
        owner: str,
        capacity: int,
        title: Callable[[], Line] | None = None,
        *,
        plain: bool = False,
    ) -> None:
        super().__init__()
        self.owner = owner
        self.ring = LogRing(capacity)
        self.title = title
        self.plain = plain
        self.follow = True
        self.wrap = False
        self.search = ""
        self.marks: set[int] = set()
        self.empty = "no lines yet"
        self._cursor = 0
        """Place of the cursor, counted from the first line ever shown under this filter."""
        self._timer: Timer | None = None
        self._rate: list[tuple[float, int]] = []
        self._last_first = 0
        self._host = self._source = 4
        """Widths of the columns, as wide as what was seen, within bounds; they never shrink."""
        self._paused_lines: list[LogLine] = []

    # --- content --------------------------------------------------------------------------------

    def take(
        self, lines: Iterable[LogLine], dropped: int = 0, *, missed: bool = False, live: bool = True
    ) -> None:
        """Add lines that came.

        Painting waits for the next frame. Lines of a page (not `live`) do not count for the
        rate.
        """
        lines = list(lines)
        self.ring.dropped += dropped
        if missed:
            self.ring.dropped += 1
        now = time.monotonic()
        self._rate = [(at, n) for at, n in self._rate if now - at < 5]
        if live:
            self._rate.append((now, len(lines) + dropped))
        if live and self.console.world.paused_at is not None:
            self._hold(lines)
            return
        if self._paused_lines:
            lines, self._paused_lines = [*self._paused_lines, *lines], []
        if live:
            self.ring.add(lines)
        else:
            self.ring.merge(lines)
        for line in lines[-200:]:
            self._host = max(self._host, min(cells(line.host), 16))
            self._source = max(self._source, min(cells(_source(line)), 20))
        self._soon()

    def _hold(self, lines: list[LogLine]) -> None:
        self._paused_lines += lines
        surplus = len(self._paused_lines) - (self.ring.lines.maxlen or 10_000)
        if surplus > 0:
            self.ring.dropped += surplus
            del self._paused_lines[:surplus]

    def _soon(self) -> None:
        if self._timer is None:
            self._timer = self.set_timer(FRAME_SECONDS, self._frame)

    def _frame(self) -> None:
        self._timer = None
        self.redraw()

    def rate(self) -> float:
        """Lines a second over the last five seconds, or since the first one came."""
        if not self._rate:
            return 0.0
        seconds = min(max(time.monotonic() - self._rate[0][0], 1.0), 5.0)
        return sum(number for _, number in self._rate) / seconds

    def refilter(self, wanted: Filter, *, level: int, host: str) -> None:
        """Show other lines; the cursor stays on its line when that is still shown."""
        here = self.current
        self.ring.refilter(wanted, level=level, host=host)
        self._cursor = max(len(self.ring.shown) - 1, 0)
        if here is not None and not self.follow:
            for index, line in enumerate(self.ring.shown):
                if line.seq >= here.seq:
                    self._cursor = index
                    break
            self._last_first = max(self._cursor - self.page // 2, 0)
        self.redraw()

    def clear(self) -> None:
        """Empty it; new lines keep coming."""
        self.ring.clear()
        self._cursor = 0
        self.redraw()

    # --- moving ---------------------------------------------------------------------------------

    @property
    def page(self) -> int:
        """Lines that are seen at once."""
        return max(self.size.height - 1, 1)

    def _index(self) -> int:
        last = len(self.ring.shown) - 1
        return last if self.follow else max(min(self._cursor - self.ring.scrolled, last), 0)

    @property
    def current(self) -> LogLine | None:
        """The line under the cursor."""
        return self.ring.shown[self._index()] if self.ring.shown else None

    def move(self, by: int) -> None:
        """Move the cursor; reaching the newest line follows again only when asked."""
        index = min(max(self._index() + by, 0), max(len(self.ring.shown) - 1, 0))
        self._cursor = index + self.ring.scrolled
        self.follow = by > 10**5
        self.redraw()

    def set_follow(self, on: bool) -> None:
        """Follow the newest line, or stay."""
        self._cursor = self._index() + self.ring.scrolled
        self.follow = on
        self.redraw()

    def step_hit(self, by: int) -> bool:
        """To the next or previous line that holds the search; False when there is none."""
        if not self.search:
            return False
        word = self.search.casefold()
        shown, start = list(self.ring.shown), self._index()
        places = range(start + 1, len(shown)) if by > 0 else range(start - 1, -1, -1)
        for index in places:
            if word in shown[index].text.casefold():
                self._cursor, self.follow = index + self.ring.scrolled, False
                self.redraw()
                return True
        return False

    def mark(self) -> None:
        """Mark or unmark the line under the cursor."""
        if (line := self.current) is not None:
            self.marks ^= {line.seq}
            self.redraw()

    def chosen(self) -> list[LogLine]:
        """The marked lines, or the one under the cursor."""
        marked = [line for line in self.ring.shown if line.seq in self.marks]
        return marked or ([self.current] if self.current else [])

    # --- drawing --------------------------------------------------------------------------------

    def draw(self, width: int, height: int) -> list[Line]:
        """The title, and the lines around the cursor."""
        out: list[Line] = [
            rule(
                self.title() if self.title else [],
                self._figures(),
                width,
                "focus" if self.has_focus else "border",
            )
        ]
        room = height - 1
        shown = self.ring.shown
        if not shown:
            kept = bool(self.ring.lines)
            text = "none of the lines fits; esc takes the filter away" if kept else self.empty
            return [*out, [], [("   " + text, "dim")]]
        index = self._index()
        if self.wrap:
            return out + self._folded(index, width, room)
        first = len(shown) - room if self.follow else self._first(index, room)
        first = max(min(first, len(shown) - room), 0)
        self._last_first = first + self.ring.scrolled
        return out + [
            self._line(line, width, number == index)[0]
            for number, line in enumerate(islice(shown, first, first + room), first)
        ]

    def _first(self, index: int, room: int) -> int:
        first = self._last_first - self.ring.scrolled
        return index if index < first else index - room + 1 if index >= first + room else first

    def _folded(self, index: int, width: int, room: int) -> list[Line]:
        """Wrapped lines, built upwards from the cursor's line."""
        out: list[Line] = []
        for number in range(index, -1, -1):
            out = self._line(self.ring.shown[number], width, number == index) + out
            if len(out) >= room:
                return out[-room:]
        for number in range(index + 1, len(self.ring.shown)):
            if len(out) >= room:
                break
            out += self._line(self.ring.shown[number], width, False)
        return out[:room]

    def _figures(self) -> Line:
        out: Line = []
        if self.ring.dropped:
            out.append((f"{words.count(self.ring.dropped)} dropped  ", "warn"))
        rate = self.rate()
        if rate >= 1:
            out.append((f"{words.short_count(rate)}/s  ", "dim"))
        if len(self.ring.shown) != len(self.ring.lines):
            out.append((f"{words.count(len(self.ring.shown))} of ", "dim"))
        out.append((f"{words.plural(len(self.ring.lines), 'line')}  ", "dim"))
        if self.console.world.paused_at is not None:
            out.append((f"paused, {words.count(len(self._paused_lines))} waiting", "warn"))
        else:
            out.append(("following", "good") if self.follow else ("not following", "warn"))
        return out

    def _line(self, line: LogLine, width: int, here: bool) -> list[Line]:
        name = level_name(line.level)
        sign, sign_style = _LEVELS[name]
        head: Line = [
            (
                "◆ " if line.seq in self.marks else "▸ " if here and not self.follow else "  ",
                "accent",
            )
        ]
        head += [
            (words.clock(line.at, utc=self.console.utc) + " ", "dim"),
            (sign + " ", sign_style),
        ]
        if not self.plain:
            head.append((pad(line.host, min(self._host, max(width // 8, 6))) + " ", "accent"))
            head.append((pad(_source(line), min(self._source, max(width // 6, 8))) + " ", "dim"))
        used = sum(cells(text) for text, _ in head)
        text: str = clean(line.text)
        if not self.wrap and not self.search:
            text = _STAMP.sub("", text, count=1) or text
        pieces = wrap(text, max(width - used, 10)) if self.wrap else [cut(text, width - used)]
        out: list[Line] = []
        for index, piece in enumerate(pieces):
            start: Line = head if index == 0 else [(" " * used, "text")]
            full = fit([*start, *hits(piece, _TEXT[name], self.search)], width)
            surface = (
                "cursor"
                if here and not self.follow and self.has_focus
                else "mark"
                if line.seq in self.marks
                else ""
            )
            out.append([(t, f"{s}/{surface}") for t, s in full] if surface else full)
        return out


def _source(line: LogLine) -> str:
    """The end of a path says more than its beginning."""
    if line.job and line.function:
        return line.function
    return line.source.rsplit("/", 1)[-1]
