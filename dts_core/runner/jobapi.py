"""What functions import: `from dts_core import job`, what a function may know of its job and tell about it.

And `from dts_core import Secret`, the annotation of an argument that is kept secret until the function has it.

Outside a job everything is harmless (`job.id` is empty, progress goes to standard error), so that a function can be
imported and called by hand.
"""

from __future__ import annotations

import sys
import time
from contextvars import ContextVar

from dts_core.runner.frames import TEXT_MAX, LineBudget

TYPE_CHECKING = False
if TYPE_CHECKING:
    import logging
    from typing import Annotated, Any

    Secret = Annotated[str, "secret"]
    """A text that is sealed when it is submitted, shown as *** everywhere, and opened for the run alone.

    `def main(host: str, password: Secret)`. Within other types, such as `list[Secret]` or `Secret | None`, the whole
    argument is secret. The function gets a plain str; for everything else than dts the annotation is one of a str.
    """

__all__ = ["Cancelled", "Job", "Run", "Secret", "job"]

PROGRESS_SECONDS = 0.05
"""Shortest time between two progress frames of one job; the last report is never lost."""


def __getattr__(name: str) -> Any:
    if name != "Secret":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from typing import Annotated  # takes as long to load as all of this

    found = globals()[name] = Annotated[str, "secret"]
    return found


class Cancelled(BaseException):
    """The job was told to stop."""


class Sink:
    """Where a run's reports go; the child's channel implements it."""

    def log(self, run: Run, level: int, text: str) -> None:
        """Send one record."""
        raise NotImplementedError

    def progress(self, run: Run, fraction: float, text: str) -> None:
        """Send one report."""
        raise NotImplementedError

    def poll(self) -> None:
        """Look whether a message has come (a cancel sets `cancel_requested`)."""
        raise NotImplementedError


class Run:
    """One job while it runs in this child."""

    __slots__ = (
        "attempt", "budget", "cancel_requested", "deadline_at", "ended", "function", "host", "id",
        "number", "partial", "reported_at", "result_max", "sink", "submitter", "task", "unreported",
    )  # fmt: skip

    def __init__(self, number: int, header: list[Any], sink: Sink, host: str, lines: int) -> None:
        _, self.function, self.id, self.attempt, self.submitter, timeout, self.result_max = header
        self.number = number
        self.host = host
        self.sink = sink
        self.deadline_at: float | None = time.monotonic() + timeout if timeout else None
        self.cancel_requested = False
        self.ended = False
        self.task: Any = None
        self.budget = LineBudget(lines)
        self.partial: dict[int, str] = {}
        self.reported_at = 0.0
        self.unreported: tuple[float, str] | None = None

    def report(self, fraction: float, text: str) -> None:
        """Send progress now, or keep it for the next report or the end when one was just sent."""
        now = time.monotonic()
        if now - self.reported_at < PROGRESS_SECONDS:
            self.unreported = (fraction, text)
            return
        self.reported_at = now
        self.unreported = None
        self.sink.progress(self, fraction, text)


current: ContextVar[Run | None] = ContextVar("dts_run", default=None)


class Running:
    """The runs of this child by number; one that is alone answers for threads that have no context."""

    runs: dict[int, Run] = {}  # noqa: RUF012 - there is one table in a process


def this_run() -> Run | None:
    """The run that the caller belongs to: by its context, else the only one there is."""
    run = current.get()
    if run is not None and not run.ended:
        return run
    runs = Running.runs
    if len(runs) == 1:
        return next(iter(runs.values()), None)
    return None


class Job:
    """The running job. Usable from any thread that the job started."""

    __slots__ = ()

    @property
    def id(self) -> str:
        """The job's id, the same in every attempt; empty outside a job."""
        run = this_run()
        return run.id if run else ""

    @property
    def function(self) -> str:
        """namespace/name of the function."""
        run = this_run()
        return run.function if run else ""

    @property
    def attempt(self) -> int:
        """Which attempt this is, from 1."""
        run = this_run()
        return run.attempt if run else 1

    @property
    def host(self) -> str:
        """Name of the host that runs it."""
        run = this_run()
        return run.host if run else ""

    @property
    def submitter(self) -> str:
        """Who submitted it."""
        run = this_run()
        return run.submitter if run else ""

    @property
    def deadline(self) -> float | None:
        """Seconds left until the attempt times out, never below 0; None without a limit."""
        run = this_run()
        if run is None or run.deadline_at is None:
            return None
        return max(run.deadline_at - time.monotonic(), 0.0)

    @property
    def cancelled(self) -> bool:
        """Whether the job was told to stop (by a person or by its time limit): return soon."""
        run = this_run()
        if run is None:
            return False
        if not run.cancel_requested:
            run.sink.poll()
        return run.cancel_requested

    def check_cancelled(self) -> None:
        """Stop here when the job was told to stop.

        Raises:
            Cancelled: It was.
        """
        if self.cancelled:
            raise Cancelled("the job was told to stop")

    def progress(self, fraction: float, text: str = "") -> None:
        """Say how far the job is.

        Args:
            fraction: 0 to 1; other values are moved to the nearer end.
            text: What it does just now, at most 200 characters.
        """
        fraction = float(fraction)
        fraction = min(max(fraction, 0.0), 1.0) if fraction == fraction else 0.0
        text = str(text)[:TEXT_MAX]
        run = this_run()
        if run is None:
            print(f"progress {fraction * 100:3.0f}% {text}", file=sys.stderr)  # noqa: T201 - outside a job
        else:
            run.report(fraction, text)

    @property
    def logger(self) -> logging.Logger:
        """Its records of any level become log lines of the job."""
        import logging

        return logging.getLogger("job")

    log = logger

    def __repr__(self) -> str:
        return "<job %s>" % (self.id or "none")


job = Job()
