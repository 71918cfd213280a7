"""Functions: what can be run, whose it is, how many versions it has."""

from datetime import datetime

from textual.app import ComposeResult
from textual.widget import Widget

from dts_core.plain import words
from dts_core.views import FunctionPage, FunctionView, Written
from dts_tui.draw import Line
from dts_tui.filters import Filter, FilterError, parse
from dts_tui.rows import Rows
from dts_tui.screens.base import ONCE, Place, View
from dts_tui.screens.submit import arguments_of
from dts_tui.state import Stamp
from dts_tui.widgets.confirm import Confirm
from dts_tui.widgets.table import Column, Table

KEYS = ("id", "namespace", "name", "owner", "summary")


def function_record(function: FunctionView) -> dict[str, str]:
    """What a filter of functions sees."""
    return {
        "id": function.id,
        "namespace": function.namespace,
        "name": function.name,
        "owner": function.owner,
        "summary": function.current.summary,
        "version": function.default,
    }


def ask_delete(view: View, function: FunctionView) -> None:
    """Ask for the name, then delete."""
    console = view.console

    def done(written: Written) -> None:
        console.notice(f"{written.id} deleted; its jobs stay")
        console.go(Place("functions"))
        view.refresh_data()

    def send() -> None:
        view.ask(
            "delete",
            lambda client: client.functions.delete(function.id, revision=function.revision),
            done,
            writes=True,
        )

    names = [f"{function.id} with {words.plural(len(function.versions), 'version')}"]
    console.open_overlay(
        Confirm(
            "Delete this function? It cannot be taken back.",
            names,
            "Delete",
            send,
            typed=function.id,
        )
    )


class Functions(View):
    """The list."""

    scope = area = "functions"

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self.stamp = Stamp(interval=10.0)
        self.filter = Filter()
        self._all: list[FunctionView] = []
        self.rows: Rows[FunctionView] = Rows(lambda function: function.id)
        now = self._now
        self.table: Table[FunctionView] = Table(
            self.rows,
            [
                Column(
                    "function",
                    lambda f, w: (f.id, "strong"),
                    20,
                    grow=1,
                    most=36,
                    keep=9,
                    sort=lambda f: f.id,
                ),
                Column("version", lambda f, w: (f.default[:10], "dim"), 10, keep=4),
                Column(
                    "versions",
                    lambda f, w: (str(len(f.versions)), "text"),
                    8,
                    align="right",
                    keep=3,
                    sort=lambda f: len(f.versions),
                ),
                Column(
                    "owner",
                    lambda f, w: (f.owner, "dim"),
                    8,
                    grow=1,
                    most=14,
                    keep=2,
                    sort=lambda f: f.owner,
                ),
                Column(
                    "changed",
                    lambda f, w: (words.since(f.updated_at, now()), "dim"),
                    7,
                    align="right",
                    keep=5,
                    sort=lambda f: -f.updated_at.timestamp(),
                ),
                Column("arguments", lambda f, w: (arguments_of(f), "accent"), 14, grow=1, keep=6),
                Column("what it does", lambda f, w: (f.current.summary, "dim"), 18, grow=4, keep=7),
            ],
            self._title,
            lambda: [
                "no function fits; esc takes the filter away"
                if self.filter.terms
                else "no function yet: n makes one"
            ],
        )

    def _now(self) -> datetime:
        return self.console.now()

    def compose(self) -> ComposeResult:
        """The table."""
        yield self.table

    def main(self) -> Widget:
        """The table gets the keys."""
        return self.table

    def entered(self) -> None:
        """Ask."""
        if self.place.key:
            self.set_filter(self.place.key)
            self.place = Place("functions")
        self.refresh_data()

    def refresh_data(self) -> None:
        """The whole list."""

        def got(page: FunctionPage) -> None:
            self._all = page.items
            self.console.known_functions = {function.id for function in page.items}
            self.stamp.at = self.console.monotonic()
            self._show()

        self.ask("list", lambda client: client.functions.list(), got)

    def tick(self) -> None:
        """Ask again now and then."""
        age = self.stamp.age(self.console.monotonic())
        if age is not None and age > self.stamp.interval and self.console.world.paused_at is None:
            self.refresh_data()
        self.table.stale = self.console.world.connection.up is False
        self.table.redraw()

    def _show(self) -> None:
        self.rows.replace(
            function for function in self._all if self.filter.match(function_record(function))
        )
        self.table.redraw()

    def _title(self) -> tuple[Line, Line]:
        left: Line = [("functions", "title"), (f" ─ {len(self.rows.items)}", "dim")]
        if len(self.rows.items) < len(self._all):
            left.append((f" of {len(self._all)}", "dim"))
        if self.filter.terms:
            left.append((f" ─ {self.filter}", "accent"))
        age = self.stamp.age(self.console.monotonic())
        if age is None:
            return left, [("asking …", "dim")]
        stale = age > 2 * self.stamp.interval
        return left, [
            (f"{'stale' if stale else 'age'} {words.age(age)}", "warn" if stale else "dim")
        ]

    def on_table_opened(self) -> None:
        """As enter."""
        self.do_open()

    def do_open(self) -> None:
        """Its page."""
        if (function := self.rows.current) is not None:
            self.console.go(Place("function", function.id))

    do_describe = do_open

    def do_submit(self) -> None:
        """Its form."""
        if (function := self.rows.current) is not None:
            self.console.go(Place("form", function.id))

    def do_edit(self) -> None:
        """Its source."""
        if (function := self.rows.current) is not None:
            self.console.go(Place("editor", function.id))

    def do_create(self) -> None:
        """An empty editor with a template."""
        self.console.go(Place("editor"))

    def do_delete(self) -> None:
        """Ask for the name, then delete."""
        if (function := self.rows.current) is not None:
            ask_delete(self, function)

    def do_job_logs(self) -> None:
        """What its jobs wrote."""
        if (function := self.rows.current) is not None:
            self.console.go(Place("logs", f"function={function.id}", ONCE))

    def do_filter(self) -> None:
        """Type one; it counts while one types."""

        def done(text: str) -> None:
            self.console.close_prompt()
            self.set_filter(text)

        self.console.prompt.ask(
            "functions", "filter", str(self.filter), done, check=_wrong, live=self.set_filter
        )

    def set_filter(self, text: str) -> None:
        """Show only what fits."""
        self.filter = parse(text, KEYS)
        self._show()

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

    def subject(self) -> dict[str, str]:
        """The function under the cursor."""
        name = self.rows.cursor
        return {
            "function": name,
            "id": name,
            "log_options": f"--function {name}",
            "log_query": f"function={name}",
        }

    def copied(self) -> str:
        """Its name."""
        return self.rows.cursor

    def exported(self) -> list[dict[str, str]]:
        """All shown functions."""
        return [function_record(function) for function in self.rows.items.values()]


def _wrong(text: str) -> str:
    try:
        parse(text, KEYS)
    except FilterError as error:
        return str(error)
    return ""
