"""A shell on a host: the console steps aside for `dts ssh --tty`, and comes back."""

import shlex
import sys
from typing import TYPE_CHECKING
from urllib.parse import quote

from textual.app import SuspendNotSupported

from dts_core.text import clean, one_line
from dts_tui.lending import lend
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
    view.ask("shell", _surroundings, lambda env: _lent(view, host, env))


async def _surroundings(client: "AdminClient") -> dict[str, str]:
    """Where the server is and who asks, as the command finds it: in its environment, never on its command line."""
    return {"DTS_URL": client.url, "DTS_TOKEN": client.token, "DTS_CA_FILE": client.authorities}


def _lent(view: View, host: str, env: dict[str, str]) -> None:
    console = view.console
    # -P: what lies in the folder that the console was started in is no module of ours.
    command = [sys.executable, "-P", "-m", "dts_core", "ssh", "--tty", f"--hosts={host}"]
    try:
        status, said = lend(command, console.suspend, env=env, hears=True)
    except SuspendNotSupported:
        console.notice("this terminal cannot be lent to a shell", "bad")
        return
    except OSError as error:
        console.notice(f"the shell did not start: {error.strerror}", "bad")
        return
    words = one_line(said.strip().rsplit("\n", 1)[-1].removeprefix("dts: "), 400)
    if words:
        console.notice(words, "bad" if status == 1 else "good")
    else:
        shown = clean(host, 120)
        console.notice(f"the shell on {shown} ended" + (f" with status {status}" if status else ""))
    console.feed.wake()
