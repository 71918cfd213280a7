"""The process that cleans up after us when we die without a word (`runner/keeper.py`)."""

import contextlib
import os
import secrets
import subprocess
import sys
from pathlib import Path

import dts_core.runner

VARIABLE = "DTS_CHILD"
"""Marks every process that descends from a child."""
CLOSE_SECONDS = 3.0
SCRIPT = Path(dts_core.runner.__file__).parent / "keeper.py"


class Keeper:
    """Started with the pool of a worker; it holds the only other end of a pipe, and acts when ours closes."""

    def __init__(self) -> None:
        self.token = secrets.token_hex(16)
        reading, self._pipe = os.pipe()
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", str(SCRIPT), self.token],
                stdin=reading,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env={},
                cwd="/",
                start_new_session=True,
            )
        except OSError:
            os.close(self._pipe)
            raise
        finally:
            os.close(reading)
        os.set_blocking(self._pipe, False)
        self.pid = self._process.pid

    def began(self, pid: int) -> None:
        """A child leads the session `pid` from now on."""
        self._write(b"+%d\n" % pid)

    def ended(self, pid: int) -> None:
        """That child is gone, with everything it started."""
        self._write(b"-%d\n" % pid)

    def _write(self, line: bytes) -> None:
        """A keeper that was killed is no reason to stop."""
        with contextlib.suppress(BrokenPipeError, BlockingIOError):
            os.write(self._pipe, line)

    def close(self) -> None:
        """Let it end; waits for it, at most CLOSE_SECONDS: call it in a thread. A second call does nothing."""
        if self._pipe < 0:
            return
        os.close(self._pipe)
        self._pipe = -1
        try:
            self._process.wait(CLOSE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
