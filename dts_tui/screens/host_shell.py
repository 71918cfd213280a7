"""A shell on a host: the console steps aside for `dts ssh --tty`, and comes back."""

import shlex
from typing import TYPE_CHECKING
from urllib.parse import quote

from textual.app import SuspendNotSupported

from dts_core.text import clean
from dts_tui.lending import lend
from dts_tui.own_commands import command, last_words, surroundings
from dts_tui.screens.base import View

if TYPE_CHECKING:
    from dts_core.clients import AdminClient

__all__ = ["open_shell", "shell_subject"]


def shell_subject(host: str) -> dict[str, str]:
    """The host, as a word of a command and in a path."""
    return {"shell_word": shlex.quote(host), "shell_path": quote(host, safe="")}


def open_shell(view: View, host: str) -> None:
    """Lend the terminal to a shell on this virtual host; when it ends, what it said last is told."""
    if not host:
        return

    async def known(client: "AdminClient") -> dict[str, str]:
        return surroundings(client)

    view.ask("shell", known, lambda env: _lent(view, host, env))


def _lent(view: View, host: str, env: dict[str, str]) -> None:
    console = view.console
    try:
        status, said = lend(
            command("ssh", "--tty", f"--hosts={host}"), console.suspend, env=env, hears=True
        )
    except SuspendNotSupported:
        console.notice("this terminal cannot be lent to a shell", "bad")
        return
    except OSError as error:
        console.notice(f"the shell did not start: {error.strerror}", "bad")
        return
    if words := last_words(said):
        console.notice(words, "bad" if status == 1 else "good")
    else:
        shown = clean(host, 120)
        console.notice(f"the shell on {shown} ended" + (f" with status {status}" if status else ""))
    console.feed.wake()
