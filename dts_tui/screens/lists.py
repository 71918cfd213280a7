"""What the plain lists share: a table over records of the shared state, with filter and sort."""

from collections.abc import Iterable
from typing import ClassVar, Generic, TypeVar

from textual.app import ComposeResult
from textual.widget import Widget

from dts_core.plain import words
from dts_tui.draw import Line
from dts_tui.filters import Filter, FilterError, parse
from dts_tui.rows import Rows
from dts_tui.screens.base import Place, View
from dts_tui.widgets.table import Column, Table

T = TypeVar("T")


class WorldList(View, Generic[T]):
    """A table whose records come with every status."""

    KEYS: ClassVar[tuple[str, ...]] = ()
    EMPTY: ClassVar[str] = "nothing here"

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self.filter = Filter()
        self.rows: Rows[T] = Rows(self.key)
        self.table: Table[T] = Table(self.rows, self.columns(), self._title, self._empty)

    def key(self, item: T) -> str:
        """What identifies a record."""
        raise NotImplementedError

    def columns(self) -> list[Column[T]]:
        """From left to right."""
        raise NotImplementedError

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
        self.rows.replace(item for item in self.records() if self.filter.match(self.record(item)))
        self.tick()

    def tick(self) -> None:
        """Ages move."""
        self.table.stale = self.console.world.stamp.stale(self.console.monotonic())
        self.table.redraw()

    def _title(self) -> tuple[Line, Line]:
        left: Line = [(self.area, "title"), (f" ─ {len(self.rows.items)}", "dim")]
        if self.filter.terms:
            left.append((f" ─ {self.filter}", "accent"))
        world, now = self.console.world, self.console.monotonic()
        age = world.stamp.age(now)
        if age is None:
            return left, [("asking …", "dim")]
        return left, [
            (f"stale {words.age(age)}", "warn")
            if world.stamp.stale(now)
            else (f"age {words.age(age)}", "dim")
        ]

    def _empty(self) -> list[str]:
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
            self.area, "filter", str(self.filter), done, check=wrong, live=self.set_filter
        )

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
