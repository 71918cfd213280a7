"""Log records and what is asked of them."""

from datetime import datetime

import msgspec

from dts_core.model.base import Record


class LogRecord(Record, frozen=True):
    """One record of a log. text is untrusted, sanitised at ingest."""

    at: datetime
    host: str
    source: str
    """A file's path, `job`, `worker`, or a daemon's name."""
    level: int
    """As in logging: 10 debug, 20 info, 30 warning, 40 error, 50 critical."""
    text: str
    job: str = ""
    function: str = ""
    seq: int = 0
    """Position in the store; 0 before it is stored."""


class LogBatch(Record, frozen=True):
    """The body in `logs`."""

    host: str
    worker: str
    records: list[LogRecord]
    dropped: int = 0
    """How many records the sender dropped since its last batch."""


class LogQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which records; empty fields do not filter."""

    host: str = ""
    source: str = ""
    job: str = ""
    function: str = ""
    level: int = 0
    """At least."""
    text: str = ""
    after: int = 0
    """Only records with a position above; 0 = the newest ones."""
    before: int = 0
    limit: int = 200
    """1..2000"""
