"""Log records from the broker into the store and to those who follow."""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from dts_core import codec
from dts_core.brokers.base import EVENTS, LOGS, Message, Outgoing
from dts_core.daemons.logtracer import (
    STREAM_CHARACTERS,
    STREAM_RECORDS,
    Logtracer,
    clean_batch,
    clean_record,
    stream_chunks,
)
from dts_core.errors import StoreUnavailable
from dts_core.model import Changes, LogBatch, LogQuery, LogRecord
from dts_core.services.stream import LOG_STREAM
from dts_core.settings import LogtracerSettings
from dts_core.testing import START, ManualClock, wait_until
from dts_core.text import is_safe
from tests.support.beats import Ears, open_ears


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def ears(tmp_path: Path, clock: ManualClock) -> AsyncIterator[Ears]:
    async with open_ears(tmp_path, clock) as opened:
        yield opened


def record(text: str = "x", **fields: object) -> LogRecord:
    given = {"at": START, "host": "alpha", "source": "/var/log/a", "level": 30, "text": text}
    return LogRecord(**(given | fields))  # type: ignore[arg-type]


def batch(*records: LogRecord, dropped: int = 0) -> LogBatch:
    return LogBatch(host="alpha", worker="alpha-1", records=list(records), dropped=dropped)


async def test_records_are_stored_told_and_streamed(ears: Ears, clock: ManualClock) -> None:
    """One batch through the broker: stored in order with positions, streamed with them, and announced."""
    streamed: list[LogRecord] = []
    positions: list[int] = []
    await ears.broker.subscribe(
        LOG_STREAM, lambda message: streamed.extend(codec.decode(message.body, LogBatch).records)
    )
    await ears.broker.subscribe(
        EVENTS,
        lambda message: positions.extend(
            change.position for change in codec.decode(message.body, Changes).items
        ),
    )
    tracer = Logtracer(ears.broker, ears.store, LogtracerSettings(), clock)
    task = asyncio.create_task(tracer.run())
    sent = batch(record("one"), record("two", job="j", function="sample/noop"), dropped=7)
    await ears.broker.publish([Outgoing(LOGS, Message(codec.encode(sent)))])
    await wait_until(lambda: len(streamed) == 3)
    stored = await ears.store.find_logs(LogQuery())
    assert stored == streamed
    assert [r.text for r in stored][:2] == ["one", "two"]
    assert "7 log records were dropped" in stored[2].text
    assert [r.seq for r in stored] == sorted({r.seq for r in stored})
    await wait_until(lambda: positions == [stored[-1].seq])

    def is_acked() -> bool:
        return tracer.counters["done"] == 1

    await wait_until(is_acked)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_outage_of_the_store_loses_no_batch(
    ears: Ears, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch is acked only after it is stored: it is tried again until the store is back."""
    real = ears.store.add_logs
    failures = 2

    async def fail_first(records: list[LogRecord]) -> list[LogRecord]:
        nonlocal failures
        if failures:
            failures -= 1
            raise StoreUnavailable("away")
        return await real(records)

    monkeypatch.setattr(ears.store, "add_logs", fail_first)
    tracer = Logtracer(ears.broker, ears.store, LogtracerSettings(), clock)
    task = asyncio.create_task(tracer.run())
    await ears.broker.publish([Outgoing(LOGS, Message(codec.encode(batch(record()))))])
    await wait_until(lambda: tracer.counters["done"] == 1)
    assert [r.text for r in await ears.store.find_logs(LogQuery())] == ["x"]
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        (record("\x1b[31m\x9b\u202e\x00"), record("\\x1b[31m\\x9b\\u202e\\x00")),
        (record("a\r\n  b\x07\n"), record("a\n  b\\x07")),
        (record(level=-5), record(level=10)),
        (record(level=35), record(level=30)),
        (record(level=1 << 60), record(level=50)),
        (record(host=""), record(host="alpha")),
        (record(host="another"), record(host="alpha")),
        (record(at=START + timedelta(days=400)), record()),
        (record(at=datetime(1, 1, 1)), record()),  # noqa: DTZ001
        (record(at=START.replace(tzinfo=None)), record()),
        (record(at=START - timedelta(days=3)), record(at=START - timedelta(days=3))),
        (record(seq=99), record()),
    ],
)
def test_records_are_made_harmless(sent: LogRecord, kept: LogRecord) -> None:
    """Controls become visible, levels known ones, instants possible ones; a position is ours to give."""
    assert clean_record(sent, "alpha", START) == kept


def test_megabyte_of_text_is_cut() -> None:
    """A record is bounded whatever was sent, in one line or in many."""
    one = clean_record(record("x" * (1 << 20)), "alpha", START)
    many = clean_record(record("x\n" * (1 << 20)), "alpha", START)
    assert len(one.text) < 5_000
    assert len(many.text) < 70_000
    assert is_safe(one.text)
    assert is_safe(many.text.replace("\n", ""))


def test_dropped_records_leave_a_mark() -> None:
    """What a sender dropped is a visible record of its worker; nothing dropped, no mark."""
    (mark,) = clean_batch(batch(dropped=3), START)
    assert (mark.host, mark.source, mark.level) == ("alpha", "alpha-1", 30)
    assert list(clean_batch(batch(dropped=-3), START)) == []


def test_stream_messages_are_bounded() -> None:
    """The live stream is cut by number and by size, and loses nothing."""
    small = [record(str(number)) for number in range(STREAM_RECORDS * 2 + 1)]
    large = [record("x" * 60_000) for _ in range(20)]
    chunks = list(stream_chunks(small + large))
    assert [r for chunk in chunks for r in chunk] == small + large
    assert all(len(chunk) <= STREAM_RECORDS for chunk in chunks)
    assert all(sum(len(r.text) for r in chunk) <= STREAM_CHARACTERS for chunk in chunks)
