"""One host: charts, jobs, logs, alarms, facts."""

from functools import partial
from urllib.parse import quote

from textual.widget import Widget

from dts_core.errors import DtsError
from dts_core.model import Alarm, Host
from dts_core.plain import glyphs, words
from dts_core.plain.cells import pad
from dts_core.plain.figures import host_state, memory_share
from dts_core.views import AlarmList, JobPage, JobView, LogPage
from dts_tui.actions import subject_of_jobs
from dts_tui.draw import Line, bar, fit
from dts_tui.host_drawing import host_body
from dts_tui.rows import Rows
from dts_tui.scene import Scene, WallView
from dts_tui.screens.base import Place
from dts_tui.screens.host_shell import open_shell, shell_subject
from dts_tui.screens.job_actions import ask_again, ask_cancel, place_of
from dts_tui.screens.job_table import job_columns
from dts_tui.screens.operating import ask_drain
from dts_tui.screens.tabbed import Tabbed
from dts_tui.wall_drawing import alarm_line
from dts_tui.widgets.lines import Lines
from dts_tui.widgets.log import LogView
from dts_tui.widgets.overlays import pairs
from dts_tui.widgets.table import Table


class HostPage(Tabbed):
    """The page of one host."""

    scope, area = "host", "hosts"
    HEAD_LINES = 1

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self.jobs: Rows[JobView] = Rows(lambda job: job.id)
        self.alarms: list[Alarm] = []
        self._logs: LogView | None = None

    @property
    def name_of_host(self) -> str:
        """The host that is shown."""
        return self.place.key

    @property
    def here(self) -> str:
        """Jobs can be acted on while they are shown."""
        return "host-jobs" if self.tab == "jobs" and self.jobs.cursor else self.scope

    def crumbs(self) -> list[str]:
        """Below Hosts."""
        return ["Hosts", self.name_of_host, self.tab or "charts"]

    def tabs(self) -> list[tuple[str, str]]:
        """Five."""
        return [
            ("charts", "Charts"),
            ("jobs", "Jobs"),
            ("logs", "Logs"),
            ("alarms", "Alarms"),
            ("facts", "Facts"),
        ]

    def host(self) -> Host | None:
        """As the last status has it."""
        return self.console.world.host(self.name_of_host)

    def head(self, width: int) -> list[Line]:
        """State and what it runs on."""
        host = self.host()
        if host is None:
            known = self.console.world.status is not None
            return [
                [
                    (
                        f" no host is called {self.name_of_host}" if known else " asking …",
                        "bad" if known else "dim",
                    )
                ]
            ]
        state, beat = host_state(host), host.beat
        look = glyphs.host(state)
        out: Line = [
            (f" {look.glyph} {state}", look.style),
            (f"  {host.name}", "strong"),
            (f"  beat {words.since(host.last_beat, self.console.now())} ago", "dim"),
            (
                f"  {beat.running} of {words.plural(beat.slots, 'slot')} busy",
                "busy" if beat.running else "dim",
            ),
            (f"  {beat.system}  Python {beat.python}  dts {beat.version}", "dim"),
        ]
        return [fit(out, width)]

    def entered(self) -> None:
        """Ask."""
        self.open_tab(self.tab)
        self.world_changed()

    def world_changed(self) -> None:
        """The figures moved."""
        world = self.console.world
        history = world.history.get(self.name_of_host)
        if history is not None and not history.loaded and world.connection.up:
            self.console.background(
                partial(self.console.feed.histories, [self.name_of_host]), "histories"
            )
        self.tick()

    def tick(self) -> None:
        """Ages move."""
        stale = self.console.world.stamp.stale(self.console.monotonic())
        if isinstance(self._content, Lines | Table):
            self._content.stale = stale
            self._content.redraw()
        self.redraw_head()

    def content(self, tab: str) -> Widget:
        """Charts, a table, the log, or lines."""
        if tab == "jobs":
            return Table(self.jobs, job_columns(self), None, lambda: ["no job ran here"])
        if tab == "logs":
            self._logs = LogView(
                f"host:{self.name_of_host}", 5_000, lambda: [("log lines of this host", "title")]
            )
            return self._logs
        return Lines(lambda width: self._lines(tab, width))

    def tab_opened(self, tab: str) -> None:
        """Ask for what the tab shows."""
        self.refresh_data()
        if tab == "logs" and self._logs is not None:
            self.console.background(
                partial(self.console.feed.lines, self._logs.owner, host=self.name_of_host),
                "host-log",
            )

    def tab_closed(self, tab: str) -> None:
        """Stop listening."""
        self.console.stop_background("host-log")

    def refresh_data(self) -> None:
        """What the tab shows, again."""
        name = self.name_of_host
        if self.tab == "jobs":
            self.ask("jobs", lambda client: client.jobs(host=name, limit=100), self._got_jobs)
        elif self.tab == "alarms":
            self.ask("alarms", lambda client: client.alarms(), self._got_alarms)
        elif self.tab == "logs" and self._logs is not None:
            view = self._logs

            def got(page: LogPage) -> None:
                view.take(page.items, live=False)

            self.ask(
                "logs", lambda client: client.logs(host=name, limit=500), got, failed=self._no_logs
            )

    def _no_logs(self, error: DtsError) -> None:
        self.console.notice(str(error), "warn")

    def _got_jobs(self, page: JobPage) -> None:
        self.jobs.replace(page.items)
        self.tick()
        self.console.scope_changed()

    def _got_alarms(self, answer: AlarmList) -> None:
        self.alarms = [alarm for alarm in answer.items if alarm.host == self.name_of_host]
        self.tick()

    def _lines(self, tab: str, width: int) -> list[Line]:
        host = self.host()
        if host is None:
            return []
        if tab == "alarms":
            return [
                fit([("  ", "text"), *alarm_line(alarm, self.console.now())], width)
                for alarm in self.alarms
            ] or [[("  ● ", "good"), ("no alarm is known", "dim")]]
        if tab == "facts":
            return host_facts_in_full(host, width, self.console.utc)
        height = self._content.size.height if self._content else 12
        console = self.console
        scene = Scene(console.world, WallView(), console.now(), console.monotonic())
        cores = core_lines(host, width)
        body = host_body(scene, host, width, max(min(height - len(cores) - 1, 24), 6))
        return [*body, [], *cores]

    # --- actions --------------------------------------------------------------------------------

    def on_table_opened(self) -> None:
        """As enter."""
        self.do_open()

    def do_open(self) -> None:
        """The job under the cursor, or of the line."""
        if self.tab == "jobs" and self.jobs.current is not None:
            self.console.go(place_of(self, self.jobs.current))
        elif (
            isinstance(self._content, LogView)
            and self._content.current
            and self._content.current.job
        ):
            self.console.go(Place("job", self._content.current.job))

    def do_cancel(self) -> None:
        """Stop the job under the cursor."""
        ask_cancel(self, self.jobs.chosen())

    def do_again(self) -> None:
        """Run it again."""
        ask_again(self, self.jobs.chosen())

    def do_again_default(self) -> None:
        """Run it again with the newest version."""
        ask_again(self, self.jobs.chosen(), "default")

    def do_drain(self) -> None:
        """Have it take nothing new, or take jobs again."""
        ask_drain(self, self.host())

    def do_submit(self) -> None:
        """Choose a function to run here."""
        self.console.go(Place("choose", self.name_of_host))

    def do_job_logs(self) -> None:
        """The tab Logs."""
        self.open_tab("logs")

    def do_timeline(self) -> None:
        """The tab Charts."""
        self.open_tab("charts")

    def do_shell(self) -> None:
        """On the virtual host of this name."""
        open_shell(self, self.name_of_host)

    def subject(self) -> dict[str, str]:
        """This host, or the job under the cursor."""
        if self.here == "host-jobs":
            return subject_of_jobs([job.id for job in self.jobs.chosen()])
        name, host = self.name_of_host, self.host()
        return {
            "host": name,
            "drain": "undrain" if host is not None and host.beat.draining else "drain",
            "id": quote(name),
            "log_options": f"--host {name}",
            "log_query": f"host={quote(name)}",
            **shell_subject(name),
        }

    def copied(self) -> str:
        """Its name, or what is under the cursor."""
        if isinstance(self._content, LogView):
            return "\n".join(line.text for line in self._content.chosen())
        return self.jobs.cursor if self.here == "host-jobs" else self.name_of_host

    def exported(self) -> list[dict[str, str]]:
        """What the tab Facts shows."""
        host = self.host()
        lines = host_facts_in_full(host, 200, self.console.utc) if host else []
        return [{"fact": "".join(text for text, _ in line).strip()} for line in lines]


def core_lines(host: Host, width: int) -> list[Line]:
    """One bar a core, as many in a row as fit."""
    cores = host.beat.cpu_cores
    per_row = max(width // 26, 1)
    out: list[Line] = []
    for start in range(0, len(cores), per_row):
        line: Line = []
        for number, value in enumerate(cores[start : start + per_row], start):
            line += [
                (pad(f"core {number}", 8), "dim"),
                *bar(value, 12),
                (pad(words.share(value), 5, "right") + " ", "text"),
            ]
        out.append(line)
    return out


def host_facts_in_full(host: Host, width: int, utc: bool) -> list[Line]:
    """Everything that a heartbeat tells."""
    beat = host.beat
    items = [
        ("state", host.state),
        ("first seen", words.instant(host.first_seen, utc=utc)),
        ("last beat", words.instant(host.last_beat, utc=utc)),
        ("beats every", words.duration(beat.interval_seconds)),
        ("workers", str(host.workers)),
        ("worker", beat.worker),
        ("system", beat.system),
        ("Python", beat.python),
        ("dts", beat.version),
        ("event loop", beat.loop),
        ("loop lag", words.duration(beat.loop_lag_seconds)),
        ("up since", words.duration(beat.uptime_seconds)),
        ("boot id", beat.boot_id),
        ("beat number", words.count(beat.sequence)),
        ("memory", f"{words.share(memory_share(host))} of {words.size(beat.memory_total)}"),
        ("swap", f"{words.size(beat.swap_used)} of {words.size(beat.swap_total)}"),
        ("slots", f"{beat.running} of {beat.slots} busy"),
        ("draining", "yes" if beat.draining else "no"),
        ("queues", ", ".join(beat.queues) or words.ABSENT),
        ("holds", words.plural(len(beat.held), "job")),
        ("not measured", ", ".join(beat.missing) or words.ABSENT),
    ]
    out = pairs([(name, value, "text") for name, value in items], width)
    out += [[], [("file systems", "column")]]
    for disk in sorted(beat.disks, key=lambda disk: disk.mount):
        share = disk.used / disk.total if disk.total else 0.0
        out.append(
            [
                (pad(disk.mount, 24) + " ", "text"),
                *bar(share, 16),
                (f" {words.share(share)} of {words.size(disk.total)}", "dim"),
                (f"  inodes {words.share(disk.inodes_used)}", "faint"),
            ]
        )
    if beat.functions:
        out += [[], [("functions loaded here", "column")]]
        out += [
            [(pad(name, 30) + " ", "text"), (version[:12], "dim")]
            for name, version in sorted(beat.functions.items())
        ]
    if beat.counts:
        events = {1: "received", 2: "failed", 3: "done"}
        out += [[], [("since the worker started", "column")]]
        out += [
            [
                (pad(function, 30) + " ", "text"),
                (pad(events.get(event, str(event)), 10), "dim"),
                (words.count(number), "text"),
            ]
            for event, function, number in sorted(beat.counts, key=lambda item: (item[1], item[0]))
        ]
    return out
