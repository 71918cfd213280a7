"""A fan-out against an earlier one: which of them is chosen, then what differs, host by host."""

from dts_core.plain import words
from dts_core.text import clean
from dts_core.views import JobPage, JobView
from dts_core.views.ssh import HostRunList, HostRunView
from dts_tui.fanout import FanOut, what_of
from dts_tui.fanout_drawing import earlier_lines
from dts_tui.screens.base import View
from dts_tui.screens.fanout_asking import all_hosts, earlier_runs
from dts_tui.widgets.overlays import Choice, Picker, Reader


def choose_earlier(view: View, fan: FanOut) -> None:
    """Offer the earlier ones, those of the same command first; then show what differs."""
    job = fan.job
    if job is None:
        return

    def offer(page: JobPage) -> None:
        others = [
            each for each in page.items if each.id != job.id and each.created_at <= job.created_at
        ]
        if not others:
            view.console.notice("there is no earlier run to compare with", "warn")
            return
        others.sort(key=lambda each: what_of(each) != what_of(job))  # stable: newest first
        choices = [_choice(view, each) for each in others]
        view.console.open_overlay(
            Picker(
                "against which earlier run", lambda: choices, lambda name: _compare(view, fan, name)
            )
        )

    view.ask("earlier", earlier_runs, offer)


def _choice(view: View, job: JobView) -> Choice:
    hosts = job.kwargs.get("hosts", []) if isinstance(job.kwargs, dict) else []
    told = words.moment(job.created_at, view.console.now(), utc=view.console.utc)
    detail = f"{clean(what_of(job), 300)} on {words.plural(len(hosts), 'host')}, {job.state}"
    return Choice(job.id, told, detail, words.short_id(job.id))


def _compare(view: View, fan: FanOut, earlier: str) -> None:
    def got(pages: list[HostRunList]) -> None:
        before: list[HostRunView] = [each for page in pages for each in page.items]
        now = list(fan.hosts.values())
        title = f"against {words.short_id(earlier)}"
        view.console.open_overlay(Reader(title, lambda width: earlier_lines(now, before, width)))

    view.ask("compare", lambda client: all_hosts(client, earlier), got)
