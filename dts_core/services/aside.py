"""Secrets are compared in a process that gets only what no other process wants of the machine.

A thread would not do: it needs the interpreter's lock to tell its result, and one that gets no processor while it
holds that lock holds up every request. Without a privilege nothing comes back from SCHED_IDLE, so on a machine that is
full this process is not hurried: after PATIENCE_SECONDS the caller compares for itself.
"""

import json
import os
import select
import signal
import subprocess
import sys
import weakref
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError

PATIENCE_SECONDS: Final = 1.0
"""What a login waits for the process aside: forty times what it takes where processors are free."""
UNUSED_SECONDS: Final = 60.0
"""Without a question for so long the process ends; the next question starts another."""
_ROOT: Final = str(Path(__file__).resolve().parents[2])

Start = Callable[[], "subprocess.Popen[bytes]"]


def compare(hasher: PasswordHasher, stored: str, secret: str) -> bool:
    """Whether the secret is the one of the stored hash; False too when that is no hash."""
    try:
        return hasher.verify(stored, secret)
    except (Argon2Error, InvalidHashError):
        return False


def start() -> "subprocess.Popen[bytes]":
    """The process that answers `Aside`.

    Raises:
        OSError: It cannot be started.
    """
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "dts_core.services.aside"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        bufsize=0,
        env={"PYTHONPATH": _ROOT, "PATH": os.defpath},
    )


class Aside:
    """Asks that process, one question at a time. Not for several threads at once.

    Args:
        patience: Seconds that a question waits for its answer.
        start: Starts the process, at the first question and whenever it has ended.
    """

    def __init__(self, patience: float = PATIENCE_SECONDS, *, start: Start = start) -> None:
        self._patience = patience
        self._start = start
        self._process: subprocess.Popen[bytes] | None = None
        self._end: Callable[[], object] = lambda: None
        self._asked = 0
        self._answered = 0
        self._begun = b""

    def verify(self, stored: str, secret: str) -> bool | None:
        """Whether the secret is the one; None when it is not known in time: the process is busy, stopped or gone."""
        try:
            process = self._running()
            if not self._is_free(process):
                return None
            self._asked += 1
            assert process.stdin is not None
            # Smaller than a pipe, which is empty: this does not wait.
            process.stdin.write(json.dumps([self._asked, stored, secret]).encode() + b"\n")
            return self._answer(process, self._patience)
        except (OSError, ValueError):
            self.close()
            return None

    def close(self) -> None:
        """End the process, if there is one. A later question starts another."""
        self._end()
        self._process = None

    def _running(self) -> "subprocess.Popen[bytes]":
        if self._process is not None and self._process.poll() is None:
            return self._process
        self.close()
        process = self._process = self._start()
        self._end = weakref.finalize(self, _stop, process)
        self._asked = self._answered = 0
        self._begun = b""
        return process

    def _is_free(self, process: "subprocess.Popen[bytes]") -> bool:
        """Whether it has answered what it was asked; late answers are of nobody's use any more."""
        while self._answered < self._asked:
            if self._answer(process, 0) is None:
                return False
        return True

    def _answer(self, process: "subprocess.Popen[bytes]", seconds: float) -> bool | None:
        assert process.stdout is not None
        while b"\n" not in self._begun:
            if not _readable(process.stdout.fileno(), seconds):
                return None
            part = os.read(process.stdout.fileno(), 256)
            if not part:
                raise BrokenPipeError
            self._begun += part
        line, _, self._begun = self._begun.partition(b"\n")
        self._answered, matches = json.loads(line)
        return bool(matches)


def _readable(fd: int, seconds: float) -> bool:
    """Whether there is something to read, or its end, within that time; `select` knows no descriptor above 1,023."""
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(seconds * 1000))


def _stop(process: "subprocess.Popen[bytes]") -> None:
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with suppress(OSError):
                pipe.close()
    process.kill()
    process.wait()


def main() -> None:
    """The process: reads lines `[number, stored, secret]`, and writes a line `[number, matches]` for each."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C at the terminal is its parent's
    hasher = PasswordHasher()
    if sys.platform == "linux":
        with suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    begun = b""
    while _readable(0, UNUSED_SECONDS) and (part := os.read(0, 1 << 16)):
        *lines, begun = (begun + part).split(b"\n")
        for line in lines:
            number, stored, secret = json.loads(line)
            os.write(1, json.dumps([number, compare(hasher, stored, secret)]).encode() + b"\n")


if __name__ == "__main__":
    main()
