"""The same again on exactly those hosts of a fan-out that ended in one way: asked with their names, then started."""

from dts_core.hostsets import fold, split_names
from dts_core.plain import words
from dts_core.text import clean
from dts_core.views.ssh import SshStarted
from dts_tui.screens.base import Place, View
from dts_tui.widgets.overlays import Confirm

WORDS_MOST = 600
"""Most characters of a command within a question."""
LINE_CELLS = 64
"""Of a line of names within a question."""


def ask_again(
    view: View, job: str, what: str, *, which: str, digest: str = "", ask: bool = False
) -> None:
    """Let the server say which hosts are meant, show them, and start it when that is confirmed.

    Args:
        view: The board.
        job: The fan-out.
        what: What it runs, in words.
        which: failed | unreachable | timed_out | cancelled | never_started | group
        digest: For group: which one.
        ask: Whether its logins ask, as before.
    """

    def meant(answer: SshStarted) -> None:
        question = (
            f"Run {clean(what, WORDS_MOST)} again on {words.plural(len(answer.hosts), 'host')}?"
        )
        view.console.open_overlay(Confirm(question, host_lines(answer.hosts), "Run again", send))

    def send() -> None:
        view.ask(
            "again",
            lambda client: client.ssh.again(job, which, digest=digest, ask=ask),
            lambda answer: opened(view, answer),
            writes=True,
        )

    view.ask(
        "meant",
        lambda client: client.ssh.again(job, which, digest=digest, ask=ask, dry_run=True),
        meant,
    )


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
