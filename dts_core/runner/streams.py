"""standard output, standard error and logging of user code, as log records of the job they come from."""

from __future__ import annotations

import io
import os
import sys
from _thread import RLock

from dts_core.runner.frames import LINE_MAX
from dts_core.runner.jobapi import Run, current, this_run
from dts_core.runner.later import when_imported

TYPE_CHECKING = False
if TYPE_CHECKING:
    import threading
    from collections.abc import Iterable
    from typing import Any

INFO = 20
WARNING = 30


class JobStream(io.TextIOBase):
    """Stands for sys.stdout or sys.stderr: whole lines go to the running job, the rest to the descriptor."""

    def __init__(self, fd: int, level: int) -> None:
        super().__init__()
        self._fd = fd
        self._level = level
        self._lock = RLock()
        self.buffer = _Bytes(self)

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """Always UTF-8."""
        return "utf-8"

    @property
    def errors(self) -> str:  # type: ignore[override]
        """Lone surrogates become visible."""
        return "backslashreplace"

    def fileno(self) -> int:
        """The descriptor, for processes that inherit it."""
        return self._fd

    def isatty(self) -> bool:
        """Never a terminal."""
        return False

    def writable(self) -> bool:
        """Always."""
        return True

    def write(self, text: str) -> int:
        """Send the whole lines, keep the rest for later."""
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        run = this_run()
        if run is None:
            write_raw(self._fd, text.encode("utf-8", "backslashreplace"))
        else:
            with self._lock:
                self._collect(run, text)
        return len(text)

    def _collect(self, run: Run, text: str) -> None:
        pending = run.partial.get(self._level, "") + text
        if "\n" not in pending and len(pending) < LINE_MAX:
            run.partial[self._level] = pending
            return
        *lines, rest = pending.split("\n")
        while len(rest) >= LINE_MAX:
            lines.append(rest[:LINE_MAX])
            rest = rest[LINE_MAX:]
        run.partial[self._level] = rest
        for line in lines:
            run.sink.log(run, self._level, shorten(line.rstrip("\r"), LINE_MAX))

    def writelines(self, lines: Iterable[Any]) -> None:
        """Write one after the other."""
        for line in lines:
            self.write(line)

    def close(self) -> None:
        """Closing it must not silence the next job."""


class _Bytes(io.RawIOBase):
    """`sys.stdout.buffer`: bytes become text of the same stream."""

    def __init__(self, text: JobStream) -> None:
        super().__init__()
        self._text = text

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        raw = bytes(data)
        self._text.write(raw.decode("utf-8", "backslashreplace"))
        return len(raw)

    def fileno(self) -> int:
        return self._text.fileno()

    def close(self) -> None:
        """Closing it must not silence the next job."""


class Streams:
    """Puts the streams in place, again before each job, whatever the one before did to them."""

    def __init__(self) -> None:
        self._out = JobStream(1, INFO)
        self._err = JobStream(2, WARNING)
        when_imported("logging", _take_records)
        when_imported("warnings", _take_warnings)
        self._marks = (_identity(1), _identity(2))
        self.restore()

    def restore(self) -> None:
        """Make print and tracebacks of the next job go where they belong."""
        sys.stdout = self._out
        sys.stderr = self._err

    def intact(self) -> bool:
        """Whether descriptors 1 and 2 still are what they were at the start."""
        return self._marks == (_identity(1), _identity(2))


def _take_records() -> None:
    from dts_core.runner.records import take

    take()


def _take_warnings() -> None:
    """The first warning loads `logging`, which takes it and all others."""
    warnings: Any = sys.modules["warnings"]
    if "logging" in sys.modules:
        return
    original = warnings.showwarning

    def show(*args: Any, **named: Any) -> None:
        import logging

        if warnings.showwarning is not show:  # `logging` passes on what is for a file
            original(*args, **named)
            return
        logging.captureWarnings(False)
        warnings.showwarning = original
        logging.captureWarnings(True)
        warnings.showwarning(*args, **named)

    warnings.showwarning = show


def _identity(fd: int) -> tuple[int, int]:
    try:
        stat = os.fstat(fd)
    except OSError:
        return (0, 0)
    return (stat.st_dev, stat.st_ino)


def shorten(text: str, most: int) -> str:
    """At most so many characters, with a word on how many are missing."""
    return text if len(text) <= most else f"{text[: most - 16]}… (+{len(text) - most + 16})"


def write_raw(fd: int, data: bytes) -> None:
    """To a descriptor itself, past all streams."""
    try:
        os.write(fd, data)
    except OSError:
        return  # user code has closed it; there is nowhere to say so


def inherit_context() -> None:
    """Let threads, and work given to thread pools, belong to the job that started them."""
    when_imported("threading", _inherit_context)


def _inherit_context() -> None:
    thread = sys.modules["threading"].Thread
    start = thread.start

    def start_in_context(self: threading.Thread) -> None:
        if current.get() is not None:
            from contextvars import copy_context

            context, run = copy_context(), self.run
            self.run = lambda: context.run(run)  # type: ignore[method-assign]
        start(self)

    thread.start = start_in_context


def inherit_context_in_pools() -> None:
    """The same for ThreadPoolExecutor, whose threads outlive the job that made them."""
    from concurrent.futures import thread
    from contextvars import copy_context

    submit = thread.ThreadPoolExecutor.submit

    def submit_in_context(self: Any, function: Any, /, *args: Any, **kwargs: Any) -> Any:
        if current.get() is None:
            return submit(self, function, *args, **kwargs)
        return submit(self, copy_context().run, function, *args, **kwargs)

    thread.ThreadPoolExecutor.submit = submit_in_context  # type: ignore[method-assign]
