"""Jobs: the list, kept fresh by the stream, within a filter; and one's own."""

import asyncio
from collections.abc import Sequence
from typing import Any

from dts_core.errors import DtsError, ServerUnreachable
from dts_core.plain import words
from dts_core.views import JobPage, JobView
from dts_tui.draw import Line
from dts_tui.filters import JOB_KEYS, Filter, FilterError, job_query, parse
from dts_tui.rows import JobList, Rows
from dts_tui.screens.base import ONCE, Place
from dts_tui.screens.job_table import JobTable

PAGE = 100


class Jobs(JobTable):
    """All jobs."""

    scope = area = "jobs"
    AWAITED = True

    def __init__(self, place: Place) -> None:
        self.list = JobList()
        self.filter = Filter()
        self._own: str | None = None
        """The filter that comes back when one leaves what another screen asked for."""
        self._loading = False
        super().__init__(place)

    @property
    def job_rows(self) -> Rows[JobView]:
        """The records."""
        return self.list.rows

    def entered(self) -> None:
        """Ask, and listen."""
        self._give_back()
        is_shown = not self.place.key and self.stamp.at is not None
        if is_shown or self.console.world.connection.up is not True:
            self.console.opened(self)  # what it shows is what was meant, or nothing comes
        if self.place.key:
            if self.place.part == ONCE:
                self._own = str(self.filter)
            self._take_filter(self.place.key)
            self.place = Place("jobs")
        self.refresh_data()
        self.console.background(self.console.feed.jobs, "jobs-stream")
        self.console.background(self._again_and_again, "jobs-list")

    def left(self) -> None:
        """Stop listening."""
        self.console.stop_background("jobs-stream")
        self.console.stop_background("jobs-list")
        self._give_back()

    def _give_back(self) -> None:
        if self._own is not None:
            self._take_filter(self._own)
            self._own = None

    async def _again_and_again(self) -> None:
        """The stream keeps the list fresh; asking again now and then catches what it may have missed."""
        while True:
            await asyncio.sleep(self.stamp.interval)
            if (
                self.console.world.connection.up
                and self.console.world.paused_at is None
                and not self.list.above
            ):
                self.refresh_data()

    def refresh_data(self) -> None:
        """The first page."""
        query: dict[str, Any] = dict(self.list.query)

        def got(page: JobPage) -> None:
            self.list.load(page.items, page.next)
            self.stamp.at = self.console.monotonic()
            self.table.redraw()
            self.console.opened(self)

        def failed(error: DtsError) -> None:
            self.console.opened(self)
            if not isinstance(error, ServerUnreachable):
                self.console.notice(str(error), "bad")

        self.ask("page", lambda client: client.jobs(limit=PAGE, **query), got, failed=failed)

    def on_table_reached(self) -> None:
        """The next page."""
        if not self.list.next or self._loading:
            return
        self._loading = True
        query: dict[str, Any] = dict(self.list.query)
        cursor = self.list.next

        def got(page: JobPage) -> None:
            self._loading = False
            if self.list.query == query:
                self.list.more(page.items, page.next)
                self.table.redraw()

        def failed(error: DtsError) -> None:
            self._loading = False
            self.console.notice(str(error), "bad")

        self.ask(
            "more",
            lambda client: client.jobs(limit=PAGE, cursor=cursor, **query),
            got,
            failed=failed,
        )

    def jobs_changed(self, jobs: list[JobView], missed: bool) -> None:
        """As the stream says."""
        if self.console.world.paused_at is not None:
            return
        for job in jobs:
            self.list.event(job)
        if jobs:
            self.stamp.at = self.console.monotonic()
            self.table.redraw()
        if missed:
            self.refresh_data()

    def world_changed(self) -> None:
        """The title's counts, and the dimming."""
        self.tick()

    def do_top(self) -> None:
        """To the newest."""
        if self.list.above:
            self.refresh_data()
        super().do_top()

    # --- filter ---------------------------------------------------------------------------------

    def do_filter(self) -> None:
        """Type one; enter takes it."""
        self.console.prompt.ask(
            "jobs",
            "filter",
            str(self.filter),
            self._filtered,
            check=_wrong,
            complete=_complete_filter,
        )

    def _filtered(self, text: str) -> None:
        self.console.close_prompt()
        self.set_filter(text)

    def set_filter(self, text: str) -> None:
        """Show only what fits."""
        self._own = None
        self._take_filter(text)
        self.refresh_data()
        self.console.scope_changed()

    def _take_filter(self, text: str) -> None:
        self.filter = parse(text, JOB_KEYS)
        query, self.list.local = job_query(self.filter)
        self.list.query = query

    def step_out(self) -> bool:
        """Marks go first, then the filter."""
        if super().step_out():
            return True
        if self.filter.terms:
            self.set_filter("")
            return True
        return False

    # --- words ----------------------------------------------------------------------------------

    def _title(self) -> tuple[Line, Line]:
        rows = self.list.rows
        left: Line = [("jobs", "title")]
        if self.filter.terms:
            left.append((f" ─ {self.filter}", "accent"))
        left.append((f" ─ {self._counted()}", "dim"))
        if rows.marks:
            left.append((f" ─ {len(rows.marks)} marked", "accent"))
        return left, self._edge()

    def _counted(self) -> str:
        shown = len(self.list.rows.items)
        status = self.console.world.status
        total = None
        if status is not None and not self.list.local and set(self.list.query) <= {"state"}:
            wanted = (
                self.list.query.get("state", "").split(",")
                if self.list.query
                else list(status.jobs.states)
            )
            total = sum(status.jobs.states.get(state, 0) for state in wanted)
        if total is not None and total > shown:
            text = f"{words.count(shown)} of {words.count(total)}"
        else:
            text = f"{words.count(shown)}{'+' if self.list.next else ''}"
        return text + (f", from number {self.list.above + 1}" if self.list.above else "")

    def _empty(self) -> list[str]:
        if self.stamp.at is None:
            return [""]
        if self.filter.terms:
            return ["no job fits; esc takes the filter away"]
        return super()._empty()

    def subject(self) -> dict[str, str]:
        """With the filter, for the list's own request."""
        query = self.list.query
        return super().subject() | {
            "query": "&".join(f"{name}={value}" for name, value in query.items()),
            "filter_options": " ".join(f"--{name} {value}" for name, value in query.items()),
        }


def _wrong(text: str) -> str:
    try:
        parse(text, JOB_KEYS)
    except FilterError as error:
        return str(error)
    return ""


def _complete_filter(text: str) -> list[str]:
    words_: Sequence[str] = (
        "failed",
        "running",
        "queued",
        "done",
        "retrying",
        "dead",
        "cancelled",
        "ns=",
        "fn=",
        "host=",
        "by=",
        "queue=",
        "!",
        "~",
    )
    head, _, last = text.rpartition(" ")
    return [f"{head} {word}".strip() for word in words_ if word.startswith(last)]
