"""What a child writes to its descriptors 1 and 2 without passing through Python's streams."""

import asyncio
import os
import time
from collections.abc import Callable

from dts_core.children.calls import Running
from dts_core.runner import frames
from dts_core.runner.frames import LineBudget

READ_SIZE = 1 << 16
PAUSE_SECONDS = 0.1
BURST = 16
"""Full reads in a row after which the writer is made to wait a little."""


class OutputPipe:
    """Lines of one descriptor, as log records of the call they belong to. Bounded in rate and in length.

    A flood is read no faster than BURST reads in PAUSE_SECONDS, so that the writer waits instead of our loop working.
    """

    def __init__(
        self,
        fd: int,
        level: int,
        attributed: Callable[[], Running | None],
        stray: Callable[[int, str], None],
        lines: int,
    ) -> None:
        self.fd = fd
        self._level = level
        self._attributed = attributed
        self._stray = stray
        self._loop = asyncio.get_running_loop()
        self._budget = LineBudget(lines)
        self._partial = b""
        self._full_reads = 0
        self._resume: asyncio.TimerHandle | None = None
        self._open = True
        self._loop.add_reader(fd, self.read)

    def read(self) -> None:
        """Read once, without waiting."""
        if not self._open:
            return
        try:
            data = os.read(self.fd, READ_SIZE)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._loop.remove_reader(self.fd)
            return
        self._throttle(len(data))
        *lines, rest = (self._partial + data).split(b"\n")
        while len(rest) >= 4 * frames.LINE_MAX:
            lines.append(rest[: 4 * frames.LINE_MAX])
            rest = rest[4 * frames.LINE_MAX :]
        self._partial = rest
        run = self._attributed()
        for line in lines:
            self._tell(run, line)

    def _throttle(self, size: int) -> None:
        self._full_reads = self._full_reads + 1 if size >= READ_SIZE // 2 else 0
        if self._full_reads >= BURST and self._resume is None:
            self._full_reads = 0
            self._loop.remove_reader(self.fd)
            self._resume = self._loop.call_later(PAUSE_SECONDS, self._read_again)

    def _read_again(self) -> None:
        self._resume = None
        if self._open:
            self._loop.add_reader(self.fd, self.read)

    def _tell(self, run: Running | None, line: bytes) -> None:
        if not self._budget.allows(time.monotonic()):
            return
        self._tell_dropped(run)
        text = line[: 4 * frames.LINE_MAX].decode("utf-8", "backslashreplace").rstrip("\r")
        self._say(run, self._level, text[: frames.LINE_MAX])

    def _tell_dropped(self, run: Running | None) -> None:
        dropped = self._budget.take_dropped()
        if dropped:
            self._say(run, 30, f"dropped {dropped} lines")

    def _say(self, run: Running | None, level: int, text: str) -> None:
        if run is None:
            self._stray(level, text)
        elif run.on_log is not None:
            run.on_log(run.call, level, text)

    def close(self) -> None:
        """Read what is left (at most READ_SIZE bytes), tell it, close the descriptor."""
        if not self._open:
            return
        self.read()
        run = self._attributed()
        if self._partial:
            self._tell(run, self._partial)
        self._tell_dropped(run)
        self._open = False
        if self._resume is not None:
            self._resume.cancel()
        self._loop.remove_reader(self.fd)
        os.close(self.fd)
