"""One host's run, printed as it comes: its standard output here on standard output, its standard error on ours."""

import time
from typing import TYPE_CHECKING, Final

import click

from dts_core.cli.client_common import TEXT_MAX, print_line
from dts_core.plain.ssh import how
from dts_core.text import clean_lines

if TYPE_CHECKING:
    from dts_core.clients import SyncAdminClient
    from dts_core.views.ssh import HostLiveView

__all__ = ["Printed"]

LOOK_SECONDS: Final = 0.2


class Printed:
    """How far one host's output was printed.

    Args:
        client: Of the server.
        job: The run.
        host: Its host.
    """

    def __init__(self, client: "SyncAdminClient", job: str, host: str) -> None:
        self._client = client
        self._job = job
        self._host = host
        self._stdout = self._stderr = 0

    def follow(self) -> None:
        """Print what comes, until nothing more does; then how it ended, unless that is ok."""
        while not (live := self._next()).is_over:
            time.sleep(LOOK_SECONDS)
        if live.result not in ("", "null"):
            print_line(live.result.rstrip("\n"))
        if live.error is not None and live.error.traceback:
            _say(live.error.traceback)
        if live.state != "ok":
            _say(f"{self._host}: {how(live)}")

    def _next(self) -> "HostLiveView":
        live = self._client.ssh.live(
            self._job, self._host, stdout=self._stdout, stderr=self._stderr
        )
        self._stdout, self._stderr = live.stdout_at, live.stderr_at
        for text, missed, show in (
            (live.stdout, live.stdout_missed, print_line),
            (live.stderr, live.stderr_missed, _say),
        ):
            if missed:
                _say(f"... {missed} bytes left out: they came faster than they are shown ...")
            if text:
                show(text.removesuffix("\n"))
        return live


def _say(text: str) -> None:
    click.echo(clean_lines(text.rstrip("\n"), limit=TEXT_MAX, line_limit=TEXT_MAX), err=True)
