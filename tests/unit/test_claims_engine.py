"""Claims, porter and scheduler on the whole embedded engine: one file, its broker, its store."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from dts_core import codec
from dts_core.brokers.base import RESULTS, Delivery, Message, Outgoing, QueueSpec
from dts_core.brokers.embedded import EmbeddedBroker, Link, Taking
from dts_core.daemons.porter import Porter
from dts_core.daemons.scheduler import Scheduler
from dts_core.model import Job, JobResult, JobResults
from dts_core.schema import MIGRATIONS, SCHEMA
from dts_core.services.claims import Claims
from dts_core.services.messages import job_message
from dts_core.settings import PorterSettings, RetentionSettings, SchedulerSettings
from dts_core.sqlite import Database, prepare
from dts_core.states import JobEvent, JobState
from dts_core.stores.embedded import EmbeddedIntake, EmbeddedStore
from dts_core.testing import START, ManualClock, wait_until
from tests.support.jobs import LEASE, make_job, move
from tests.support.porters import counted


class Road:
    """The engine with its porter running; the scheduler ticks when it is told to."""

    def __init__(self, path: Path) -> None:
        prepare(path, SCHEMA, MIGRATIONS)
        self.clock = ManualClock()
        self.database = Database(path, asyncio.get_running_loop())
        self.store = EmbeddedStore(self.database, self.clock)
        self.broker = EmbeddedBroker(self.database, clock=self.clock)
        self.intake = EmbeddedIntake(self.database, self.store, self.broker)
        self.porter = Porter(self.broker, self.store, self.intake, PorterSettings(), self.clock)
        self.scheduler = Scheduler(
            self.broker,
            self.store,
            self.intake,
            SchedulerSettings(),
            RetentionSettings(),
            self.clock,
        )

    async def start(self) -> None:
        await self.broker.start()
        await self.broker.declare(QueueSpec("jobs.default", claimed=True))
        await self.broker.declare(QueueSpec(RESULTS))
        self.broker.claims = Claims(self.store, self.clock)
        self.running = asyncio.create_task(self.porter.run())

    async def stop(self) -> None:
        self.running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self.running
        await self.broker.close()
        await self.store.close()

    async def submit(self, count: int = 1) -> list[Job]:
        jobs = [make_job(state=JobState.PENDING) for _ in range(count)]
        await self.intake.accept(jobs, [job_message(job, at=START) for job in jobs])
        return jobs

    async def states(self, jobs: list[Job]) -> list[JobState]:
        return [job.state for job in await self.store.get_jobs([job.id for job in jobs])]

    async def worker(self, name: str, prefetch: int = 10) -> "Worker":
        worker = Worker(self.broker.attach(host=name, worker=name))
        await worker.begin(prefetch)
        return worker


class Worker:
    """Takes jobs on a link of its own and reports when it is told to."""

    def __init__(self, link: Link) -> None:
        self.link = link
        self.held: list[Delivery] = []
        self.taking: Taking

    async def begin(self, prefetch: int) -> None:
        self.taking = await self.link.consume("jobs.default", self.held.extend, prefetch=prefetch)

    async def report(self, event: JobEvent, deliveries: list[Delivery]) -> None:
        results = [JobResult(d.message.message_id, d.epoch, event, b"1") for d in deliveries]
        body = codec.encode(JobResults(self.link.host, self.link.worker, results))
        await self.link.publish([Outgoing(RESULTS, Message(body, type="JobResults"))])

    async def finish(self, deliveries: list[Delivery]) -> None:
        await self.report(JobEvent.FINISH, deliveries)
        self.taking.ack([delivery.tag for delivery in deliveries])


@pytest.fixture
async def road(tmp_path: Path) -> AsyncIterator[Road]:
    opened = Road(tmp_path / "dts.db")
    await opened.start()
    yield opened
    await opened.stop()


async def test_submitted_jobs_run_once_and_are_done(road: Road) -> None:
    """From acceptance to the result: each job is handed out once, claimed, recorded; the queue is empty then."""
    jobs = await road.submit(300)
    one, two = await road.worker("w1", 50), await road.worker("w2", 50)
    seen: list[tuple[str, int, int]] = []
    while len(seen) < 300:
        await wait_until(lambda: bool(one.held or two.held))
        for worker in (one, two):
            taken, worker.held[:] = list(worker.held), []
            seen += [(each.message.message_id, each.epoch, each.attempt) for each in taken]
            await worker.finish(taken)
    assert sorted(seen) == sorted((job.id, 1, 1) for job in jobs)

    async def all_done() -> bool:
        return (await road.store.count_jobs()).states["done"] == 300

    await wait_until(all_done)
    stats = {queue.name: (queue.ready, queue.unacked) for queue in await road.broker.stats()}
    assert stats["jobs.default"] == (0, 0)
    await counted(road.porter, 300, 0)


async def test_jobs_of_a_lost_worker_run_again_and_its_late_results_are_refused(road: Road) -> None:
    """The link is gone: each job is charged a loss and goes to another worker at once; one result counts."""
    jobs = await road.submit(5)
    one = await road.worker("w1")
    await wait_until(lambda: len(one.held) == 5)
    late = list(one.held)
    one.link.lose("gone")
    two = await road.worker("w2")
    await wait_until(lambda: len(two.held) == 5)
    assert {(each.epoch, each.redelivered) for each in two.held} == {(2, True)}
    await two.report(JobEvent.FINISH, late)
    await two.finish(list(two.held))
    await counted(road.porter, 5, 5)
    kept = await road.store.get_jobs([job.id for job in jobs])
    assert {(job.state, job.epoch, job.losses, job.worker) for job in kept} == {
        (JobState.DONE, 2, 1, "w2")
    }


async def test_a_frozen_worker_s_job_runs_elsewhere_and_the_old_message_disturbs_nobody(
    road: Road,
) -> None:
    """Lapsed, published again, claimed by another; when the first link dies its message takes nothing over."""
    [job] = await road.submit()
    frozen = await road.worker("w1", 1)
    await wait_until(lambda: len(frozen.held) == 1)
    road.clock.advance(11)
    await road.scheduler.tick()
    second = await road.worker("w2", 1)
    await wait_until(lambda: len(second.held) == 1)
    assert second.held[0].epoch == 2
    third = await road.worker("w3", 1)
    frozen.link.lose("gone")
    # The old message is back at the front: when a newer one arrives, it has been looked at.
    [fresh] = await road.submit()
    await wait_until(lambda: bool(third.held))
    assert [each.message.message_id for each in third.held] == [fresh.id]
    kept = await road.store.get_job(job.id)
    assert kept is not None
    assert (kept.state, kept.epoch, kept.worker, kept.losses) == (JobState.RUNNING, 2, "w2", 1)
    await second.finish(list(second.held))

    async def is_done() -> bool:
        return await road.states([job]) == [JobState.DONE]

    await wait_until(is_done)


async def test_a_cancelled_or_expired_job_is_never_handed_out(road: Road) -> None:
    """Its message is dropped silently when a worker would take it."""
    cancelled, expired, good = await road.submit(3)
    await road.store.apply([move(cancelled, JobEvent.CANCEL), move(expired, JobEvent.EXPIRE)])
    worker = await road.worker("w1")
    await wait_until(lambda: bool(worker.held))
    assert [each.message.message_id for each in worker.held] == [good.id]
    await worker.finish(list(worker.held))

    async def is_empty() -> bool:
        stats = {queue.name: queue for queue in await road.broker.stats()}
        return stats["jobs.default"].ready + stats["jobs.default"].unacked == 0

    await wait_until(is_empty)
    assert await road.states([cancelled, expired]) == [JobState.CANCELLED, JobState.EXPIRED]


async def test_a_failed_attempt_comes_back_after_its_backoff(road: Road) -> None:
    """Retrying is stored, not remembered by anybody: the scheduler publishes it when it is due."""
    job = make_job(state=JobState.PENDING, retries=1, backoff_seconds=10)
    await road.intake.accept([job], [job_message(job, at=START)])
    worker = await road.worker("w1")
    await wait_until(lambda: len(worker.held) == 1)
    [first] = worker.held
    await worker.report(JobEvent.FAIL, [first])
    worker.taking.ack([first.tag])

    async def waits() -> bool:
        return await road.states([job]) == [JobState.RETRYING]

    await wait_until(waits)
    road.clock.advance(13)
    await road.scheduler.tick()
    await wait_until(lambda: len(worker.held) == 2)
    assert (worker.held[1].epoch, worker.held[1].attempt) == (2, 2)


async def test_after_a_restart_everything_accepted_is_still_to_run(
    road: Road, tmp_path: Path
) -> None:
    """Queued jobs are handed out by the next owner; a claimed one when its lease has lapsed."""
    jobs = await road.submit(3)
    worker = await road.worker("w1", 1)
    await wait_until(lambda: len(worker.held) == 1)
    # The power fails for the owner: what it held in memory is gone, the file is as it is.
    copy = tmp_path / "copy"
    copy.mkdir()
    await road.database.write(lambda connection: None, durable=True)
    for name in ("dts.db", "dts.db-wal"):
        (copy / name).write_bytes((tmp_path / name).read_bytes())
    again = Road(copy / "dts.db")
    await again.start()
    try:
        other = await again.worker("w2")
        await wait_until(lambda: len(other.held) == 2)
        assert {each.message.message_id for each in other.held} == {job.id for job in jobs[1:]}
        beat = again.clock.advance(11)
        held = [(each.message.message_id, each.epoch) for each in other.held]
        await again.store.renew(held, beat + LEASE)
        await again.scheduler.tick()
        await wait_until(lambda: len(other.held) == 3)
        assert (other.held[2].message.message_id, other.held[2].epoch) == (jobs[0].id, 2)
    finally:
        await again.stop()


async def test_the_next_due_instant_wakes_the_scheduler_in_time(road: Road) -> None:
    """A pause lasts until the next due instant, at most a tick."""
    assert await road.scheduler.tick() is None
    job = make_job(state=JobState.SCHEDULED, due_at=START + timedelta(seconds=0.2))
    await road.store.insert_jobs([job])
    assert await road.scheduler.tick() == START + timedelta(seconds=0.2)
