"""Logs: one stream of all hosts, followed, filtered and searched."""

from functools import partial

from textual.app import ComposeResult
from textual.widget import Widget

from dts_core.views import LogPage
from dts_tui.draw import Line
from dts_tui.filters import Filter, FilterError, parse
from dts_tui.screens.base import ONCE, Place, View
from dts_tui.text_of import LEVELS, LOG_KEYS, level_name, log_record
from dts_tui.widgets.log import LogView
from dts_tui.widgets.overlays import Choice, Picker

_LEVEL_BY_NAME = {name: level for level, name in LEVELS.items()}
_LOWEST = min(LEVELS)
FIRST_LINES = 1000


class Logs(View):
    """Newest below; what is asked of the server is everything, so that a filter can be lifted at any time."""

    scope = area = "logs"

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self.filter = Filter()
        self.level = 0
        self.host = ""
        self._own: tuple[Filter, int, str] | None = None
        """What comes back when one leaves what another screen asked for."""
        self._full: Filter | None = None
        """The filter that is lifted while one looks at the context of a line."""
        self.log_view: LogView | None = None

    def compose(self) -> ComposeResult:
        """The log."""
        self.log_view = LogView("logs", self.console.settings.console.log_lines, self._title)
        yield self.log_view

    @property
    def lines(self) -> LogView:
        """The log."""
        assert self.log_view is not None
        return self.log_view

    def main(self) -> Widget:
        """The log gets the keys."""
        return self.lines

    def entered(self) -> None:
        """Ask for the newest lines, then listen."""
        self._give_back()
        if self.place.key:
            if self.place.part == ONCE:
                self._own = (self.filter, self.level, self.host)
                self.level, self.host = 0, ""
            text, self.place = self.place.key, Place("logs")
            self._take(text)
        self.console.background(partial(self.console.feed.lines, "logs"), "logs-stream")
        self.refresh_data()

    def left(self) -> None:
        """Stop listening; what came stays."""
        self.console.stop_background("logs-stream")
        self._give_back()

    def _give_back(self) -> None:
        if self._own is not None:
            self.filter, self.level, self.host = self._own
            self._own = self._full = None
            self._show()

    def refresh_data(self) -> None:
        """The newest lines, or those since the last one seen."""
        view = self.lines

        def got(page: LogPage) -> None:
            if view.ring.newest and len(page.items) == FIRST_LINES:
                view.clear()  # more was written meanwhile than one page: no hidden gap
            view.take(page.items, live=False)
            view.empty = "no lines yet: jobs and followed files write here"
            view.redraw()

        self.ask("page", lambda client: client.logs(after=view.ring.newest, limit=FIRST_LINES), got)

    def tick(self) -> None:
        """The rate in the title moves."""
        self.lines.stale = self.console.world.connection.up is False
        if self.console.world.paused_at is None:
            self.lines.take(())
        self.lines.redraw()

    def _title(self) -> Line:
        out: Line = [("logs", "title")]
        if self.level > _LOWEST:
            out.append((f" ─ {level_name(self.level)} and above", "accent"))
        if self.host:
            out.append((f" ─ host {self.host}", "accent"))
        for term in self.filter.terms:
            out.append((f" ─ {term.text}", "accent" if term.on else "faint"))
        if self._full is not None:
            out.append((" ─ context, c goes back", "warn"))
        if self.lines.search:
            out.append((f" ─ find {self.lines.search}", "hit"))
        return out

    # --- what is shown --------------------------------------------------------------------------

    def _show(self) -> None:
        self.lines.refilter(self.filter, level=self.level, host=self.host)
        self.console.scope_changed()

    def do_filter(self) -> None:
        """Type one; it counts while one types."""
        before = self.filter

        def live(text: str) -> None:
            self._take(text)
            self._show()

        def done(text: str) -> None:
            self.console.close_prompt()
            self.set_filter(text)

        del before
        self.console.prompt.ask(
            "logs", "filter", str(self.filter), done, check=_wrong, live=live, complete=_complete
        )

    def set_filter(self, text: str) -> None:
        """Show only what fits."""
        self._own = None
        self._take(text)
        self._show()

    def _take(self, text: str) -> None:
        wanted = parse(text, LOG_KEYS)
        terms = []
        for term in wanted.terms:
            if term.key == "level" and not term.negated and term.value in _LEVEL_BY_NAME:
                self.level = _LEVEL_BY_NAME[term.value]
            else:
                terms.append(term)
        self.filter, self._full = Filter(tuple(terms)), None
        if self.log_view is not None:
            self._show()

    def do_terms(self) -> None:
        """Switch terms one by one."""
        if not self.filter.terms:
            self.console.notice("no filter is set; / sets one", "warn")
            return

        def choices() -> list[Choice]:
            return [
                Choice(str(index), term.text, "on" if term.on else "off", "●" if term.on else "○")
                for index, term in enumerate(self.filter.terms)
            ]

        def switch(name: str) -> None:
            self.filter = self.filter.switch(int(name))
            self._show()

        self.console.open_overlay(Picker("filters: enter switches", choices, switch, stays=True))

    def do_context(self) -> None:
        """Lift the filter and stay on the line, or put it back."""
        if self._full is not None:
            self.filter, self._full = self._full, None
        elif self.filter or self.level or self.host:
            self.lines.set_follow(False)
            self._full, self.filter = self.filter, Filter()
            self.lines.refilter(Filter(), level=0, host="")
            return
        self._show()

    def do_louder(self) -> None:
        """One level up."""
        self.level = min(self.level + 10, 50) if self.level else 20
        self._show()

    def do_quieter(self) -> None:
        """One level down."""
        self.level = self.level - 10 if self.level - 10 > _LOWEST else 0
        self._show()

    def do_only_host(self) -> None:
        """Only the host of this line, or all."""
        line = self.lines.current
        self.host = "" if self.host else (line.host if line else "")
        self._show()

    def do_find(self) -> None:
        """Search what is shown."""

        def live(text: str) -> None:
            self.lines.search = text
            self.lines.redraw()

        def done(text: str) -> None:
            self.console.close_prompt()
            self.set_search(text)

        self.console.prompt.ask("find", "find", self.lines.search, done, live=live)

    def set_search(self, text: str) -> None:
        """Go to the nearest hit above."""
        self.lines.search = text
        self.lines.redraw()
        if text and not (self.lines.step_hit(-1) or self.lines.step_hit(1)):
            self.console.notice(f"`{text}` is not in what is shown", "warn")

    def do_next_hit(self) -> None:
        """Down to the next hit."""
        self._hit(1)

    def do_previous_hit(self) -> None:
        """Up to the next hit."""
        self._hit(-1)

    def _hit(self, by: int) -> None:
        if not self.lines.search:
            self.console.notice("nothing is searched for; ctrl+f does", "warn")
        elif not self.lines.step_hit(by):
            self.console.notice("no further hit " + ("below" if by > 0 else "above"), "warn")

    def do_follow(self) -> None:
        """On or off."""
        self.lines.set_follow(not self.lines.follow)

    def do_wrap(self) -> None:
        """Fold or cut."""
        self.lines.wrap = not self.lines.wrap
        self.lines.redraw()

    def do_clear(self) -> None:
        """Empty it."""
        self.lines.clear()

    def step_out(self) -> bool:
        """Search goes first, then context, then marks, then the filter."""
        if self.lines.search:
            self.lines.search = ""
            self.lines.redraw()
        elif self._full is not None:
            self.do_context()
        elif self.lines.marks:
            self.do_unmark()
        elif self.filter.terms or self.level or self.host:
            self.level, self.host = 0, ""
            self.set_filter("")
        else:
            return False
        return True

    # --- lines ----------------------------------------------------------------------------------

    def do_open(self) -> None:
        """The job of this line, or its host."""
        line = self.lines.current
        if line is None:
            return
        self.console.go(Place("job", line.job) if line.job else Place("host", line.host))

    def do_mark(self) -> None:
        """Mark the line."""
        self.lines.set_follow(False)
        self.lines.mark()
        self.lines.move(1)

    def do_mark_all(self) -> None:
        """Mark all."""
        self.lines.marks = {line.seq for line in self.lines.ring.shown}
        self.lines.redraw()

    def do_unmark(self) -> None:
        """No marks."""
        self.lines.marks.clear()
        self.lines.redraw()

    def subject(self) -> dict[str, str]:
        """What is asked for."""
        parts = {"level": level_name(self.level) if self.level else "", "host": self.host}
        given = {name: value for name, value in parts.items() if value}
        return {"query": "&".join(f"{name}={value}" for name, value in given.items())}

    def copied(self) -> str:
        """The marked lines, or this one."""
        return "\n".join(line.text for line in self.lines.chosen())

    def exported(self) -> list[dict[str, str]]:
        """All shown lines."""
        return [{"at": line.at.isoformat()} | log_record(line) for line in self.lines.ring.shown]


def _wrong(text: str) -> str:
    try:
        parse(text, LOG_KEYS)
    except FilterError as error:
        return str(error)
    return ""


def _complete(text: str) -> list[str]:
    head, _, last = text.rpartition(" ")
    words = ("level=error", "level=warning", "host=", "source=", "job=", "function=", "!", "~")
    return [f"{head} {word}".strip() for word in words if word.startswith(last)]
