"""Cancel and run again, asked and done the same way wherever a job is shown."""

from collections.abc import Sequence

from dts_core.plain import words
from dts_core.plain.figures import is_final
from dts_core.views import CancelAnswer, JobView
from dts_tui.draw import Line
from dts_tui.fanout import SSHRPC
from dts_tui.screens.base import Place, View
from dts_tui.widgets.confirm import Confirm
from dts_tui.widgets.overlays import Reader, pairs


def _name(job: JobView) -> str:
    return f"{job.function}  {words.short_id(job.id)}  {job.state}" + (
        f" on {job.host}" if job.host else ""
    )


def place_of(view: View, job: JobView) -> Place:
    """Where a job is shown: a fan-out on its board, for those who may see its hosts."""
    fans_out = job.function == SSHRPC and view.console.world.role == "admin"
    return Place("board" if fans_out else "job", job.id)


def ask_cancel(view: View, jobs: Sequence[JobView]) -> None:
    """Ask before stopping jobs; those that have ended already are left out."""
    live = [job for job in jobs if not is_final(job.state) and job.state != "cancelling"]
    console = view.console
    if not live:
        console.notice("nothing to cancel here: it has ended, or is being cancelled", "warn")
        return
    ids = [job.id for job in live]

    def done(answer: CancelAnswer) -> None:
        applied = sum(item.applied for item in answer.items)
        waiting = sum(item.state == "cancelling" for item in answer.items)
        text = (
            f"{words.plural(applied, 'job')} told to stop"
            if waiting
            else f"{words.plural(applied, 'job')} cancelled"
        )
        missed = len(answer.items) - applied
        console.notice(
            text + (f", {missed} had ended already" if missed else ""),
            "good" if applied else "warn",
        )
        view.refresh_data()

    def send() -> None:
        view.ask("cancel", lambda client: client.cancel(ids[:1000]), done, writes=True)

    running = sum(job.state == "running" for job in live)
    question = f"Stop {words.plural(len(live), 'job')}?"
    if running:
        question += (
            f" {running} of them running: told to stop, killed after the grace time."
            if len(live) > 1
            else (
                f" It is running: it is told to stop, and killed after {live[0].grace_seconds:g} s."
            )
        )
    console.open_overlay(
        Confirm(
            question,
            [_name(job) for job in live],
            "Stop the jobs" if len(live) > 1 else "Stop the job",
            send,
        )
    )


def ask_again(view: View, jobs: Sequence[JobView], version: str = "same") -> None:
    """Ask before submitting the same calls once more."""
    console = view.console
    if not jobs:
        return
    made: list[JobView] = []

    def done(job: JobView) -> None:
        made.append(job)
        if len(jobs) == 1:
            console.go(place_of(view, job))
        console.notice(f"{words.plural(len(made), 'job')} submitted again")
        view.refresh_data()

    def send() -> None:
        for job in jobs[:100]:
            view.ask(
                f"again:{job.id}",
                lambda client, job_id=job.id: client.again(job_id, version=version),  # type: ignore[misc]
                done,
                writes=True,
            )

    which = "its version of then" if version == "same" else "the default version of now"
    question = f"Run {words.plural(min(len(jobs), 100), 'job')} again, with {which}?"
    console.open_overlay(Confirm(question, [_name(job) for job in jobs[:100]], "Run again", send))


def describe_job(view: View, job_id: str) -> None:
    """Every field of a job, over the screen."""

    def show(job: JobView) -> None:
        view.console.open_overlay(
            Reader(f"job {job.id}", lambda width: job_facts(job, width, view.console.utc))
        )

    view.ask("describe", lambda client: client.job(job_id), show)


def job_facts(job: JobView, width: int, utc: bool) -> list[Line]:
    """A job's fields as lines, empty ones left out."""
    items: list[tuple[str, str, str]] = []
    for name in job.__struct_fields__:
        value = getattr(job, name)
        if name in ("result", "error", "args", "kwargs") or value in ("", None, 0, 0.0):
            continue
        text = words.instant(value, utc=utc) if hasattr(value, "isoformat") else str(value)
        items.append((name, text, "text"))
    if job.error is not None:
        items.append(("error", f"{job.error.type}: {job.error.message}", "bad"))
    return pairs(items, width)
