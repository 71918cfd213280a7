"""The child's end of the two pipes, and everything a job reports through them."""

from __future__ import annotations

import os
import select
import time
from _thread import allocate_lock, get_ident

from dts_core.runner import frames
from dts_core.runner.jobapi import Run, Running, Sink

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dts_core.runner.frames import Frame

READ_SIZE = 1 << 16
"""What a pipe holds; the memory for more would be asked of the system and given back for each read."""
FRAME_MAX = 1 << 28
"""Frames from the worker are trusted; this only catches a broken stream."""
LOST_WORKER = 70
"""Exit code of a child whose worker does not read any more."""


class Channel(Sink):
    """Frames in, frames out. Writing is safe from any thread; reading belongs to the main thread, polling to all."""

    def __init__(self, fd_in: int, fd_out: int) -> None:
        self.fd_in = fd_in
        self.fd_out = fd_out
        self.pid = os.getpid()
        self._rest = b""
        self._waiting: list[Frame] = []
        self._reading = allocate_lock()
        self._writing = allocate_lock()
        self._writer = 0
        self._late: list[bytes] = []
        self._poller = select.poll()
        self._poller.register(fd_in, select.POLLIN | select.POLLHUP)
        self._pending: list[bytes] = []
        self._hold = False
        os.register_at_fork(after_in_child=self._disown)

    def _disown(self) -> None:
        """A process forked by user code has no part in the conversation."""
        self.pid = -1
        self._writing = allocate_lock()
        self._reading = allocate_lock()
        for fd in (self.fd_in, self.fd_out):
            try:
                os.close(fd)
            except OSError:
                continue

    # --- in -----------------------------------------------------------------------------------

    def wait(self) -> list[Frame] | None:
        """Whole frames, at least one, in order; None when the worker has closed the pipe."""
        while not self._waiting:
            with self._reading:
                if not self.read():
                    return None
        found, self._waiting = self._waiting, []
        return found

    def read(self) -> bool:
        """Read once and keep the whole frames; False at the end of the stream. May raise BlockingIOError."""
        data = os.read(self.fd_in, READ_SIZE)
        if not data:
            return False
        found, self._rest = frames.split(self._rest + data if self._rest else data, FRAME_MAX)
        for frame in found:
            if frame[0] == frames.CANCEL:
                _mark_cancelled(frame[1])
            self._waiting.append(frame)
        return True

    def taken(self) -> list[Frame]:
        """The frames that have been read and not given out."""
        found, self._waiting = self._waiting, []
        return found

    def poll(self) -> None:
        """Read what is there, without waiting."""
        if self.pid == -1 or not self._reading.acquire(blocking=False):
            return
        try:
            if self._poller.poll(0):
                self.read()
        except OSError:
            return
        finally:
            self._reading.release()

    # --- out ----------------------------------------------------------------------------------

    def hold(self, frame: bytes) -> bool:
        """Keep a frame for `flush`; True when it is the first one kept."""
        self._pending.append(frame)
        return len(self._pending) == 1

    def flush(self) -> None:
        """Send what was held, in one write."""
        if self._pending:
            data = b"".join(self._pending)
            self._pending.clear()
            self.send(data)

    def send(self, data: bytes) -> None:
        """Send now. When nobody reads any more the process ends.

        A signal handler may come here in the middle of a write of its own thread: its frame goes right behind that one.
        """
        if self.pid == -1:
            return
        me = get_ident()
        if self._writer == me:
            self._late.append(data)
            return
        with self._writing:
            self._writer = me
            try:
                self._write(data)
                while self._late:
                    self._write(self._late.pop(0))
            except OSError:
                os._exit(LOST_WORKER)
            finally:
                self._writer = 0

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self.fd_out, view) :]

    def log(self, run: Run, level: int, text: str) -> None:
        """Send one record of a job, unless it has sent too many in this second."""
        if not run.budget.allows(time.monotonic()):
            return
        dropped = run.budget.take_dropped()
        data = self._record(run, 30, f"dropped {dropped} lines") if dropped else b""
        self.send(data + self._record(run, level, text))

    def progress(self, run: Run, fraction: float, text: str) -> None:
        """Send one report."""
        body = frames.PROGRESS_HEAD.pack(fraction) + text.encode("utf-8", "backslashreplace")
        self.send(frames.pack(frames.PROGRESS, run.number, body))

    def last_words(self, run: Run) -> bytes:
        """What a job still has to say at its end: lines without an end, held progress, dropped lines."""
        data = b""
        for level, text in sorted(run.partial.items()):
            if text:
                data += self._record(run, level, text)
        run.partial.clear()
        if run.unreported is not None:
            fraction, text = run.unreported
            body = frames.PROGRESS_HEAD.pack(fraction) + text.encode("utf-8", "backslashreplace")
            data += frames.pack(frames.PROGRESS, run.number, body)
        dropped = run.budget.take_dropped()
        if dropped:
            data += self._record(run, 30, f"dropped {dropped} lines")
        return data

    @staticmethod
    def _record(run: Run, level: int, text: str) -> bytes:
        body = bytes((min(max(level, 0), 255),)) + text.encode("utf-8", "backslashreplace")
        return frames.pack(frames.LOG, run.number, body)


def _mark_cancelled(number: int) -> None:
    run = Running.runs.get(number)
    if run is not None:
        run.cancel_requested = True
