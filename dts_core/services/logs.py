"""Log records: read here, written by the logtracer."""

from dts_core.errors import InvalidInput
from dts_core.model import LogQuery, LogRecord
from dts_core.services.access import Caller
from dts_core.stores.base import Store
from dts_core.text import clean
from dts_core.views import LogLine, LogPage

LOOK = 100_000
"""Records that a store looks at at least, for one query."""
LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50}


def parse_level(text: str) -> int:
    """A level by its name or its number; empty is 0, every level.

    Raises:
        InvalidInput: Neither.
    """
    if not text:
        return 0
    if text.lower() in LEVELS:
        return LEVELS[text.lower()]
    if text.isascii() and text.isdigit() and len(text) <= 3:
        return int(text)
    raise InvalidInput(
        f"{clean(text, 40)!r} is no level.",
        fields={"level": f"a number, or one of {', '.join(LEVELS)}"},
    )


def sees(caller: Caller, record: LogRecord) -> bool:
    """Whether a record exists for this user: a function's, of a namespace they are a member of; or a host's."""
    return not record.function or caller.sees_namespace(record.function.partition("/")[0])


def line(record: LogRecord) -> LogLine:
    """A record as the API shows it."""
    return LogLine(
        seq=record.seq,
        at=record.at,
        host=record.host,
        source=record.source,
        level=record.level,
        text=record.text,
        job=record.job,
        function=record.function,
    )


def matches(query: LogQuery, record: LogRecord) -> bool:
    """Whether a record passes the query's filters (its positions aside), as the store would judge it."""
    return (
        record.level >= query.level
        and (not query.host or record.host == query.host)
        and (not query.source or record.source == query.source)
        and (not query.job or record.job == query.job)
        and (not query.function or record.function == query.function)
        and (not query.text or query.text.lower() in record.text.lower())
    )


class Logs:
    """The log records that a caller sees."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def page(self, caller: Caller, query: LogQuery) -> LogPage:
        """Records by position, oldest first; `position` is the newest one looked at, to follow from.

        The records of one's own job are seen too when the query names that job and the caller submitted it.
        """
        position = await self._store.log_position()
        found = await self._store.find_logs(query)
        own = bool(query.job) and await self.is_own(caller, query.job)
        items = [line(each) for each in found if own or sees(caller, each)]
        return LogPage(items=items, position=_looked_at(query, found, position))

    async def is_own(self, caller: Caller, job_id: str) -> bool:
        """Whether the caller sees this job, and with it all its records."""
        jobs = await self._store.get_jobs([job_id])
        return any(caller.sees(job) for job in jobs)


def _looked_at(query: LogQuery, found: list[LogRecord], position: int) -> int:
    """The newest position that the query surely looked at, given the newest there is."""
    newest = found[-1].seq if found else 0
    if query.before:
        return newest
    if query.after and len(found) >= query.limit:
        return newest
    if query.after:  # a store looks at a bounded number of records
        return max(newest, min(position, query.after + LOOK))
    return max(newest, position)
