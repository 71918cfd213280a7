"""What a host printed: lines to scroll and search, drawn by line, so that a long text costs a key nothing."""

from collections.abc import Callable, Sequence

from dts_core.plain import words
from dts_core.plain.cells import cut
from dts_tui.draw import Line, fit, hits, rule, wrap
from dts_tui.output_text import TextLine
from dts_tui.safe import whole
from dts_tui.widgets.lines import scrolled
from dts_tui.widgets.scrolling import Scrolling


class OutputView(Scrolling):
    """Lines of untrusted text. While it follows, the last line stays in sight.

    Args:
        title: Spans for the title line.
        empty: What to say when there is nothing.
    """

    def __init__(self, title: Callable[[], Line], empty: Callable[[], str]) -> None:
        super().__init__()
        self.title = title
        self.empty = empty
        self.lines: Sequence[TextLine] = ()
        self.top = 0
        self.hit = -1
        """The line that the search stands on."""
        self.search = ""
        self.wrap = False
        self.follow = False

    def show(self, lines: Sequence[TextLine], *, keep: bool = False) -> None:
        """Other lines, from their beginning, or from where the eye is."""
        self.lines = lines
        if not keep:
            self.top, self.hit = 0, -1
        self.redraw()

    # --- moving ---------------------------------------------------------------------------------

    @property
    def page(self) -> int:
        """Lines that are seen at once."""
        return max(self.size.height - 1, 1)

    def move(self, by: int) -> None:
        """Scroll, stopping at the ends; the end itself follows what comes."""
        last = len(self.lines) - 1 if self.wrap else len(self.lines) - self.page
        self.top = min(max(self.top + by, 0), max(last, 0))
        self.follow = by > 10**5
        self.redraw()

    def step_hit(self, by: int) -> bool:
        """To the next or previous line that holds the search; False when there is none."""
        word = self.search.casefold()
        start = self.hit if self.hit >= 0 else self.top - (1 if by > 0 else 0)
        places = range(start + 1, len(self.lines)) if by > 0 else range(start - 1, -1, -1)
        for index in places if word else ():
            if word in self.lines[index][0].casefold():
                self.hit, self.follow = index, False
                if not self.top <= index < self.top + self.page:
                    self.top = max(index - self.page // 2, 0)
                self.redraw()
                return True
        return False

    # --- drawing --------------------------------------------------------------------------------

    def draw(self, width: int, height: int) -> list[Line]:
        """The title, and the lines in sight."""
        room = height - 1
        count = len(self.lines)
        if self.follow:
            self.top = max(count - room, 0)
        if not self.wrap:
            self.top = max(min(self.top, count - room), 0)
        head = rule(self.title(), self._place(room), width, "focus" if self.has_focus else "border")
        if not count:
            return [head, [("   " + self.empty(), "dim")]]
        shown: list[Line] = []
        for index in range(self.top, count):
            if len(shown) >= room:
                break
            shown += self._line(index, width - 2)
        if count <= room and not self.wrap:
            return [head, *shown]
        return [head, *scrolled(shown[:room], width, room, self.top, max(count, room + 1))]

    def _place(self, room: int) -> Line:
        count = len(self.lines)
        if count <= room:
            return [(words.plural(count, "line"), "dim")]
        last = min(self.top + room, count)
        told = f"{words.count(self.top + 1)}-{words.count(last)} of {words.count(count)} lines"
        return [(told, "dim"), ("  following", "good")] if self.follow else [(told, "dim")]

    def _line(self, index: int, width: int) -> list[Line]:
        text, style = self.lines[index]
        room = max(width - 1, 10)
        text = whole(text if self.wrap else text[: room + 1])
        pieces = wrap(text, room) if self.wrap else [cut(text, room)]
        out: list[Line] = [[(" ", "text"), *hits(piece, style, self.search)] for piece in pieces]
        if index == self.hit:
            out = [[(t, f"{s}/cursor") for t, s in fit(line, width)] for line in out]
        return out
