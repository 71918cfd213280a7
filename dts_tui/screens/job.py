"""One job: its way so far, result, error, log, attempts, why."""

import asyncio
from functools import partial

from textual.widget import Widget

from dts_core.errors import DtsError
from dts_core.model import Attempt
from dts_core.plain import words
from dts_core.plain.figures import is_final
from dts_core.views import AttemptList, JobView, LogPage
from dts_tui import job_text
from dts_tui.actions import subject_of_jobs
from dts_tui.draw import Line, fit
from dts_tui.screens.base import Place
from dts_tui.screens.job_actions import ask_again, ask_cancel, describe_job
from dts_tui.screens.tabbed import Tabbed
from dts_tui.text_of import log_record
from dts_tui.widgets.lines import Lines
from dts_tui.widgets.log import LogView

_INLINE_BYTES = 100_000
"""Results up to this size are laid out on the loop; larger ones in a thread."""


class JobPage(Tabbed):
    """The page of one job, live until it has ended."""

    scope, area = "job", "jobs"

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self.job: JobView | None = None
        self.attempts: list[Attempt] = []
        self._result: list[Line] | None = None
        self._missing = ""
        self._last_state = ""
        self._chosen = bool(place.part)
        self._logs: LogView | None = None

    @property
    def id_of_job(self) -> str:
        """The job that is shown."""
        return self.place.key

    def crumbs(self) -> list[str]:
        """Below Jobs."""
        return ["Jobs", words.short_id(self.id_of_job), self.tab or "result"]

    def tabs(self) -> list[tuple[str, str]]:
        """Error only where there is one."""
        out = [
            ("result", "Result"),
            ("log", "Log"),
            ("attempts", "Attempts"),
            ("why", "Why"),
            ("raw", "Raw"),
        ]
        if self.job is not None and self.job.error is not None:
            out.insert(1, ("error", "Error"))
        return out

    def head(self, width: int) -> list[Line]:
        """State, way, progress."""
        if self.job is None:
            return [[(" " + (self._missing or "asking …"), "bad" if self._missing else "dim")]]
        return job_text.head_lines(self.job, self.console.now(), width, utc=self.console.utc)

    # --- news -----------------------------------------------------------------------------------

    def entered(self) -> None:
        """Ask, and listen."""
        self.open_tab(self.tab)
        self.refresh_data()
        self.console.background(partial(self.console.feed.jobs, job=self.id_of_job), "job-stream")

    def left(self) -> None:
        """Stop listening."""
        super().left()
        self.console.stop_background("job-stream")

    def refresh_data(self) -> None:
        """The whole job, with its result."""

        def failed(error: DtsError) -> None:
            if self.job is None:
                self._missing = str(error)
                self.redraw_head()

        self.ask("job", lambda client: client.job(self.id_of_job), self._got, failed=failed)
        self.ask(
            "attempts",
            lambda client: client.attempts(self.id_of_job),
            self._got_attempts,
            failed=lambda error: None,
        )

    def _got(self, job: JobView) -> None:
        before, self.job, self._missing = self.job, job, ""
        self._lay_out(job)
        if not self._chosen and (before is None or is_final(job.state)):
            self._chosen = is_final(job.state)
            self.open_tab(
                "error"
                if job.error and job.state in ("failed", "dead")
                else "result"
                if job.state == "done"
                else "log"
            )
        self._show()

    def _got_attempts(self, answer: AttemptList) -> None:
        self.attempts = answer.items
        self._show()

    def _lay_out(self, job: JobView) -> None:
        if job.result is None and job.state != "done":
            self._result = None
        elif job.result_size <= _INLINE_BYTES:
            self._result = job_text.result_lines(job)
        else:
            self._result = [[("laying out …", "dim")]]
            self.console.background(partial(self._lay_out_later, job), "job-layout")

    async def _lay_out_later(self, job: JobView) -> None:
        self._result = await asyncio.to_thread(job_text.result_lines, job)
        self._show()

    def jobs_changed(self, jobs: list[JobView], missed: bool) -> None:
        """As the stream says; at the end the result is fetched."""
        news = next((job for job in jobs if job.id == self.id_of_job), None)
        if news is not None and (self.job is None or news.changed >= self.job.changed):
            ended = is_final(news.state) and (self.job is None or not is_final(self.job.state))
            attempted = self.job is not None and news.epoch != self.job.epoch
            if not is_final(news.state):
                self.job = news
                self._show()
            if ended or attempted or missed:
                self.refresh_data()
        elif missed:
            self.refresh_data()

    def world_changed(self) -> None:
        """A job that the stream missed is asked for again."""
        job = self.job
        if (
            self.console.world.connection.up
            and (job is None or not is_final(job.state))
            and not self._missing
        ):
            self.ask(
                "job",
                lambda client: client.job(self.id_of_job),
                self._got,
                failed=lambda error: None,
            )

    def tick(self) -> None:
        """Times move while it lives."""
        if self.job is not None and not is_final(self.job.state):
            self._show()

    def _show(self) -> None:
        if (state := self.job.state if self.job else "") != self._last_state:
            self._last_state = state
            self.console.scope_changed()
        self.redraw_head()
        if isinstance(self._content, Lines):
            self._content.redraw()

    # --- tabs -----------------------------------------------------------------------------------

    def content(self, tab: str) -> Widget:
        """Lines, or the log."""
        if tab == "log":
            self._logs = LogView(
                f"job:{self.id_of_job}", 5_000, lambda: [("log of this job", "title")], plain=True
            )
            return self._logs
        return Lines(lambda width: self._lines(tab, width))

    def tab_opened(self, tab: str) -> None:
        """The log asks and listens."""
        if tab != "log" or self._logs is None:
            return
        view = self._logs
        view.empty = "no lines yet: print and logging of the job come here"

        def got(page: LogPage) -> None:
            view.take(page.items, live=False)

        self.ask("log", lambda client: client.logs(job=self.id_of_job, limit=2000), got)
        self.console.background(
            partial(self.console.feed.lines, view.owner, job=self.id_of_job), "job-log"
        )

    def tab_closed(self, tab: str) -> None:
        """The log stops."""
        if tab == "log":
            self.console.stop_background("job-log")

    def _lines(self, tab: str, width: int) -> list[Line]:
        job = self.job
        if job is None:
            return []
        if tab == "result":
            return self._result_lines(job, width)
        if tab == "error":
            return job_text.error_lines(job, width)
        if tab == "attempts":
            return job_text.attempt_lines(job, self.attempts, width, utc=self.console.utc)
        if tab == "why":
            return [[(" " + text, "text")] for text in job_text.why(job)]
        return job_text.raw_lines(job)

    def _result_lines(self, job: JobView, width: int) -> list[Line]:
        out: list[Line] = [*job_text.call_lines(job, width), [], [("result", "column")]]
        if self._result is not None:
            out += [[("  ", "text"), *line] for line in self._result]
        else:
            text = "no result yet" if not is_final(job.state) else f"no result: it is {job.state}"
            out.append([("  " + text, "dim")])
        return [fit(line, width) for line in out]

    # --- actions --------------------------------------------------------------------------------

    def has_use(self, name: str) -> bool:
        """Cancel while it lives; following in the log."""
        if name == "cancel":
            return self.job is None or not (
                is_final(self.job.state) or self.job.state == "cancelling"
            )
        if name == "follow":
            return self.tab == "log"
        return name != "job-logs" or self.tab != "log"

    def do_follow(self) -> None:
        """Follow the log."""
        if isinstance(self._content, LogView):
            self._content.set_follow(not self._content.follow)

    def do_wrap(self) -> None:
        """Fold long lines of the log."""
        if isinstance(self._content, LogView):
            self._content.wrap = not self._content.wrap
            self._content.redraw()

    def do_job_logs(self) -> None:
        """The tab Log."""
        self._chosen = True
        self.open_tab("log")

    def do_timeline(self) -> None:
        """The tab Attempts."""
        self._chosen = True
        self.open_tab("attempts")

    def _turn(self, by: int) -> None:
        self._chosen = True
        super()._turn(by)

    def do_cancel(self) -> None:
        """Stop it."""
        if self.job is not None:
            ask_cancel(self, [self.job])

    def do_again(self) -> None:
        """Run it again."""
        if self.job is not None:
            ask_again(self, [self.job])

    def do_again_default(self) -> None:
        """Run it again with the newest version."""
        if self.job is not None:
            ask_again(self, [self.job], "default")

    def do_new(self) -> None:
        """The form of this function."""
        if self.job is not None:
            self.console.go(Place("form", self.job.function))

    def do_describe(self) -> None:
        """Every field."""
        describe_job(self, self.id_of_job)

    def subject(self) -> dict[str, str]:
        """This job."""
        return subject_of_jobs([self.id_of_job], self.job.function if self.job else "")

    def copied(self) -> str:
        """What the tab shows; without a result, the id."""
        if isinstance(self._content, LogView):
            return "\n".join(line.text for line in self._content.chosen())
        if self.job is None or self.tab == "raw":
            return self.id_of_job
        lines = self._lines(self.tab, 10_000)
        return "\n".join("".join(text for text, _ in line).rstrip() for line in lines)

    def exported(self) -> list[dict[str, str]]:
        """The log's lines, or the job."""
        if isinstance(self._content, LogView):
            return [
                {"at": line.at.isoformat()} | log_record(line) for line in self._content.ring.shown
            ]
        if self.job is None:
            return []
        return [
            {"text": "".join(text for text, _ in line)} for line in job_text.raw_lines(self.job)
        ]
