"""One page of jobs in bounded time, whatever combination of filters is asked for.

Every filter that has an index is a set of streams of `seq`, already in order. The filter whose next few thousand
entries reach furthest is the rarest: it drives, its streams are merged, and the other filters are checked on its rows.
Nothing sorts, and no page looks at more than WINDOW rows of the driving filter.
"""

import heapq
from collections.abc import Sequence
from itertools import islice
from typing import Any, NamedTuple

from dts_core.model import Job, JobQuery, Page
from dts_core.sqlite import Connection, one_row
from dts_core.stores import limits
from dts_core.stores.embedded.rows import COLUMNS, job_of
from dts_core.stores.embedded.writer import newest_before
from dts_core.stores.fields import micros
from dts_core.stores.paging import Span, check_limit, cursor_behind


class _Stream(NamedTuple):
    """The jobs with one value in one indexed column."""

    source: str
    column: str
    value: str

    @property
    def where(self) -> str:
        # A literal term lets the partial index qualify.
        return f"{self.column}=?" + (" AND host!=''" if self.column == "host" else "")


class _Filter(NamedTuple):
    """One filter: the union of its streams, and the same as a condition on a row."""

    streams: tuple[_Stream, ...]
    condition: str
    values: tuple[str, ...]


def find_jobs(connection: Connection, query: JobQuery) -> Page[Job]:
    """See `JobStore.find_jobs`. `since` is inclusive, `until` exclusive.

    Raises:
        InvalidInput: The limit is out of bounds, or the cursor is none of ours.
    """
    check_limit(query.limit)
    span = _span(connection, query)
    if span.low > span.high:
        return Page([])
    filters = _filters(query)
    text = _text(query)
    seqs, bound = _scan(connection, span, filters, text, query.limit + 1)
    more = len(seqs) > query.limit
    seqs = seqs[: query.limit]
    items = _jobs(connection, seqs)
    if len(items) < len(seqs) or more:
        return Page(items, cursor_behind(seqs[len(items) - 1]))
    return Page(items, "" if bound is None else cursor_behind(bound))


def _jobs(connection: Connection, seqs: Sequence[int]) -> list[Job]:
    """The jobs at these places, up to the one that makes them too many bytes."""
    select = f"SELECT {COLUMNS} FROM jobs WHERE seq=?"
    jobs: list[Job] = []
    size = 0
    for seq in seqs:
        row = one_row(connection, select, (seq,))
        assert row is not None, "read in the snapshot that named it"
        jobs.append(job_of(row))
        size += len(row[-1])
        if size >= limits.PAGE_BYTES:
            break
    return jobs


def _span(connection: Connection, query: JobQuery) -> Span:
    newest = connection.execute("SELECT max(seq) FROM jobs").get or 0
    low, high = 1, newest
    if query.text:
        low = newest - limits.TEXT_NEWEST + 1
    if query.since is not None:
        low = max(low, newest_before(connection, micros(query.since)) + 1)
    if query.until is not None:
        high = newest_before(connection, micros(query.until))
    return Span(max(low, 1), high, query.newest_first).behind(query.cursor)


def _filters(query: JobQuery) -> list[_Filter]:
    filters = []
    if query.state:
        filters.append(_one_of("state", tuple(sorted({state.value for state in query.state}))))
    filters += [
        _one_of(column, (value,))
        for column, value in (
            ("function", query.function),
            ("namespace", query.namespace),
            ("host", query.host),
            ("submitter", query.submitter),
        )
        if value
    ]
    if query.visible_namespaces is not None:
        filters.append(_visible(query.visible_namespaces, query.visible_to))
    return filters


def _one_of(column: str, values: tuple[str, ...]) -> _Filter:
    condition = f"{column} IN ({','.join('?' * len(values))})"
    return _Filter(
        tuple(_Stream(f"jobs_{column}", column, value) for value in values), condition, values
    )


def _visible(namespaces: tuple[str, ...], user: str) -> _Filter:
    inner = _one_of("namespace", tuple(sorted(set(namespaces))))
    if not user:
        return inner
    return _Filter(
        (*inner.streams, _Stream("jobs_submitter", "submitter", user)),
        f"({inner.condition} OR submitter=?)",
        (*inner.values, user),
    )


def _text(query: JobQuery) -> _Filter | None:
    if not query.text:
        return None
    escaped = query.text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    columns = ("id", "function", "reason")
    condition = " OR ".join(f"{column} LIKE ? ESCAPE '\\'" for column in columns)
    return _Filter((), f"({condition})", (f"%{escaped}%",) * len(columns))


def _scan(
    connection: Connection, span: Span, filters: list[_Filter], text: _Filter | None, limit: int
) -> tuple[list[int], int | None]:
    """Up to `limit` matching seqs in order, and where the look ended when it ended before the range did."""
    if not filters:
        if text is None:
            return _rows(connection, span, None, [], limit), None
        bound = _step(connection, span, None, limits.TEXT_WINDOW)
        return _rows(connection, span.until(bound), None, [text], limit), bound
    if len(filters) == 1 and text is None:
        return _merged(connection, span, filters[0], [], limit), None
    bounds = [_reach(connection, span, candidate) for candidate in filters]
    driver = _rarest(span, bounds)
    checks = [other for at, other in enumerate(filters) if at != driver]
    if text is not None:
        checks.append(text)
    part = span.until(bounds[driver])
    return _merged(connection, part, filters[driver], checks, limit), bounds[driver]


def _rarest(span: Span, bounds: Sequence[int | None]) -> int:
    """The filter whose window reaches furthest."""

    def reach(at: int) -> float:
        bound = bounds[at]
        if bound is None:
            return float("-inf")
        return bound if span.newest_first else -bound

    return min(range(len(bounds)), key=reach)


def _reach(connection: Connection, span: Span, candidate: _Filter) -> int | None:
    """How far WINDOW entries of a filter reach; None: to the end of the range."""
    each = max(limits.WINDOW // max(len(candidate.streams), 1), 32)
    return span.nearest([_step(connection, span, stream, each) for stream in candidate.streams])


def _step(connection: Connection, span: Span, stream: _Stream | None, entries: int) -> int | None:
    """The seq of the last of `entries` entries of a stream, None when it has fewer."""
    found = one_row(
        connection,
        f"SELECT seq FROM jobs {_source(stream)} seq BETWEEN ? AND ? ORDER BY seq {_order(span)} LIMIT 1 OFFSET ?",
        (*(() if stream is None else (stream.value,)), span.low, span.high, entries - 1),
    )
    return None if found is None else int(found[0])


def _order(span: Span) -> str:
    return "DESC" if span.newest_first else "ASC"


def _source(stream: _Stream | None) -> str:
    if stream is None:
        return "NOT INDEXED WHERE"
    return f"INDEXED BY {stream.source} WHERE {stream.where} AND"


def _rows(
    connection: Connection, span: Span, stream: _Stream | None, checks: list[_Filter], limit: int
) -> list[int]:
    """Up to `limit` seqs of one stream that pass the checks."""
    conditions = "".join(f" AND {check.condition}" for check in checks)
    values: list[Any] = [] if stream is None else [stream.value]
    values += [span.low, span.high]
    values += [value for check in checks for value in check.values]
    cursor = connection.execute(
        f"SELECT seq FROM jobs {_source(stream)} seq BETWEEN ? AND ?{conditions} ORDER BY seq {_order(span)} LIMIT ?",
        (*values, limit),
    )
    return [seq for (seq,) in cursor]


def _merged(
    connection: Connection, span: Span, driver: _Filter, checks: list[_Filter], limit: int
) -> list[int]:
    """Up to `limit` seqs of the union of a filter's streams that pass the checks, each once."""
    lists = [_rows(connection, span, stream, checks, limit) for stream in driver.streams]
    if len(lists) == 1:
        return lists[0]
    merged = heapq.merge(*lists, reverse=span.newest_first)
    return list(islice(dict.fromkeys(merged), limit))
