"""Log records of the embedded store."""

from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Any, Final

import msgspec

from dts_core.model import LogQuery, LogRecord
from dts_core.sqlite import Connection, all_rows, one_row
from dts_core.stores import limits
from dts_core.stores.embedded.base import Part
from dts_core.stores.fields import instant, micros
from dts_core.stores.limits import (
    LOGS_MAX,
    LOUD,
    RECORD_OVERHEAD,
    TRIM_CHUNK,
    TRIM_SAMPLE,
)

_COLUMNS: Final = "at, host, source, level, text, job, function, seq"


class Logs(Part):
    """The LogStore."""

    async def add_logs(self, records: Sequence[LogRecord]) -> list[LogRecord]:
        """See LogStore."""
        if not records:
            return []
        rows = [
            (micros(r.at), r.host, r.source, r.level, r.job, r.function, r.text) for r in records
        ]

        def work(connection: Connection) -> int:
            connection.executemany(
                "INSERT INTO logs(at, host, source, level, job, function, text) VALUES(?,?,?,?,?,?,?)",
                rows,
            )
            return connection.last_insert_rowid()

        # One writer: the positions of one executemany are consecutive.
        first = await self._write(work) - len(rows) + 1
        return [
            msgspec.structs.replace(record, seq=first + at) for at, record in enumerate(records)
        ]

    async def find_logs(self, query: LogQuery) -> list[LogRecord]:
        """See LogStore; at most 2,000."""
        return await self._read(lambda connection: _find(connection, query))

    async def log_position(self) -> int:
        """See LogStore. Does not go back when records are removed."""
        newest = "SELECT seq FROM sqlite_sequence WHERE name='logs'"
        return await self._read(lambda connection: connection.execute(newest).get or 0)

    async def trim_logs(self, before: datetime, *, keep_bytes: int, limit: int = 20_000) -> int:
        """See LogStore. Sizes are estimated from the newest and the oldest records."""
        low, all_until, old_until = await self._read(
            partial(_bounds, before=micros(before), keep_bytes=keep_bytes, limit=limit)
        )
        removed = 0
        for start in range(low, max(all_until, old_until) + 1, TRIM_CHUNK):
            end = start + TRIM_CHUNK - 1
            removed += await self._write(
                partial(
                    _clear,
                    everything=(start, min(end, all_until)),
                    old=(start, min(end, old_until)),
                    before=micros(before),
                )
            )
        return removed


def _find(connection: Connection, query: LogQuery) -> list[LogRecord]:
    source, conditions, values = _filters(query)
    forward = query.after > 0
    order = "ASC" if forward else "DESC"
    conditions += ["seq>?", "seq<?"]
    values += [query.after, query.before or 1 << 62]
    driving, driven = _driver(query)
    edge = one_row(
        connection,
        f"SELECT seq FROM logs {source} WHERE {driving} seq>? AND seq<? ORDER BY seq {order} LIMIT 1 OFFSET ?",
        (*driven, query.after, query.before or 1 << 62, limits.LOOK - 1),
    )
    if edge is not None:
        conditions.append("seq<=?" if forward else "seq>=?")
        values.append(edge[0])
    rows = all_rows(
        connection,
        f"SELECT {_COLUMNS} FROM logs {source} WHERE {' AND '.join(conditions)} ORDER BY seq {order} LIMIT ?",
        (*values, min(query.limit, LOGS_MAX)),
    )
    if not forward:
        rows.reverse()
    return [LogRecord(instant(at), *rest) for at, *rest in rows]


def _driver(query: LogQuery) -> tuple[str, list[Any]]:
    """The condition of the index that is walked, and its values."""
    if query.job:
        return "job=? AND job!='' AND", [query.job]
    if query.host:
        return "host=? AND", [query.host]
    if query.level >= LOUD:
        return f"level>={LOUD} AND", []
    return "", []


def _filters(query: LogQuery) -> tuple[str, list[str], list[Any]]:
    """Where to look, the conditions, and their values."""
    conditions: list[str] = []
    values: list[Any] = []
    for column, value in (
        ("job", query.job),
        ("host", query.host),
        ("source", query.source),
        ("function", query.function),
    ):
        if value:
            conditions.append(f"{column}=?")
            values.append(value)
    if query.level:
        conditions.append("level>=?")
        values.append(query.level)
    if query.text:
        escaped = query.text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
        conditions.append("text LIKE ? ESCAPE '\\'")
        values.append(f"%{escaped}%")
    if query.job:
        conditions.append("job!=''")
        return "INDEXED BY logs_job", conditions, values
    if query.host:
        return "INDEXED BY logs_host", conditions, values
    if query.level >= LOUD:
        conditions.append(f"level>={LOUD}")
        return "INDEXED BY logs_loud", conditions, values
    return "NOT INDEXED", conditions, values


def _bounds(
    connection: Connection, *, before: int, keep_bytes: int, limit: int
) -> tuple[int, int, int]:
    """First position, last one that goes whatever its age, last one that goes if it is old."""
    low, high = all_rows(
        connection, "SELECT (SELECT min(seq) FROM logs), (SELECT max(seq) FROM logs)"
    )[0]
    if low is None:
        return 1, 0, 0
    sizes = "length(text) + 2 * length(host) + length(source) + 2 * length(job) + length(function)"
    average = connection.execute(
        f"SELECT avg(size) FROM (SELECT * FROM (SELECT {sizes} AS size FROM logs ORDER BY seq LIMIT {TRIM_SAMPLE}) "
        f"UNION ALL SELECT * FROM (SELECT {sizes} AS size FROM logs ORDER BY seq DESC LIMIT {TRIM_SAMPLE}))"
    ).get
    kept = int(keep_bytes / (average + RECORD_OVERHEAD))
    all_until = min(high - kept, low + limit - 1)
    old_until = connection.execute(
        "SELECT max(seq) FROM (SELECT seq, at FROM logs ORDER BY seq LIMIT ?) WHERE at<?",
        (limit, before),
    ).get
    return low, all_until, old_until or 0


def _clear(
    connection: Connection, *, everything: tuple[int, int], old: tuple[int, int], before: int
) -> int:
    connection.execute("DELETE FROM logs WHERE seq BETWEEN ? AND ?", everything)
    removed = connection.changes()
    connection.execute("DELETE FROM logs WHERE seq BETWEEN ? AND ? AND at<?", (*old, before))
    return int(removed + connection.changes())
