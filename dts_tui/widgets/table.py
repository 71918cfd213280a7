"""A table drawn by line: only what is seen costs anything, and the cursor follows its record."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from textual import events
from textual.message import Message

from dts_core.plain.cells import Align, cells, cut, pad
from dts_tui.draw import Line, Span, fit, rule
from dts_tui.rows import Rows
from dts_tui.widgets.scrolling import Scrolling

T = TypeVar("T")


@dataclass(frozen=True)
class Column(Generic[T]):
    """One column.

    Attributes:
        title: Its heading.
        cell: A record's text and style, or a whole line of spans for bars; gets the width it may fill.
        width: Cells it needs.
        grow: Its share of the room that is left; 0: none.
        keep: Columns with the lowest number go first where there is no room; 9 stays.
        sort: What the column sorts by; None: it does not.
        field: The server's name for what it shows, where the server sorts.
    """

    title: str
    cell: Callable[[T, int], Span | Line]
    width: int
    grow: int = 0
    most: int = 0
    align: Align = "left"
    keep: int = 5
    sort: Callable[[T], object] | None = None
    field: str = ""


class Table(Scrolling, Generic[T]):
    """Rows with a cursor, marks, a heading and a title line.

    Args:
        rows: The records; whoever changes them calls `redraw`.
        columns: From left to right.
        title: Spans for the left and right of the title line; asked at every drawing.
        empty: What to say when there is nothing, a line at a time.
        order: The field by which the server has sorted, and whether downwards; asked at every drawing.
    """

    class Opened(Message):
        """A record was chosen with a click."""

    class Reached(Message):
        """The cursor came near the last row: time for the next page."""

    def __init__(
        self,
        rows: Rows[T],
        columns: list[Column[T]],
        title: Callable[[], tuple[Line, Line]] | None = None,
        empty: Callable[[], list[str]] = lambda: ["nothing here"],
        *,
        order: Callable[[], tuple[str, bool]] = lambda: ("", False),
        id: str | None = None,  # noqa: A002
    ) -> None:
        super().__init__(id=id)
        self.rows = rows
        self.columns = columns
        self.title = title
        self.empty = empty
        self.order = order
        self.sorted_by = -1
        self.reversed = False
        self._top = 0
        self._keys: list[str] = []

    # --- content --------------------------------------------------------------------------------

    def keys(self) -> list[str]:
        """Keys of all records in the order that is shown."""
        items = self.rows.items
        if self.sorted_by < 0:
            return list(items)
        by = self.columns[self.sorted_by].sort
        assert by is not None
        return sorted(items, key=lambda key: by(items[key]), reverse=self.reversed)  # type: ignore[arg-type, return-value]

    def next_sort(self) -> str:
        """Sort by the next column that can be sorted by; after the last one, as the server sorts. Returns its title."""
        choices = [-1, *(i for i, column in enumerate(self.columns) if column.sort)]
        self.sorted_by = choices[(choices.index(self.sorted_by) + 1) % len(choices)]
        self.redraw()
        return self.columns[self.sorted_by].title if self.sorted_by >= 0 else ""

    def reverse(self) -> None:
        """Turn the order round."""
        self.reversed = not self.reversed
        self.redraw()

    # --- moving ---------------------------------------------------------------------------------

    @property
    def page(self) -> int:
        """Rows that are seen at once."""
        return max(self.size.height - 1 - (self.title is not None), 1)

    def move(self, by: int) -> None:
        """Move the cursor, stopping at the ends."""
        keys = self.keys()
        if not keys:
            return
        place = keys.index(self.rows.cursor) if self.rows.cursor in self.rows.items else 0
        place = min(max(place + by, 0), len(keys) - 1)
        self.rows.cursor = keys[place]
        self.redraw()
        if place >= len(keys) - 5 and by > 0:
            self.post_message(self.Reached())

    def on_click(self, event: events.Click) -> None:
        """A click puts the cursor; a second one on the same row opens it."""
        index = event.y - 1 - (self.title is not None) + self._top
        if not 0 <= index < len(self._keys):
            return
        again = self.rows.cursor == self._keys[index]
        self.rows.cursor = self._keys[index]
        self.focus()
        self.redraw()
        if again:
            self.post_message(self.Opened())

    # --- drawing --------------------------------------------------------------------------------

    def widths(self, width: int) -> list[int]:
        """Cells of each column; 0 for one that finds no room."""
        chosen = set(range(len(self.columns)))
        while len(chosen) > 1 and self._needed(chosen) > width:
            chosen.discard(min(chosen, key=lambda i: (self.columns[i].keep, -i)))
        out = [self.columns[i].width if i in chosen else 0 for i in range(len(self.columns))]
        left = width - self._needed(chosen)
        growing = [i for i in chosen if self.columns[i].grow]
        while left > 0 and growing:
            parts = sum(self.columns[i].grow for i in growing)
            given = 0
            for index in list(growing):
                column = self.columns[index]
                more = max(left * column.grow // parts, 1)
                if column.most and out[index] + more >= column.most:
                    more = max(column.most - out[index], 0)
                    growing.remove(index)
                more = min(more, left - given)
                out[index] += more
                given += more
            left -= given
            if not given:
                break
        return out

    def _needed(self, chosen: set[int]) -> int:
        return sum(self.columns[i].width for i in chosen) + 2 * (len(chosen) - 1) + 2

    def draw(self, width: int, height: int) -> list[Line]:
        """Title, heading, and the rows around the cursor."""
        lines: list[Line] = []
        if self.title is not None:
            left, right = self.title()
            lines.append(rule(left, right, width, "focus" if self.has_focus else "border"))
        widths = self.widths(width)
        lines.append(self._heading(widths))
        self._keys = self.keys()
        room = height - len(lines)
        if not self._keys:
            gap: list[Line] = [[]]
            return lines + gap + [[("   " + text, "dim")] for text in self.empty()]
        self._scroll(room)
        shown = self._keys[self._top : self._top + room]
        return lines + [self._row(key, widths, width) for key in shown]

    def _scroll(self, room: int) -> None:
        cursor = self.rows.cursor
        place = self._keys.index(cursor) if cursor in self.rows.items else 0
        if place < self._top:
            self._top = place
        elif place >= self._top + room:
            self._top = place - room + 1
        self._top = max(min(self._top, len(self._keys) - room), 0)

    def _heading(self, widths: list[int]) -> Line:
        out: Line = [("  ", "column")]
        for index, (column, width) in enumerate(zip(self.columns, widths, strict=True)):
            if width:
                arrow = self._arrow(index)
                out.append(
                    (
                        pad(cut(column.title, width - len(arrow)) + arrow, width, column.align),
                        "column",
                    )
                )
                out.append(("  ", "column"))
        return out

    def _arrow(self, index: int) -> str:
        field, down = self.order()
        if index == self.sorted_by:
            return "▼" if self.reversed else "▲"
        return ("▼" if down else "▲") if field and field == self.columns[index].field else ""

    def _row(self, key: str, widths: list[int], width: int) -> Line:
        item = self.rows.items[key]
        marked = key in self.rows.marks
        here = key == self.rows.cursor
        surface = "cursor" if here and self.has_focus else "mark" if marked else ""
        lead = "◆ " if marked else "▸ " if here else "  "
        out: Line = [(lead, "accent")]
        for column, room in zip(self.columns, widths, strict=True):
            if room:
                out += _cell(column.cell(item, room), room, column.align)
                out.append(("  ", "text"))
        out = fit(out, width)
        return [(text, f"{name}/{surface}") for text, name in out] if surface else out


def _cell(content: Span | Line, width: int, align: Align) -> Line:
    if isinstance(content, tuple):
        return [(pad(content[0].replace("\n", " "), width, align), content[1])]
    line = fit(content, width)
    used = sum(cells(text) for text, _ in content)
    if align == "right" and used < width:
        return [(" " * (width - used), "text"), *content]
    return line
