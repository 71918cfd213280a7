"""What the plain lists share: a table over records of the shared state, with filter and sort."""

from collections.abc import Iterable
from typing import Any, ClassVar, Generic, TypeVar

from textual.app import ComposeResult
from textual.widget import Widget

from dts_core.plain import words
from dts_tui.draw import Line
from dts_tui.filters import Filter, FilterError, completions, parse
from dts_tui.rows import Rows
from dts_tui.screens.base import Place, View
from dts_tui.state import Stamp
from dts_tui.widgets.table import Column, Table

T = TypeVar("T")


class WorldList(View, Generic[T]):
    """A table whose records come with every status."""

    KEYS: ClassVar[tuple[str, ...]] = ()
    EMPTY: ClassVar[str] = "nothing here"

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self.filter = Filter()
        self._total = 0
        """How many records there are, whether they fit the filter or not."""
        self.rows: Rows[T] = Rows(self.key)
        self.table: Table[T] = Table(
            self.rows, self.columns(), self._title, self._empty, order=self.sorted_on
        )

    def key(self, item: T) -> str:
        """What identifies a record."""
        raise NotImplementedError

    def columns(self) -> list[Column[T]]:
        """From left to right."""
        raise NotImplementedError

    def sorted_on(self) -> tuple[str, bool]:
        """The field by which the server has sorted, and whether downwards; empty where it has not."""
        return "", False

    def records(self) -> Iterable[T]:
        """All of them."""
        raise NotImplementedError

    def record(self, item: T) -> dict[str, str]:
        """What a filter and an export see."""
        raise NotImplementedError

    def compose(self) -> ComposeResult:
        """The table."""
        yield self.table

    def main(self) -> Widget:
        """The table gets the keys."""
        return self.table

    def entered(self) -> None:
        """Show what is known."""
        if self.place.key:
            self.set_filter(self.place.key)
            self.place = Place(self.place.kind)
        self.world_changed()

    def world_changed(self) -> None:
        """Take the records of the last status."""
        known = list(self.records())
        self._total = len(known)
        self.rows.replace(item for item in known if self.filter.match(self.record(item)))
        self.tick()

    def tick(self) -> None:
        """Ages move."""
        self.table.stale = self.stamp_shown().stale(self.console.monotonic())
        self.table.redraw()

    def stamp_shown(self) -> Stamp:
        """When the records came."""
        return self.console.world.stamp

    def remark(self) -> Line:
        """What the title says besides the number of records and the filter."""
        return []

    def _title(self) -> tuple[Line, Line]:
        shown = len(self.rows.items)
        count = f"{shown} of {self._total}" if shown < self._total else f"{shown}"
        left: Line = [(self.area, "title"), (f" ─ {count}", "dim"), *self.remark()]
        if self.filter.terms:
            left.append((f" ─ {self.filter}", "accent"))
        stamp, now = self.stamp_shown(), self.console.monotonic()
        age = stamp.age(now)
        if age is None:
            return left, [] if self.remark() else [("asking …", "dim")]
        return left, [
            (f"stale {words.age(age)}", "warn")
            if stamp.stale(now)
            else (f"age {words.age(age)}", "dim")
        ]

    def _empty(self) -> list[str]:
        if self.console.world.status is None:
            return ["asking …"]
        return ["nothing fits; esc takes the filter away" if self.filter.terms else self.EMPTY]

    def on_table_opened(self) -> None:
        """As enter."""
        self.console.run_named("open")

    def do_filter(self) -> None:
        """Type one; it counts while one types."""

        def wrong(text: str) -> str:
            try:
                parse(text, self.KEYS)
            except FilterError as error:
                return str(error)
            return ""

        def done(text: str) -> None:
            self.console.close_prompt()
            self.set_filter(text)

        self.console.prompt.ask(
            self.area,
            "filter",
            str(self.filter),
            done,
            complete=lambda text: completions(text, self.KEYS, self.known_values),
            check=wrong,
            live=self.set_filter,
        )

    def known_values(self, key: str) -> Iterable[str]:
        """Values of a key of the filter that are known: those of the records that are shown."""
        return sorted({self.record(each).get(key, "") for each in self.rows.items.values()})

    def set_filter(self, text: str) -> None:
        """Show only what fits."""
        self.filter = parse(text, self.KEYS)
        self.world_changed()

    def do_sort(self) -> None:
        """By the next column."""
        self.table.next_sort()

    def do_reverse(self) -> None:
        """The other way round."""
        self.table.reverse()

    def step_out(self) -> bool:
        """The filter goes."""
        if self.filter.terms:
            self.set_filter("")
            return True
        return False

    def copied(self) -> str:
        """What identifies the record under the cursor."""
        return self.rows.cursor

    def exported(self) -> list[dict[str, str]]:
        """All shown records."""
        return [self.record(item) for item in self.rows.items.values()]


class Marking(View):
    """A screen with a table whose records can be marked, so that an action counts for several."""

    def marking(self) -> tuple[Rows[Any], Table[Any]]:
        """The records, and where they are drawn."""
        raise NotImplementedError

    def do_mark(self) -> None:
        """Mark or unmark, and go on."""
        rows, table = self.marking()
        rows.marks ^= {rows.cursor} & rows.items.keys()
        table.move(1)

    def do_mark_all(self) -> None:
        """All that are shown."""
        rows, table = self.marking()
        rows.marks = set(rows.items)
        table.redraw()

    def do_unmark(self) -> None:
        """None."""
        rows, table = self.marking()
        rows.marks.clear()
        table.redraw()

    def step_out(self) -> bool:
        """Marks go before anything else."""
        rows, _ = self.marking()
        if rows.marks:
            self.do_unmark()
            return True
        return super().step_out()


class MarkedList(Marking, WorldList[T]):
    """A list whose records can be marked."""

    def marking(self) -> tuple[Rows[Any], Table[Any]]:
        """Its own."""
        return self.rows, self.table
