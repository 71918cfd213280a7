"""A program in a terminal of its own, by tmux: keys in, the screen as text out. Each has a tmux server to itself."""

import contextlib
import shlex
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tests.support.processes import eventually

SECONDS = 30.0
ENDED = "it ended with status"
"""What the terminal shows behind the program, with its exit status."""
STAYS = f'trap : INT; "$@"; echo "{ENDED} $?"; exec sleep 600'
"""Keeps the terminal: tmux itself now and then misses that its program has ended, and never tells the status."""


class Terminal:
    """One window.

    Args:
        socket: Of the tmux server, in a folder that nobody else uses.
        size: Columns and lines.
    """

    def __init__(self, socket: Path, size: tuple[int, int]) -> None:
        self._socket, self._size = socket, size

    def start(self, arguments: Sequence[str], env: Mapping[str, str]) -> None:
        """Run the program in it."""
        width, height = (str(each) for each in self._size)
        given = [f"{name}={value}" for name, value in env.items()]
        line = shlex.join(["sh", "-c", STAYS, "sh", "env", "-i", *given, *arguments])
        self._tmux("-f", "/dev/null", "new-session", "-d", "-x", width, "-y", height, line)

    def keys(self, *keys: str) -> None:
        """Press keys, named as tmux names them; `<text>` is typed letter by letter."""
        for key in keys:
            if key.startswith("<") and key.endswith(">"):
                self._tmux("send-keys", "-l", key[1:-1])
            else:
                self._tmux("send-keys", key)

    def paste(self, text: str) -> None:
        """Paste a text, as a terminal does: in brackets."""
        self._tmux("load-buffer", "-", given=text)
        self._tmux("paste-buffer", "-p", "-d")

    def screen(self) -> str:
        """What is seen."""
        return self._tmux("capture-pane", "-p")

    def shows(self, *texts: str) -> str:
        """The screen once it has all of these."""

        def look() -> str:
            found = self.screen()
            return found if all(text in found for text in texts) else ""

        try:
            return eventually(look, seconds=SECONDS, what=f"{texts}")
        except AssertionError as error:
            raise AssertionError(f"{texts} not in\n{self.screen()}") from error

    def end(self) -> None:
        """Nothing of it stays."""
        self._tmux("kill-server", check=False)

    def _tmux(self, *arguments: str, check: bool = True, given: str = "") -> str:
        done = subprocess.run(
            ["tmux", "-S", str(self._socket), *arguments],
            input=given,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        assert not check or done.returncode == 0, (arguments, done.stderr)
        return done.stdout


@contextlib.contextmanager
def terminal(
    folder: Path, arguments: Sequence[str], env: Mapping[str, str], size: tuple[int, int] = (80, 24)
) -> Iterator[Terminal]:
    """A program in a terminal for the length of a test."""
    made = Terminal(folder / f"tmux-{size[0]}", size)
    try:
        made.start(arguments, env)
        yield made
    finally:
        made.end()
