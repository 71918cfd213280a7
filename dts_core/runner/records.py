"""Records of the logging module, and warnings, as log records of the job they come from; loaded when `logging` is."""

import logging

from dts_core.runner.frames import RECORD_MAX
from dts_core.runner.jobapi import this_run
from dts_core.runner.streams import INFO, shorten, write_raw


def take() -> None:
    """Have them all."""
    handler = JobHandler()
    handler.setFormatter(_Format())
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(INFO)
    logging.getLogger("job").setLevel(logging.DEBUG)
    logging.captureWarnings(True)


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
            write_raw(2, text.encode("utf-8", "backslashreplace") + b"\n")
        else:
            run.sink.log(run, record.levelno, shorten(text, RECORD_MAX))


class _Format(logging.Formatter):
    """The message alone; records of libraries say whose they are."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the name is logging's
        if record.name in ("job", "root"):
            return record.message
        return f"{record.name}: {record.message}"
