"""Runs of hosts printed as they come: standard output here on standard output, standard error on ours."""

from typing import TYPE_CHECKING, Final

import click

from dts_core.cli.client_common import TEXT_MAX, print_line
from dts_core.plain.ssh import how
from dts_core.text import clean, clean_lines

if TYPE_CHECKING:
    from collections.abc import Callable

    from dts_core.clients import SyncAdminClient
    from dts_core.views.ssh import HostLiveView, HostRunList

__all__ = ["Printed"]

NAME_MAX: Final = 120


class Printed:
    """How far the output of a run's hosts was printed; with several of them each line names its host.

    Whole lines while a host runs, in the order in which they are heard of. Nothing is kept here: what comes faster than
    it is asked for is counted where it is missing.

    Args:
        client: Of the server.
        job: The run.
        hosts: How many it goes to.
    """

    def __init__(self, client: "SyncAdminClient", job: str, hosts: int) -> None:
        self._client = client
        self._job = job
        self._is_one = hosts == 1
        self._at: dict[str, tuple[int, int]] = {}
        """Of hosts that were begun and not told to their end: where to go on."""
        self._told: set[str] = set()
        """The others that were begun."""

    def show(self, listed: "HostRunList") -> None:
        """Print what is new of hosts that run, and of those that were told to have ended since."""
        for run in listed.items:
            if run.host not in self._told:
                self._at.setdefault(run.host, (0, 0))
        for host in list(self._at):
            if self._next(host).is_over:
                del self._at[host]
                self._told.add(host)

    def _next(self, host: str) -> "HostLiveView":
        stdout, stderr = self._at[host]
        live = self._client.ssh.live(self._job, host, stdout=stdout, stderr=stderr)
        self._at[host] = live.stdout_at, live.stderr_at
        for text, missed, show in (
            (live.stdout, live.stdout_missed, print_line),
            (live.stderr, live.stderr_missed, _say),
        ):
            if missed:
                left_out = f"... {missed} bytes left out: they came faster than they are shown ..."
                self._lines(host, left_out, _say)
            self._lines(host, text.removesuffix("\n"), show)
        if live.is_over:
            self._end(host, live)
        return live

    def _end(self, host: str, live: "HostLiveView") -> None:
        if live.result not in ("", "null"):
            self._lines(host, live.result.rstrip("\n"), print_line)
        if live.error is not None:
            self._lines(host, live.error.traceback.rstrip("\n"), _say)
        if live.state != "ok":
            _say(f"{clean(host, NAME_MAX)}: {how(live)}")

    def _lines(self, host: str, text: str, show: "Callable[[str], None]") -> None:
        if not text:
            return
        begin = "" if self._is_one else f"{clean(host, NAME_MAX)}: "
        show("\n".join(f"{begin}{line}" for line in text.split("\n")))


def _say(text: str) -> None:
    click.echo(clean_lines(text.rstrip("\n"), limit=TEXT_MAX, line_limit=TEXT_MAX), err=True)
