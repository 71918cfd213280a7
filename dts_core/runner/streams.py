"""standard output, standard error and logging of user code, as log records of the job they come from."""

import io
import logging
import os
import sys
import threading
from collections.abc import Iterable
from typing import Any

from dts_core.runner.frames import LINE_MAX, RECORD_MAX
from dts_core.runner.jobapi import Run, current, this_run

INFO = 20
WARNING = 30


class JobStream(io.TextIOBase):
    """Stands for sys.stdout or sys.stderr: whole lines go to the running job, the rest to the descriptor."""

    def __init__(self, fd: int, level: int) -> None:
        super().__init__()
        self._fd = fd
        self._level = level
        self._lock = threading.RLock()
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
            _write_raw(self._fd, text.encode("utf-8", "backslashreplace"))
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
            run.sink.log(run, self._level, _shorten(line.rstrip("\r"), LINE_MAX))

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


class JobHandler(logging.Handler):
    """Records of the logging module to the job they come from."""

    def emit(self, record: logging.LogRecord) -> None:
        """Send one record."""
        try:
            text = self.format(record)
        except Exception:  # noqa: BLE001 - a record's arguments are user code; it must not lose its level
            text = f"a log record that cannot be formatted: {record.msg!r}"
        run = this_run()
        if run is None:
            _write_raw(2, text.encode("utf-8", "backslashreplace") + b"\n")
        else:
            run.sink.log(run, record.levelno, _shorten(text, RECORD_MAX))


class _Format(logging.Formatter):
    """The message alone; records of libraries say whose they are."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the name is logging's
        if record.name in ("job", "root"):
            return record.message
        return f"{record.name}: {record.message}"


class Streams:
    """Puts the streams in place, again before each job, whatever the one before did to them."""

    def __init__(self) -> None:
        self._out = JobStream(1, INFO)
        self._err = JobStream(2, WARNING)
        handler = JobHandler()
        handler.setFormatter(_Format())
        root = logging.getLogger()
        root.addHandler(handler)
        root.setLevel(INFO)
        logging.getLogger("job").setLevel(logging.DEBUG)
        logging.captureWarnings(True)
        self._marks = (_identity(1), _identity(2))
        self.restore()

    def restore(self) -> None:
        """Make print and tracebacks of the next job go where they belong."""
        sys.stdout = self._out
        sys.stderr = self._err

    def intact(self) -> bool:
        """Whether descriptors 1 and 2 still are what they were at the start."""
        return self._marks == (_identity(1), _identity(2))


def _identity(fd: int) -> "tuple[int, int]":
    try:
        stat = os.fstat(fd)
    except OSError:
        return (0, 0)
    return (stat.st_dev, stat.st_ino)


def _shorten(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 16]}… (+{len(text) - most + 16})"


def _write_raw(fd: int, data: bytes) -> None:
    try:
        os.write(fd, data)
    except OSError:
        return  # user code has closed it; there is nowhere to say so


def inherit_context() -> None:
    """Let threads, and work given to thread pools, belong to the job that started them."""
    start = threading.Thread.start

    def start_in_context(self: threading.Thread) -> None:
        if current.get() is not None:
            from contextvars import copy_context

            context, run = copy_context(), self.run
            self.run = lambda: context.run(run)  # type: ignore[method-assign]
        start(self)

    threading.Thread.start = start_in_context  # type: ignore[method-assign]


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
