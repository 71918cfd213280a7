"""Log records of the MongoDB store."""

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

from dts_core.errors import StoreUnavailable
from dts_core.model import LogQuery, LogRecord
from dts_core.stores import limits
from dts_core.stores.fields import instant, micros
from dts_core.stores.limits import LOGS_MAX, LOUD, RECORD_OVERHEAD, TRIM_CHUNK, TRIM_SAMPLE
from dts_core.stores.mongodb.base import Part
from dts_core.stores.mongodb.driver import ASCENDING, DESCENDING, VERSION, Doc, deadlined


class Logs(Part):
    """The LogStore. A record's id is its position."""

    @deadlined
    async def add_logs(self, records: Sequence[LogRecord]) -> list[LogRecord]:
        """See LogStore."""
        if not records:
            return []
        logs = self._light("logs")
        while True:
            taken = await self._shared.logs.take(len(records))
            if not taken.is_fresh():
                raise StoreUnavailable(
                    "this process stood still for too long; nothing was written."
                )
            kept = [
                msgspec.structs.replace(record, seq=seq)
                for seq, record in enumerate(records, taken.first)
            ]
            await logs.insert_many([_document(record) for record in kept], ordered=False)
            if await self._shared.logs.settle(taken):
                return kept
            # Followers may have passed these positions already: they go, and come again behind.
            self.counters["positions_late"] += len(kept)
            await logs.delete_many({"_id": {"$gte": kept[0].seq, "$lte": kept[-1].seq}})

    @deadlined
    async def find_logs(self, query: LogQuery) -> list[LogRecord]:
        """See LogStore; at most 2,000."""
        safe = await self._shared.logs.safe()
        high = min(query.before - 1 if query.before else safe, safe)
        forward = query.after > 0
        order = ASCENDING if forward else DESCENDING
        driver, checks = _conditions(query)
        low, high = await self._span(driver, bool(checks), query.after + 1, high, forward)
        logs = self._light("logs")
        found = logs.find({**driver, **checks, "_id": {"$gte": low, "$lte": high}})
        records = [
            _record(each)
            async for each in found.sort("_id", order).limit(min(query.limit, LOGS_MAX))
        ]
        return records if forward else records[::-1]

    @deadlined
    async def log_position(self) -> int:
        """See LogStore. Does not go back when records are removed."""
        return await self._shared.logs.safe()

    async def trim_logs(self, before: datetime, *, keep_bytes: int, limit: int = 20_000) -> int:
        """See LogStore. Sizes are estimated from the newest and the oldest records."""
        low, all_until, old_until = await self._bounds(micros(before), keep_bytes, limit)
        removed = 0
        for start in range(low, max(all_until, old_until) + 1, TRIM_CHUNK):
            end = start + TRIM_CHUNK - 1
            removed += await self._clear(start, min(end, all_until), min(end, old_until), before)
        return removed

    async def _span(
        self, driver: Doc, has_checks: bool, low: int, high: int, forward: bool
    ) -> tuple[int, int]:
        """The part of low..high that one query looks at."""
        if not has_checks:
            return low, high
        if not driver:
            # Positions are given without large gaps.
            look = limits.LOOK
            return (
                (low, min(high, low + look - 1)) if forward else (max(low, high - look + 1), high)
            )
        found = (
            self._light("logs")
            .find({**driver, "_id": {"$gte": low, "$lte": high}}, {"_id": 1})
            .sort("_id", ASCENDING if forward else DESCENDING)
            .skip(limits.LOOK - 1)
            .limit(1)
        )
        async for each in found:
            return (low, each["_id"]) if forward else (each["_id"], high)
        return low, high

    @deadlined
    async def _bounds(self, before: int, keep_bytes: int, limit: int) -> tuple[int, int, int]:
        """First position, last one that goes whatever its age, last one that goes if it is old."""
        oldest = await self._ends(ASCENDING)
        if not oldest:
            return 1, 0, 0
        newest = await self._ends(DESCENDING)
        sizes = [_size(each) for each in (*oldest, *newest)]
        kept = int(keep_bytes / (sum(sizes) / len(sizes) + RECORD_OVERHEAD))
        low, high = int(oldest[0]["_id"]), int(newest[0]["_id"])
        looked = self._light("logs").find({}, {"at": 1}).sort("_id", ASCENDING).limit(limit)
        old = [each["_id"] async for each in looked if each["at"] < before]
        return low, min(high - kept, low + limit - 1), max(old, default=0)

    async def _ends(self, order: int) -> list[Doc]:
        found = self._light("logs").find({}).sort("_id", order).limit(TRIM_SAMPLE)
        docs: list[Doc] = await found.to_list(None)
        return docs

    @deadlined
    async def _clear(self, start: int, all_until: int, old_until: int, before: datetime) -> int:
        logs = self._light("logs")
        removed = 0
        if all_until >= start:
            result = await logs.delete_many({"_id": {"$gte": start, "$lte": all_until}})
            removed += result.deleted_count
        if old_until >= start:
            result = await logs.delete_many(
                {"_id": {"$gte": start, "$lte": old_until}, "at": {"$lt": micros(before)}}
            )
            removed += result.deleted_count
        return removed


def _conditions(query: LogQuery) -> tuple[Doc, Doc]:
    """What an index of its own answers, and what is checked on each record."""
    checks: Doc = {
        field: value
        for field, value in (
            ("job", query.job),
            ("host", query.host),
            ("source", query.source),
            ("function", query.function),
        )
        if value
    }
    if query.text:
        checks["text"] = {"$regex": re.escape(query.text), "$options": "i"}
    driver: Doc = {}
    for field in ("job", "host"):
        if field in checks:
            driver = {field: checks.pop(field)}
            break
    if query.level:
        checks["level"] = {"$gte": query.level}
        if not driver and query.level >= LOUD:
            driver = {"loud": True}
            if query.level == LOUD:
                del checks["level"]
    return driver, checks


def _document(record: LogRecord) -> Doc:
    document: dict[str, Any] = {
        "_id": record.seq,
        "v": VERSION,
        "at": micros(record.at),
        "host": record.host,
        "source": record.source,
        "level": record.level,
        "text": record.text,
    }
    if record.job:
        document["job"] = record.job
    if record.function:
        document["function"] = record.function
    if record.level >= LOUD:
        document["loud"] = True
    return document


def _record(doc: Doc) -> LogRecord:
    return LogRecord(
        instant(doc["at"]),
        doc["host"],
        doc["source"],
        doc["level"],
        doc["text"],
        doc.get("job", ""),
        doc.get("function", ""),
        doc["_id"],
    )


def _size(doc: Doc) -> int:
    """Bytes of a record's texts, those that an index repeats counted twice."""
    return (
        len(doc["text"])
        + 2 * len(doc["host"])
        + len(doc["source"])
        + 2 * len(doc.get("job", ""))
        + len(doc.get("function", ""))
    )
