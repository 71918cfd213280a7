"""The same again on exactly those hosts of a fan-out that ended in one way: asked with their names, then started."""

from functools import partial
from typing import TYPE_CHECKING

from dts_core.hostsets import fold, split_names
from dts_core.plain import words
from dts_core.text import clean
from dts_core.views.ssh import SshStarted
from dts_tui.screens.base import Place, View
from dts_tui.screens.fanout_signing import lent, own_keys
from dts_tui.widgets.confirm import Confirm

if TYPE_CHECKING:
    from dts_core.clients import AdminClient

WORDS_MOST = 600
"""Most characters of a command within a question."""
LINE_CELLS = 64
"""Of a line of names within a question."""


def ask_again(
    view: View,
    job: str,
    what: str,
    *,
    which: str,
    digest: str = "",
    ask: bool = False,
    as_me: bool = False,
) -> None:
    """Let the server say which hosts are meant, show them, and start it when that is confirmed.

    Args:
        view: The board.
        job: The fan-out.
        what: What it runs, in words.
        which: failed | unreachable | timed_out | cancelled | never_started | group
        digest: For group: which one.
        ask: Whether its logins ask, as before.
        as_me: Whether the SSH agent here signs them, as before.
    """

    def meant(answer: SshStarted) -> None:
        question = (
            f"Run {clean(what, WORDS_MOST)} again on {words.plural(len(answer.hosts), 'host')}?"
        )
        view.console.open_overlay(Confirm(question, host_lines(answer.hosts), "Run again", send))

    async def again(client: "AdminClient", *, dry_run: bool) -> SshStarted:
        keys = await own_keys() if as_me else []
        return await client.ssh.again(
            job, which, digest=digest, ask=ask, own_keys=keys, dry_run=dry_run
        )

    def begun(answer: SshStarted) -> None:
        if as_me:
            lent(view, answer)
        opened(view, answer)

    def send() -> None:
        view.ask("again", partial(again, dry_run=False), begun, writes=True)

    view.ask("meant", partial(again, dry_run=True), meant)


def opened(view: View, answer: SshStarted) -> None:
    """Show the board of the job that was started."""
    if answer.job is not None:
        view.console.go(Place("board", answer.job.id))
        view.console.notice(f"started on {words.plural(len(answer.hosts), 'host')}")


def host_lines(hosts: list[str]) -> list[str]:
    """Their names, folded, as many sets a line as there is room for."""
    lines: list[str] = []
    for each in split_names(fold(hosts)):
        name = clean(each, 400)
        if lines and len(lines[-1]) + len(name) + 2 <= LINE_CELLS:
            lines[-1] += f", {name}"
        else:
            lines.append(name)
    return lines
