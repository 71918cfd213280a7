"""Jobs in a table: the columns, and the actions that every such table has."""

from textual.app import ComposeResult
from textual.widget import Widget

from dts_core.plain import glyphs, words
from dts_core.plain.cells import pad
from dts_core.plain.figures import lasted
from dts_core.views import JobView
from dts_tui.actions import subject_of_jobs
from dts_tui.draw import Line, Span, bar
from dts_tui.rows import Rows
from dts_tui.screens.base import Place, View
from dts_tui.screens.job_actions import ask_again, ask_cancel, describe_job, place_of
from dts_tui.state import Stamp
from dts_tui.text_of import job_record
from dts_tui.widgets.table import Column, Table


def job_columns(view: View) -> list[Column[JobView]]:
    """The columns of every table of jobs."""
    return [*_what(), *_when(view), Column("progress, or why", _note, 24, grow=4, keep=8)]


def _what() -> list[Column[JobView]]:
    def function(job: JobView, width: int) -> Span:
        return job.function, "strong"

    def identity(job: JobView, width: int) -> Span:
        return words.short_id(job.id), "dim"

    def host(job: JobView, width: int) -> Span:
        return job.host or words.ABSENT, "text" if job.host else "dim"

    def by(job: JobView, width: int) -> Span:
        return job.submitter, "dim"

    return [
        Column("state", _state, 12, keep=9, sort=lambda job: job.state),
        Column("function", function, 15, grow=2, most=32, keep=9, sort=lambda job: job.function),
        Column("id", identity, 11, keep=6),
        Column("host", host, 7, grow=1, most=18, keep=5, sort=lambda job: job.host),
        Column("by", by, 6, grow=1, most=14, keep=2, sort=lambda job: job.submitter),
    ]


def _when(view: View) -> list[Column[JobView]]:
    def age(job: JobView, width: int) -> Span:
        return words.since(job.created_at, view.console.now()), "dim"

    def took(job: JobView, width: int) -> Span:
        seconds = lasted(job, view.console.now())
        if job.state == "running" and seconds is not None:
            return words.age(int(seconds)), "busy"
        return words.duration(seconds), "text"

    def length(job: JobView) -> float:
        return lasted(job, view.console.now()) or 0.0

    def attempt(job: JobView, width: int) -> Span:
        text = str(job.attempt) if job.attempt else words.ABSENT
        return text, "warn" if job.attempt > 1 else "dim"

    def newest(job: JobView) -> float:
        return -job.created_at.timestamp()

    return [
        Column("age", age, 4, align="right", keep=7, sort=newest),
        Column("took", took, 7, align="right", keep=7, sort=length),
        Column("try", attempt, 3, align="right", keep=3, sort=lambda job: job.attempt),
    ]


def _state(job: JobView, width: int) -> Line:
    look = glyphs.job(job.state)
    return [(pad(look.glyph, 2), look.style), (pad(job.state, width - 2), look.style)]


def _note(job: JobView, width: int) -> Line:
    if job.state in ("running", "cancelling") and (job.progress or job.progress_text):
        size = min(max(width // 3, 8), 16)
        share = f" {words.share(job.progress):>4} "
        return [*bar(job.progress, size, "busy"), (share, "text"), (job.progress_text, "dim")]
    if job.error is not None:
        text = f"{job.error.type}: {job.error.message}".strip().split("\n", 1)[0]
        return [(text, "bad" if job.state in ("failed", "dead") else "warn")]
    return [(job.reason, "dim")]


class JobTable(View):
    """What the tables of jobs share."""

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self.stamp = Stamp(interval=5.0)
        self.table: Table[JobView] = Table(
            self.job_rows, job_columns(self), self._title, self._empty
        )

    @property
    def job_rows(self) -> Rows[JobView]:
        """The records."""
        raise NotImplementedError

    def _title(self) -> tuple[Line, Line]:
        raise NotImplementedError

    def _empty(self) -> list[str]:
        return ["no job yet: n makes one"]

    def compose(self) -> ComposeResult:
        """The table."""
        yield self.table

    def main(self) -> Widget:
        """The table gets the keys."""
        return self.table

    def tick(self) -> None:
        """Ages move."""
        self.table.stale = self.console.world.connection.up is False
        self.table.redraw()

    def _edge(self) -> Line:
        age = self.stamp.age(self.console.monotonic())
        if age is None:
            return [("asking …", "dim")]
        if self.console.world.connection.up is False:
            return [(f"stale {words.age(age)}", "warn")]
        return (
            [("live", "good")]
            if self.console.world.paused_at is None
            else [(f"paused, age {words.age(age)}", "warn")]
        )

    def on_table_opened(self) -> None:
        """As enter."""
        self.do_open()

    def do_open(self) -> None:
        """The job's page."""
        if (job := self.job_rows.current) is not None:
            self.console.go(place_of(self, job))

    def do_job_logs(self) -> None:
        """The job's log."""
        if (job := self.job_rows.current) is not None:
            self.console.go(Place("job", job.id, "log"))

    def do_timeline(self) -> None:
        """The job's attempts."""
        if (job := self.job_rows.current) is not None:
            self.console.go(Place("job", job.id, "attempts"))

    def do_describe(self) -> None:
        """Every field."""
        if (job := self.job_rows.current) is not None:
            describe_job(self, job.id)

    def do_cancel(self) -> None:
        """Stop what is marked."""
        ask_cancel(self, self.job_rows.chosen())

    def do_again(self) -> None:
        """Run what is marked again."""
        ask_again(self, self.job_rows.chosen())

    def do_again_default(self) -> None:
        """Run what is marked again, with the newest version."""
        ask_again(self, self.job_rows.chosen(), "default")

    def do_mark(self) -> None:
        """Mark or unmark, and go on to the next."""
        rows = self.job_rows
        if rows.cursor:
            rows.marks ^= {rows.cursor}
            self.table.move(1)

    def do_mark_all(self) -> None:
        """Mark everything that is shown."""
        self.job_rows.marks = set(self.job_rows.items)
        self.table.redraw()

    def do_unmark(self) -> None:
        """Take all marks away."""
        self.job_rows.marks.clear()
        self.table.redraw()

    def do_sort(self) -> None:
        """By the next column."""
        name = self.table.next_sort()
        self.console.notice(f"sorted by {name}" if name else "newest first")

    def do_reverse(self) -> None:
        """The other way round."""
        self.table.reverse()

    def subject(self) -> dict[str, str]:
        """The marked jobs, or the one under the cursor."""
        jobs = self.job_rows.chosen()
        return subject_of_jobs([job.id for job in jobs], jobs[0].function if jobs else "")

    def copied(self) -> str:
        """Their ids."""
        return "\n".join(job.id for job in self.job_rows.chosen())

    def exported(self) -> list[dict[str, str]]:
        """All shown jobs."""
        return [
            job_record(job) | {"created_at": job.created_at.isoformat()}
            for job in self.job_rows.items.values()
        ]

    def step_out(self) -> bool:
        """Marks go first."""
        if self.job_rows.marks:
            self.do_unmark()
            return True
        return False
