"""A command of dts at a terminal of its own, with keys typed into it; and what processes show of themselves."""

import contextlib
import os
import pty
import select
import subprocess
import sys
from pathlib import Path

import psutil

from tests.support.processes import environment, eventually

WAIT = 120.0
_TERMINAL = "import os, sys; os.close(os.open(os.ttyname(0), os.O_RDWR)); os.execv(sys.argv[1], sys.argv[1:])"
"""Takes the terminal as its own, then becomes the command."""


class Typed:
    """One command.

    Args:
        data: Data folder of the server that it asks.
        words: Of the command, `dts` left out.
        env: Further variables.
    """

    def __init__(self, data: Path, *words: str, **env: str) -> None:
        self._end, far = pty.openpty()
        self.process = subprocess.Popen(
            [sys.executable, "-c", _TERMINAL, sys.executable, "-m", "dts_core.cli", *words],
            stdin=far, stdout=far, stderr=far, start_new_session=True,
            env=environment(data.parent) | {"DTS_DATA": str(data)} | env,
        )  # fmt: skip
        os.close(far)
        self.said = ""

    def until(self, text: str) -> None:
        """Read until it is said."""
        at = len(self.said)
        eventually(lambda: text in self._read()[at:], seconds=WAIT, what=f"it says {text!r}")

    def type(self, text: str) -> None:
        os.write(self._end, f"{text}\n".encode())

    def _read(self) -> str:
        while select.select([self._end], [], [], 0)[0]:
            try:
                self.said += os.read(self._end, 65536).decode("utf-8", "replace")
            except OSError:  # it has ended
                break
        return self.said

    def ended(self) -> int:
        """Its exit status, once it has one."""
        eventually(
            lambda: (self._read(), self.process.poll())[1] is not None, seconds=WAIT, what="it ends"
        )
        self._read()
        return self.process.wait(WAIT)

    def close(self) -> None:
        self.process.kill()
        self.process.wait(WAIT)
        os.close(self._end)


def shown_by(*pids: int) -> str:
    """Arguments and environments of these processes and all below."""
    shown = []
    for pid in pids:
        for each in (psutil.Process(pid), *psutil.Process(pid).children(recursive=True)):
            with contextlib.suppress(psutil.NoSuchProcess, OSError):
                shown.append(" ".join(each.cmdline()))
                shown.append(
                    Path(f"/proc/{each.pid}/environ").read_bytes().decode("utf-8", "replace")
                )
    return "\n".join(shown)
