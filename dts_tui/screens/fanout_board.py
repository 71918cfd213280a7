"""The board of one fan-out: hosts with the same answer together, live, and run again from here."""

from datetime import datetime
from functools import partial

from textual.app import ComposeResult
from textual.widget import Widget

from dts_core.errors import DtsError
from dts_core.plain import words
from dts_core.views import JobView
from dts_core.views.ssh import HostRunList, HostRunView
from dts_tui.fanout import BoardMemory, Group, run_record
from dts_tui.fanout_drawing import NARROW
from dts_tui.filters import FilterError, parse
from dts_tui.remembering import remembered
from dts_tui.screens.base import Place
from dts_tui.screens.fanout_asking import all_hosts, news
from dts_tui.screens.fanout_columns import group_columns, host_columns
from dts_tui.screens.fanout_parts import Head, Preview, Watched
from dts_tui.screens.fanout_titles import BoardTitles

KEYS = ("host", "state", "exit", "signal", "error", "group")


class Board(BoardTitles):
    """The fan-out `place.key`; `place.part` is the tab: groups, hosts."""

    scope, area = "board", "jobs"
    AWAITED = True

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self._at_hosts = place.part == "hosts"
        self._majority = ""
        self._first = ""
        """The group that the cursor stands on while nobody has moved it: the largest."""
        self._head = Head(self.head_lines)
        self.preview = Preview(self, place.key)
        self.group_table: Watched[Group] = Watched(
            self.groups, group_columns(lambda: self._majority), self.groups_title, self.empty
        )
        self.host_table: Watched[HostRunView] = Watched(
            self.hosts, host_columns(self._now), self.hosts_title, self.empty
        )
        self.group_table.watcher = self.host_table.watcher = self._pointed

    def crumbs(self) -> list[str]:
        """Below Jobs."""
        return ["Jobs", words.short_id(self.place.key), "hosts" if self._at_hosts else "groups"]

    def compose(self) -> ComposeResult:
        """Head, the two tables of which one is seen, what the one under the cursor printed."""
        yield self._head
        yield self.group_table
        yield self.host_table
        yield self.preview.output
        self._arrange()

    def main(self) -> Widget:
        """The table that is seen."""
        return self.host_table if self._at_hosts else self.group_table

    # --- news -----------------------------------------------------------------------------------

    def entered(self) -> None:
        """Ask for all of it, and listen; what was looked at is looked at again."""
        seen = self._memory()
        self._at_hosts = self._at_hosts or seen.at_hosts
        self.filter = parse(seen.filter, KEYS)
        self.groups.cursor, self.hosts.cursor = seen.group, seen.host
        self._arrange()
        self.refresh_data()
        self.console.background(partial(self.console.feed.jobs, job=self.place.key), "job-stream")

    def left(self) -> None:
        """Stop listening; nothing of the job itself is kept here."""
        self.console.stop_background("job-stream")
        seen = self._memory()
        seen.at_hosts, seen.filter, seen.host = self._at_hosts, str(self.filter), self.hosts.cursor
        seen.group = "" if self.groups.cursor == self._first else self.groups.cursor

    def _memory(self) -> BoardMemory:
        return remembered(self.console.world.boards, self.place.key, BoardMemory)

    def refresh_data(self) -> None:
        """The job, and every host of it."""
        self.ask(
            "job", lambda client: client.job(self.place.key), self._got_job, failed=self._failed
        )
        self.ask(
            "hosts",
            lambda client: all_hosts(client, self.place.key),
            self._got_all,
            failed=self._failed,
        )

    def _failed(self, error: DtsError) -> None:
        self.why = str(error)
        self._redraw()
        self.console.opened(self)

    def _stands(self) -> None:
        """Keys that were pressed meanwhile count now."""
        if self.fan.complete and self.fan.job is not None:
            self.console.opened(self)

    def _got_job(self, job: JobView) -> None:
        if self.fan.job is None or job.changed >= self.fan.job.changed:
            self.fan.job = job
        self._head.redraw()
        self._stands()

    def _got_all(self, pages: list[HostRunList]) -> None:
        for index, page in enumerate(pages):
            self.fan.whole(page, first=index == 0)
        self._show()
        self._stands()

    def _got_news(self, answer: tuple[JobView, HostRunList]) -> None:
        job, page = answer
        was_over = self.fan.is_over
        self._got_job(job)
        if self.fan.changed(page):
            self._show()
        self.questions.look(page.questions)
        self.stamp.at = self.console.monotonic()
        if self.fan.is_over and not was_over:
            self.refresh_data()  # who never started has no change of its own

    def jobs_changed(self, jobs: list[JobView], missed: bool) -> None:
        """As the stream says; what was missed is asked for whole."""
        if missed:
            self.refresh_data()
        elif any(job.id == self.place.key for job in jobs):
            self._ask_news()

    def world_changed(self) -> None:
        """A board that found no server is asked for again."""
        if self.why and self.console.world.connection.up and not self.fan.complete:
            self.why = ""
            self.refresh_data()

    def tick(self) -> None:
        """Ages move; while hosts do, what changed is asked for."""
        world = self.console.world
        if (
            self.fan.complete
            and self.fan.is_live
            and world.paused_at is None
            and world.connection.up
        ):
            self.preview.refresh()
            if not self.is_asking("news"):
                self._ask_news()
        self.group_table.stale = self.host_table.stale = world.connection.up is False
        self._redraw()

    def _ask_news(self) -> None:
        after = self.fan.position
        self.ask(
            "news",
            lambda client: news(client, self.place.key, after),
            self._got_news,
            failed=lambda error: None,
        )

    def _show(self) -> None:
        self.why = ""
        self.stamp.at = self.console.monotonic()
        untouched = self.groups.cursor == self._first
        groups = self.fan.groups()
        self.grouped = len(groups)
        self._majority = next((each.key for each in groups if each.has_answer), "")
        self.groups.replace(groups)
        if untouched:
            self._first = self.groups.cursor = next(iter(self.groups.items), "")
        fitting = [view for view in self.fan.hosts.values() if self.filter.match(run_record(view))]
        self.fitting = len(fitting)
        self.hosts.replace(fitting)
        self._arrange()
        self._redraw()
        self.console.scope_changed()

    # --- drawing --------------------------------------------------------------------------------

    def _now(self) -> datetime:
        return self.console.now()

    def _redraw(self) -> None:
        self._head.redraw()
        self.main_table.redraw()

    @property
    def main_table(self) -> "Watched[Group] | Watched[HostRunView]":
        """The table that is seen."""
        return self.host_table if self._at_hosts else self.group_table

    def _arrange(self) -> None:
        """The groups take the lines that they need, at most three fifths of all."""
        self.group_table.display = not self._at_hosts
        self.host_table.display = self._at_hosts
        head = 3 if self.size.width >= NARROW else 4
        self._head.styles.height = head
        room = max(self.size.height - head, 8)
        self.group_table.styles.height = min(max(len(self.groups.items) + 2, 5), room * 3 // 5)
        self.host_table.styles.height = room // 2

    def on_resize(self) -> None:
        """Other room."""
        self._arrange()

    # --- where the cursor is --------------------------------------------------------------------

    def group(self) -> Group | None:
        """The group under the cursor, or the one that the host under it belongs to."""
        if not self._at_hosts:
            return self.groups.current
        host = self.hosts.current
        return next(
            (
                each
                for each in self.groups.items.values()
                if host is not None and host in each.views
            ),
            None,
        )

    def host(self) -> HostRunView | None:
        """The host under the cursor, or the first one of the group under it."""
        if self._at_hosts:
            return self.hosts.current
        group = self.groups.current
        return group.views[0] if group is not None else None

    def _pointed(self) -> None:
        group = self.groups.current if not self._at_hosts else None
        self.preview.point(self.host(), len(group.views) if group is not None else 1)

    def _turn(self) -> None:
        self._at_hosts = not self._at_hosts
        self._arrange()
        self.console.give_focus()
        self.main_table.redraw()
        self.console.scope_changed()

    # --- actions --------------------------------------------------------------------------------

    def do_next_tab(self) -> None:
        """Groups, or hosts."""
        self._turn()

    do_previous_tab = do_next_tab

    def do_sort(self) -> None:
        """By the next column."""
        self.main_table.next_sort()

    def do_reverse(self) -> None:
        """The other way round."""
        self.main_table.reverse()

    def do_filter(self) -> None:
        """Among the hosts."""
        if not self._at_hosts:
            self._turn()

        def done(text: str) -> None:
            self.console.close_prompt()
            self.set_filter(text)

        self.console.prompt.ask(
            "hosts", "filter", str(self.filter), done, check=_wrong, live=self.set_filter
        )

    def set_filter(self, text: str) -> None:
        """Show only what fits."""
        self.filter = parse(text, KEYS)
        self._show()

    def step_out(self) -> bool:
        """The filter goes."""
        if self.filter.terms:
            self.set_filter("")
            return True
        return False

    def copied(self) -> str:
        """The hosts of the group, folded, or the host."""
        if self._at_hosts:
            return self.hosts.cursor
        group = self.groups.current
        return group.folded if group is not None else ""

    def exported(self) -> list[dict[str, str]]:
        """Every host that fits the filter."""
        records = [run_record(view) for view in self.fan.hosts.values()]
        return [record for record in records if self.filter.match(record)]


def _wrong(text: str) -> str:
    try:
        parse(text, KEYS)
    except FilterError as error:
        return str(error)
    return ""
