"""The log of a part itself: one line a record, text sanitised, secrets hidden, written by a thread of its own.

Parts log through the standard library's `logging` or through structlog, which ends there too.
"""

import contextlib
import logging
import logging.handlers
import queue
import re
import sys
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from dts_core.errors import ConfigError
from dts_core.settings import LoggingSettings, masked
from dts_core.text import clean, clean_lines

__all__ = ["FILE_BYTES", "hide_secrets", "log_to"]

WAITING_MAX: Final = 10_000
"""Most records that wait for the writing thread; more are dropped and counted."""
FILE_BYTES: Final = 5 << 20
"""A log file is put aside at this size; two older ones are kept."""
FILES_KEPT: Final = 2

_SECRET_KEY = re.compile(
    r"token|secret|passw|authorization|cookie|private_key|api_key", re.IGNORECASE
)
_SECRET_TEXT = re.compile(
    r"(?P<head>(bearer\s+|(?:token|secret|password|passwd)[\"']?\s*[=:]\s*[\"']?))(?P<tail>[^\s\"',;&]{4,})",
    re.IGNORECASE,
)


def _stamp(logger: WrappedLogger, name: str, event: EventDict) -> EventDict:
    """When it was said, not when it was written."""
    record: logging.LogRecord | None = event.get("_record")
    instant = datetime.now(UTC) if record is None else datetime.fromtimestamp(record.created, UTC)
    event["at"] = instant.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return event


_SHARED: Final[list[Processor]] = [
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    _stamp,
    structlog.processors.format_exc_info,
]
QUIET = ("uvicorn", "httpx", "httpcore", "litestar", "asyncio", "asyncssh")
"""Libraries whose records below warning say nothing to an operator, or too much: asyncssh tells every command."""


def hide_secrets(text: str) -> str:
    """The text with passwords in URLs, bearer tokens and `secret=...` replaced by ***."""
    return _SECRET_TEXT.sub(r"\g<head>***", masked(text) if "//" in text else text)


@contextmanager
def log_to(settings: LoggingSettings, *, file: Path | None = None) -> Iterator[None]:
    """Write this process's log as the settings say, until the block ends.

    Args:
        settings: Level, format, file.
        file: A further file that gets the same lines; its folder exists.

    Raises:
        ConfigError: A log file cannot be opened.
    """
    targets = [_file(Path(settings.file).expanduser())] if settings.file else [_stream()]
    if file is not None:
        targets.append(_file(file))
    for target in targets:
        target.setFormatter(_formatter(settings.format))
    entrance = _Entrance(queue.Queue(WAITING_MAX))
    listener = logging.handlers.QueueListener(entrance.queue, *targets)
    _lead_structlog_here()
    root = logging.getLogger()
    before = root.level, list(root.handlers)
    root.handlers = [entrance]
    root.setLevel(settings.level.upper())
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    listener.start()
    try:
        yield
    finally:
        root.setLevel(before[0])
        root.handlers = before[1]
        listener.stop()
        for target in targets:
            target.close()


class _Entrance(logging.handlers.QueueHandler):
    """Hands records to the writing thread; never waits for it."""

    def __init__(self, records: "queue.Queue[Any]") -> None:
        super().__init__(records)
        self._dropped = 0

    def prepare(self, record: logging.LogRecord) -> logging.LogRecord:
        """Leave the record as it is: the formatter needs its exception, and it stays in this process."""
        if isinstance(record.msg, str):  # structlog's records carry their fields as a mapping
            record.msg, record.args = record.getMessage(), None
        return record

    def enqueue(self, record: logging.LogRecord) -> None:
        """Queue the record, or count it as dropped."""
        try:
            self.queue.put_nowait(record)
        except queue.Full:
            self._dropped += 1
            return
        if self._dropped:
            lost, self._dropped = self._dropped, 0
            logging.getLogger(__name__).warning("the log could not keep up: %d lines lost", lost)


def _lead_structlog_here() -> None:
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *_SHARED,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )


def _stream() -> logging.Handler:
    return logging.StreamHandler(sys.stderr)


class _LogFile(logging.handlers.RotatingFileHandler):
    """A full disk costs lines, and nothing else: standard error says already what the matter is."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the library's name
        """Leave the line out when the disk refuses it."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handleError(record)

    def close(self) -> None:
        """Close, whether or not what is left can be written."""
        with contextlib.suppress(OSError):
            super().close()


def _file(path: Path) -> logging.Handler:
    try:
        return _LogFile(path, maxBytes=FILE_BYTES, backupCount=FILES_KEPT, encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            f"the log file cannot be opened: {error.strerror}.",
            file=clean(str(path)),
            key="logging.file",
        ) from error


def _formatter(form: str) -> logging.Formatter:
    last: list[Processor] = [_Sanitise(keep_lines=form == "json")]
    last.append(structlog.processors.JSONRenderer() if form == "json" else _render_text)
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[*_SHARED, structlog.stdlib.ExtraAdder()],
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
    )


class _Sanitise:
    """Hides secrets and makes every text printable."""

    def __init__(self, *, keep_lines: bool) -> None:
        self._keep_lines = keep_lines

    def __call__(self, logger: WrappedLogger, name: str, event: EventDict) -> EventDict:
        return {key: self._value(key, value) for key, value in event.items()}

    def _value(self, key: str, value: Any) -> Any:
        if _SECRET_KEY.search(key):
            return "***"
        if isinstance(value, bool | int | float) or value is None:
            return value
        if isinstance(value, Mapping):
            return {clean(str(name)): self._value(str(name), each) for name, each in value.items()}
        text = hide_secrets(value if isinstance(value, str) else str(value))
        lines = self._keep_lines or key == "exception"
        return str(clean_lines(text) if lines else clean(text))


def _render_text(logger: WrappedLogger, name: str, event: MutableMapping[str, Any]) -> str:
    """`2026-01-01T00:00:00Z warning dts_core.x: text key=value`, a traceback indented below."""
    trace = event.pop("exception", "")
    head = f"{event.pop('at')} {event.pop('level'):<7} {event.pop('logger', 'dts')}"
    text = event.pop("event", "")
    pairs = "".join(f" {clean(key, 60)}={value}" for key, value in event.items())
    below = "".join(f"\n    {line}" for line in trace.split("\n")) if trace else ""
    return f"{head}: {text}{pairs}{below}"
