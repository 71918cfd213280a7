"""Stores log records and hands them to those who follow them live."""

import logging
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final

from dts_core.brokers.base import EVENTS, LOGS, Broker, Message
from dts_core.brokers.consumer import Consumer
from dts_core.clock import Clock
from dts_core.codec import encode
from dts_core.errors import DtsError
from dts_core.model import Change, Changes, LogBatch, LogRecord
from dts_core.services.stream import LOG_STREAM
from dts_core.settings import LogtracerSettings
from dts_core.stores.base import Store
from dts_core.text import clean, clean_lines

NAME_MAX: Final = 253
SOURCE_MAX: Final = 1_024
TEXT_MAX: Final = 64 << 10
STORE_MAX: Final = 2_000
"""Records of one write."""
STREAM_RECORDS: Final = 500
STREAM_CHARACTERS: Final = 200_000
"""Bounds of one message of the live stream, well under what a message may hold."""
LEVELS: Final = (10, 20, 30, 40, 50)
WARNING: Final = 30
FUTURE: Final = timedelta(minutes=10)
"""A record from further ahead than that has a wrong clock behind it: the time of its arrival counts."""
OLDEST: Final = datetime(1990, 1, 1, tzinfo=UTC)
log = logging.getLogger(__name__)


class Logtracer(Consumer[LogBatch]):
    """Consumer of `logs`. A batch is acked only after its records are stored; storing one twice is harmless."""

    name = "logtracer"
    queue = LOGS
    message_class = LogBatch

    def __init__(
        self, broker: Broker, store: Store, settings: LogtracerSettings, clock: Clock
    ) -> None:
        super().__init__(broker, prefetch=settings.prefetch, batch=settings.batch)
        self._store = store
        self._clock = clock

    async def operate_batch(self, messages: Sequence[LogBatch]) -> None:
        """Clean, store, and hand on.

        Raises:
            StoreError: The records are not stored (all, or the last of them): the messages come again.
        """
        now = self._clock.now()
        records = [record for batch in messages for record in clean_batch(batch, now)]
        for start in range(0, len(records), STORE_MAX):
            stored = await self._store.add_logs(records[start : start + STORE_MAX])
            await self._tell(stored)

    async def _tell(self, records: Sequence[LogRecord]) -> None:
        try:
            for chunk in stream_chunks(records):
                batch = LogBatch(host="", worker="logtracer", records=chunk)
                await self.broker.fanout(LOG_STREAM, Message(encode(batch), type="LogBatch"))
            position = max((record.seq for record in records), default=0)
            changes = Changes([Change("logs", str(position), position=position)])
            await self.broker.fanout(EVENTS, Message(encode(changes), type="Changes"))
        except DtsError as error:
            log.debug(
                "live streams were not told: %s", error
            )  # they look at the store by themselves


def clean_batch(batch: LogBatch, now: datetime) -> Iterator[LogRecord]:
    """The batch's records, safe to store and show; what was dropped on the way becomes a record of its own."""
    host = _name(batch.host)
    for record in batch.records:
        yield clean_record(record, host, now)
    if batch.dropped > 0:
        yield LogRecord(
            at=now,
            host=host,
            source=_name(batch.worker) or "worker",
            level=WARNING,
            text=f"… {batch.dropped} log records were dropped before this one: too many at once",
        )


def clean_record(record: LogRecord, host: str, now: datetime) -> LogRecord:
    """One record, every field within bounds. A batch that names its `host` speaks for that one alone."""
    return LogRecord(
        _instant(record.at, now),
        host or _name(record.host),
        _source(record.source),
        _level(record.level),
        _text(record.text),
        _name(record.job),
        _name(record.function),
        0,
    )


def stream_chunks(records: Iterable[LogRecord]) -> Iterator[list[LogRecord]]:
    """Split for the live stream, by number and by size."""
    chunk: list[LogRecord] = []
    characters = 0
    for record in records:
        if chunk and (
            len(chunk) >= STREAM_RECORDS or characters + len(record.text) > STREAM_CHARACTERS
        ):
            yield chunk
            chunk, characters = [], 0
        chunk.append(record)
        characters += len(record.text) + len(record.source)
    if chunk:
        yield chunk


def _text(text: str) -> str:
    if "\n" in text:
        return clean_lines(text.rstrip("\r\n"), TEXT_MAX)
    return clean(text)


@lru_cache(maxsize=20_000)
def _name(text: str) -> str:
    return clean(text, NAME_MAX)


@lru_cache(maxsize=20_000)
def _source(text: str) -> str:
    return clean(text, SOURCE_MAX)


def _level(level: int) -> int:
    """The highest of LEVELS that is not above `level`, and at least debug."""
    for known in reversed(LEVELS):
        if level >= known:
            return known
    return LEVELS[0]


def _instant(at: datetime, now: datetime) -> datetime:
    if at.tzinfo is None:
        at = at.replace(tzinfo=UTC)
    return at if OLDEST <= at <= now + FUTURE else now
