"""The worker's pieces by themselves: counts, log outbox, credit, names."""

import asyncio
import platform
import time
from datetime import UTC, datetime
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dts_core import codec
from dts_core.errors import BrokerUnavailable, ConfigError
from dts_core.model import LogBatch, LogRecord
from dts_core.names import is_host
from dts_core.testing import ManualClock, wait_until
from dts_worker import events, identity, outbox
from dts_worker.consumer import Consumer, Credit, Pace
from dts_worker.events import EventCounts, WorkerEvent
from dts_worker.outbox import LogOutbox
from dts_worker.ports import LogSink


def record(text: str) -> LogRecord:
    return LogRecord(datetime(2026, 1, 1, tzinfo=UTC), "h", "job", 20, text)


class Broker:
    """Takes batches; `away` makes it refuse."""

    def __init__(self) -> None:
        self.batches: list[LogBatch] = []
        self.away = False

    async def publish(self, batch: LogBatch) -> None:
        if self.away:
            raise BrokerUnavailable("away.")
        codec.encode(batch)
        self.batches.append(batch)

    @property
    def texts(self) -> list[str]:
        return [each.text for batch in self.batches for each in batch.records]


def test_events_are_records_of_three_and_add_up() -> None:
    """(timestamp, event, function) records wait in a bounded queue and are counted per event and function."""
    counts = EventCounts()
    counts.record(WorkerEvent.RECV, "a/b")
    counts.record(WorkerEvent.RECV, "a/b")
    counts.record(WorkerEvent.DONE, "a/b")
    stamp, event, function = counts.recent()[0]
    assert (stamp > 1.7e9, event, function) == (True, 1, "a/b")
    assert counts.counts() == [(1, "a/b", 2), (3, "a/b", 1)]
    counts.record(WorkerEvent.FAIL, "a/b")
    assert counts.counts() == [(1, "a/b", 2), (2, "a/b", 1), (3, "a/b", 1)]


def test_events_stay_bounded() -> None:
    """Neither the queue nor the table of functions grows without end, and nothing goes uncounted."""
    counts = EventCounts()
    for n in range(3 * events.RECORDS_MAX):
        counts.record(WorkerEvent.RECV, f"a/f{n % 9000}")
        assert len(counts.recent()) < events.RECORDS_MAX
    found = counts.counts()
    assert len(found) <= 3 * events.FUNCTIONS_MAX + 3
    assert sum(count for _, _, count in found) == 3 * events.RECORDS_MAX


async def test_the_outbox_sends_in_order_and_in_batches() -> None:
    """Records leave soon, in order, at most so many in a message."""
    broker = Broker()
    box = LogOutbox(broker.publish, host="h", worker="w")
    assert isinstance(box, LogSink)
    task = asyncio.ensure_future(box.run())
    for n in range(450):
        box.add(record(str(n)))
    await wait_until(lambda: len(broker.texts) == 450)
    assert broker.texts == [str(n) for n in range(450)]
    assert max(len(batch.records) for batch in broker.batches) <= outbox.BATCH_MAX
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_the_outbox_keeps_the_newest_while_the_broker_is_away() -> None:
    """While nothing can be sent the oldest records go, counted; the count arrives with the next batch."""
    broker = Broker()
    broker.away = True
    box = LogOutbox(broker.publish, host="h", worker="w")
    for n in range(outbox.RECORDS_MAX + 10):
        box.add(record(str(n)))
    await box.flush()
    assert len(box) == outbox.RECORDS_MAX
    box.note_dropped(5)
    broker.away = False
    await box.flush()
    assert broker.texts == [str(n) for n in range(10, outbox.RECORDS_MAX + 10)]
    assert sum(batch.dropped for batch in broker.batches) == 15
    count = len(broker.batches)
    await box.flush()
    assert len(broker.batches) == count


async def test_a_batch_of_long_records_still_fits_a_message() -> None:
    """Whatever their characters are, records are cut into messages that the codec takes."""
    broker = Broker()
    box = LogOutbox(broker.publish, host="h", worker="w")
    for n in range(300):
        box.add(record(chr(0x10000 + n) * 16_000))
    await box.flush()
    assert len(broker.texts) == 300
    assert sum(batch.dropped for batch in broker.batches) == 0


@given(
    st.integers(1, 64),
    st.integers(1, 500),
    st.lists(st.tuples(st.integers(0, 600), st.integers(0, 600), st.floats(0, 100)), max_size=30),
)
def test_credit_stays_within_its_bounds(
    slots: int, ceiling: int, looks: list[tuple[int, int, float]]
) -> None:
    """Whatever is held, the credit is at least 1 and at most the ceiling."""
    credit = Credit(slots, ceiling)
    for held, waiting, seconds in looks:
        credit.adjust(held=held, sync_waiting=waiting, sync_seconds=seconds)
        assert 1 <= credit.amount <= ceiling


def test_credit_grows_with_use_and_falls_when_jobs_queue_up() -> None:
    """Full use without a queue doubles it; a queue of slow synchronous jobs brings it down to twice the slots."""
    credit = Credit(2, 204)
    for _ in range(10):
        credit.adjust(held=credit.amount, sync_waiting=0, sync_seconds=1.0)
    assert credit.amount == 204
    assert not credit.adjust(held=100, sync_waiting=2, sync_seconds=1.0)
    assert credit.adjust(held=204, sync_waiting=3, sync_seconds=1.0)
    assert credit.amount == 4
    assert credit.allowed_waiting(0.001) == 204
    assert credit.allowed_waiting(10.0) == 2


def test_a_host_has_a_name_that_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Given names are checked, the machine's own is made to fit, and every start of a worker has its own."""
    assert identity.host_name("rack-1.example") == "rack-1.example"
    with pytest.raises(ConfigError, match=r"worker\.host"):
        identity.host_name("a b")
    for own in ("Ünï cödé", "", "---", "x" * 400):
        monkeypatch.setattr(platform, "node", lambda own=own: own)
        assert is_host(identity.host_name())
    assert identity.worker_name("h") != identity.worker_name("h")


class _Grants:
    """A consumption that remembers what it was granted."""

    def __init__(self) -> None:
        self.grants: list[int] = []

    def grant(self, credit: int) -> None:
        self.grants.append(credit)


def test_paused_queues_are_not_taken_from() -> None:
    """Told as the whole list each time: what is not in it goes on; a drained worker takes from none."""
    slots = Credit(2, 8)
    consumer = Consumer(cast(Any, None), ["a", "b"], cast(Any, None), slots)
    a, b = _Grants(), _Grants()
    consumer._consumptions = cast(Any, {"jobs.a": a, "jobs.b": b})
    consumer.pause_queues(["a", "elsewhere"])
    consumer.pause_queues(["a"])
    assert (a.grants, b.grants) == ([0], [])
    consumer.pause_queues(["b"])
    assert (a.grants, b.grants) == ([0, 4], [0])
    consumer.pause()
    consumer.pause_queues([])
    assert (a.grants[-1], b.grants[-1]) == (0, 0)
    consumer.resume()
    assert (a.grants[-1], b.grants[-1]) == (4, 4)


def test_credit_passes_its_ceiling_for_jobs_that_are_over_at_once() -> None:
    """As many more as may wait, up to the most; it stays there until they wait after all."""
    credit = Credit(2, 204, 1_000)
    for _ in range(10):
        credit.adjust(held=credit.amount, sync_waiting=0, sync_seconds=1.0)
    assert credit.amount == 204
    for ahead in (50, 50, 500, 5_000, 0):
        credit.adjust(held=credit.amount, sync_waiting=0, sync_seconds=1.0, async_ahead=ahead)
    assert credit.amount == 1_000
    credit.fall_back()
    assert credit.amount == 204
    credit.adjust(held=204, sync_waiting=0, sync_seconds=1.0, async_ahead=50)
    assert credit.amount == 254
    assert credit.adjust(held=254, sync_waiting=3, sync_seconds=1.0, async_ahead=50)
    assert credit.amount == 4


def test_the_pace_is_what_ended_within_a_horizon() -> None:
    """Counted over whole horizons; a long rest counts as a slow pace."""
    clock = ManualClock()
    pace = Pace(clock.monotonic)
    assert pace.look(100) == 0
    clock.advance(0.25)
    assert pace.look(100) == 100
    clock.advance(0.1)
    assert pace.look(900) == 100
    clock.advance(0.4)
    assert pace.look(1_100) == 500
    clock.advance(100)
    assert pace.look(1_100) == 0


class _Waits:
    """An executor of which asynchronous jobs wait."""

    sync_active = 0
    sync_seconds = 1.0

    def __init__(self) -> None:
        self.held = 0
        self.held_bytes = 0
        self.async_ended = 0
        self.async_waiting = 0
        self.gone_back: list[int] = []

    def __len__(self) -> int:
        return self.held

    def give_back_waiting(self, keep: int, *, is_async: bool = False) -> int:
        assert is_async
        self.gone_back.append(keep)
        return max(self.async_waiting - keep, 0)


async def test_asynchronous_jobs_that_would_wait_for_long_go_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Held ahead because others were over at once: the pace tells, and no more are held than its slots can use."""
    monkeypatch.setattr("dts_worker.consumer.PATIENCE_SECONDS", 0.01)
    credit, executor, taken = Credit(2, 204, 1_000), _Waits(), _Grants()
    credit.amount = 1_000
    consumer = Consumer(cast(Any, None), ["a"], cast(Any, executor), credit)
    consumer._consumptions = cast(Any, {"jobs.a": taken})
    executor.held, executor.async_waiting = 1_000, 800
    consumer._lose_patience(0, time.monotonic() - 60)  # this process stood still itself
    assert (executor.gone_back, taken.grants) == ([], [])
    await wait_until(lambda: bool(taken.grants))
    assert (executor.gone_back, taken.grants) == ([0], [204])


def test_large_arguments_are_not_held_ahead() -> None:
    """However fast the jobs are over."""
    credit, executor, taken = Credit(2, 204, 1_000), _Waits(), _Grants()
    credit.amount = executor.held = 204
    consumer = Consumer(cast(Any, None), ["a"], cast(Any, executor), credit)
    consumer._consumptions = cast(Any, {"jobs.a": taken})
    consumer._pace.ahead = 5_000
    executor.held_bytes = 64 << 20
    consumer.adjust()
    assert taken.grants == []
