"""What is done on a board: its hosts run again, compared, stopped."""

from typing import Final

from dts_core.plain.figures import is_final
from dts_core.views.ssh import HostRunView
from dts_tui.actions import subject_of_jobs
from dts_tui.fanout import FanOut, Group, state_words, what_of
from dts_tui.screens.base import Place, View
from dts_tui.screens.fanout_again import ask_again
from dts_tui.screens.fanout_difference import show_difference
from dts_tui.screens.fanout_earlier import choose_earlier
from dts_tui.screens.fanout_questions import Questions
from dts_tui.screens.host_shell import open_shell, shell_subject
from dts_tui.screens.job_actions import ask_cancel, describe_job

_COUNTED: Final = {
    "again-failed": "failed", "again-unreachable": "unreachable", "again-timed-out": "timed_out",
    "again-cancelled": "cancelled", "again-unstarted": "never_started",
}  # fmt: skip
"""Action -> the state whose hosts it runs again."""


class BoardActions(View):
    """Actions on the fan-out `place.key`."""

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self.fan = FanOut()
        self.questions = Questions(self, place.key, lambda: list(self.fan.hosts))

    def group(self) -> Group | None:
        """The group under the cursor, or the one that the host under it belongs to."""
        raise NotImplementedError

    def host(self) -> HostRunView | None:
        """The host under the cursor, or the first one of the group under it."""
        raise NotImplementedError

    def on_table_opened(self) -> None:
        """As enter."""
        self.do_open()

    def do_open(self) -> None:
        """All that the host printed."""
        if (host := self.host()) is not None:
            self.console.go(Place("host-output", self.place.key, host.host))

    def do_shell(self) -> None:
        """On the host under the cursor, or the first one of the group under it."""
        if (host := self.host()) is not None:
            open_shell(self, host.host)

    def do_again_group(self) -> None:
        """On exactly the hosts of the group under the cursor."""
        group = self.group()
        if group is None or not (group.digest or group.state == "never_started"):
            self.console.notice("these hosts have not ended: there is nothing to run again", "warn")
        elif group.digest:
            self._again("group", group.digest)
        else:
            self._again("never_started")

    def _again(self, which: str, digest: str = "") -> None:
        if self.fan.job is not None:
            given = self.fan.job.kwargs if isinstance(self.fan.job.kwargs, dict) else {}
            ask_again(
                self, self.place.key, what_of(self.fan.job), which=which, digest=digest,
                ask=bool(given.get("ask")), as_me=bool(given.get("own_keys")),
            )  # fmt: skip

    def _again_state(self, name: str) -> None:
        if self.has_use(name):
            self._again(_COUNTED[name])
        else:
            self.console.notice(f"no host is {state_words(_COUNTED[name])}", "warn")

    def do_again_failed(self) -> None:
        """On exactly those that failed."""
        self._again_state("again-failed")

    def do_again_unreachable(self) -> None:
        """On exactly those that were not reached."""
        self._again_state("again-unreachable")

    def do_again_timed_out(self) -> None:
        """On exactly those whose time was over."""
        self._again_state("again-timed-out")

    def do_again_cancelled(self) -> None:
        """On exactly those that were cancelled."""
        self._again_state("again-cancelled")

    def do_again_unstarted(self) -> None:
        """On exactly those whose turn did not come."""
        self._again_state("again-unstarted")

    def do_answer(self) -> None:
        """What a login asks."""
        self.questions.put()

    def do_majority(self) -> None:
        """What differs from the largest group."""
        show_difference(self, self.fan, self.group())

    def do_earlier(self) -> None:
        """What differs from an earlier run."""
        choose_earlier(self, self.fan)

    def do_cancel(self) -> None:
        """Stop it."""
        ask_cancel(self, [self.fan.job] if self.fan.job is not None else [])

    def do_describe(self) -> None:
        """Every field of the job."""
        describe_job(self, self.place.key)

    def do_job_logs(self) -> None:
        """The job's log."""
        self.console.go(Place("job", self.place.key, "log"))

    def do_timeline(self) -> None:
        """The job's attempts."""
        self.console.go(Place("job", self.place.key, "attempts"))

    def has_use(self, name: str) -> bool:
        """Only what there are hosts for."""
        if name in _COUNTED:
            return self.fan.counts()[_COUNTED[name]] > 0
        if name == "answer":
            return bool(self.questions.count)
        if name == "cancel":
            return self.fan.job is not None and not is_final(self.fan.job.state)
        return True

    def subject(self) -> dict[str, str]:
        """The job, and the answer of the group under the cursor."""
        group, host = self.group(), self.host()
        subject = subject_of_jobs([self.place.key]) | shell_subject(host.host if host else "")
        return subject | {"digest": group.digest[:12] if group else ""}
