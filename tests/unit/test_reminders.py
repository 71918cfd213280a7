"""What the scheduler says again: orders to stop, and invitations that are nowhere."""

from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest

from dts_core import codec
from dts_core.brokers.base import CONTROL, Broker, Outgoing
from dts_core.daemons import reminders, scheduler
from dts_core.daemons.scheduler import Scheduler
from dts_core.errors import BrokerUnavailable
from dts_core.model import Cancel, Job, Operation, QueuePause, QueueStats
from dts_core.settings import RetentionSettings, SchedulerSettings
from dts_core.states import JobEvent, JobState
from dts_core.stores.base import Store
from dts_core.stores.outbox import OutboxIntake
from dts_core.testing import START, ManualClock
from tests.contract.store_backends import open_file
from tests.support.brokers import RecordingBroker
from tests.support.jobs import job_in, move

LOST = reminders.LOST_SECONDS


class CountingBroker(RecordingBroker):
    """Knows what stands in its queues."""

    def __init__(self) -> None:
        super().__init__()
        self.ready: dict[str, int] = {}
        self.unacked: dict[str, int] = {}
        self.tries = 0

    async def stats(self) -> list[QueueStats]:
        return [
            QueueStats(
                name=name,
                ready=self.ready.get(name, 0),
                unacked=self.unacked.get(name, 0),
                consumers=1,
            )
            for name in sorted(self.declared)
        ]

    async def publish(self, items: Sequence[Outgoing]) -> None:
        self.tries += 1
        await super().publish(items)

    def invited(self) -> list[str]:
        sent, self.published = self.published, []
        return [each.message.message_id for each in sent]


class Desk:
    """A scheduler over a store beside a broker."""

    def __init__(self, store: Store, clock: ManualClock) -> None:
        self.store = store
        self.clock = clock
        self.broker = CountingBroker()
        broker = cast(Broker, self.broker)
        self.scheduler = Scheduler(
            broker, store, OutboxIntake(cast(Any, store), broker, clock), SchedulerSettings(),
            RetentionSettings(), clock,
        )  # fmt: skip

    async def add(self, state: JobState, count: int = 1, **fields: Any) -> list[Job]:
        jobs = [job_in(state, **fields) for _ in range(count)]
        await self.store.insert_jobs(jobs)
        return jobs


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    clock = ManualClock()
    _, store = open_file(tmp_path, clock)
    yield Desk(store, clock)
    await store.close()


async def test_orders_to_stop_are_repeated_until_they_are_obeyed(desk: Desk) -> None:
    """A worker that missed the first one would run the job to its end, which may never come."""
    job, _ = await desk.add(JobState.RUNNING, 2)
    await desk.store.apply([move(job, JobEvent.CANCEL, by="ann")])
    for _ in range(2):
        desk.broker.fanouts.clear()
        await desk.scheduler.do_chores()
        told = [codec.decode(m.body, Cancel) for _, m in desk.broker.fanouts if m.type == "Cancel"]
        assert told == [Cancel(job=job.id, by="ann")]
        assert {name for name, _ in desk.broker.fanouts} == {CONTROL}
        desk.clock.advance(3)


async def test_a_message_that_was_lost_with_its_queue_goes_out_again(desk: Desk) -> None:
    """Once it is old enough, and its queue is empty; after that there is something in it."""
    [job] = await desk.add(JobState.QUEUED)
    [other] = await desk.add(JobState.QUEUED, queue="host.n1")
    desk.broker.ready = {"jobs.host.n1": 1}
    desk.clock.advance(LOST)
    await desk.scheduler.publish_lost()
    assert desk.broker.invited() == []
    desk.clock.advance(0.001)
    await desk.scheduler.publish_lost()
    assert desk.broker.invited() == [job.id]
    assert await desk.store.pending_jobs(desk.clock.now()) == []
    desk.broker.ready = {"jobs.default": 1}
    await desk.scheduler.publish_lost()
    assert desk.broker.invited() == [other.id]


async def test_a_job_whose_worker_is_slow_to_claim_it_is_not_invited_to_without_end(
    desk: Desk,
) -> None:
    """A message may wait in a worker's hands: more and more rarely another one goes out."""
    [job] = await desk.add(JobState.QUEUED)
    desk.clock.advance(LOST + 0.001)
    invited = []
    for _ in range(30):
        await desk.scheduler.publish_lost()
        invited.append(len(desk.broker.invited()))
        desk.clock.advance(LOST)
    assert [at for at, count in enumerate(invited) if count] == [0, 1, 3, 7, 15]
    found = await desk.store.get_job(job.id)
    assert found is not None
    assert found.state is JobState.QUEUED


async def test_what_runs_hides_nothing(desk: Desk) -> None:
    """A queue whose messages are all in hand looks the same with a lost one."""
    [job] = await desk.add(JobState.QUEUED)
    desk.broker.unacked = {"jobs.default": 3}
    desk.clock.advance(LOST + 0.001)
    await desk.scheduler.publish_lost()
    assert desk.broker.invited() == [job.id]


async def test_a_paused_queue_has_its_messages_with_the_workers_perhaps(desk: Desk) -> None:
    """Nothing of it is sent again before it goes on."""
    await desk.add(JobState.QUEUED)
    pause = QueuePause(id="default", by="ann", at=START)
    operation = Operation(
        id="o1", collection="queues", doc_id="default", op_type="create", operator="ann",
        timestamp=START,
    )  # fmt: skip
    document = msgspec.msgpack.encode(pause)
    await desk.store.write_document("queues", "default", document, operation, expected_revision=0)
    desk.clock.advance(2 * LOST)
    await desk.scheduler.publish_lost()
    assert desk.broker.invited() == []


async def test_whatever_is_queued_is_looked_at_in_turn(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A long queue of others hides none."""
    monkeypatch.setattr(reminders, "PAGE", 10)
    await desk.add(JobState.QUEUED, 120)
    [lost] = await desk.add(JobState.QUEUED, queue="host.n1")
    desk.broker.ready = {"jobs.default": 120}
    desk.clock.advance(2 * LOST)
    for _ in range(3):
        await desk.scheduler.publish_lost()
    assert desk.broker.invited() == [lost.id]


async def test_everything_that_is_left_behind_goes_out_at_once(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the broker is back; while it is not, nothing goes round in circles."""
    monkeypatch.setattr(scheduler, "BATCH", 10)
    jobs = await desk.add(JobState.PENDING, 55)
    desk.clock.advance(6)
    desk.broker.failure = BrokerUnavailable("away")
    await desk.scheduler.publish_pending()
    await desk.scheduler.publish_pending()
    assert desk.broker.tries <= 7
    desk.broker.failure = None
    desk.clock.advance(6)
    await desk.scheduler.publish_pending()
    assert sorted(desk.broker.invited()) == sorted(job.id for job in jobs)
    assert await desk.store.pending_jobs(desk.clock.now()) == []
