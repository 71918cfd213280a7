"""The scheduler: what time alone does to jobs, over the real store."""

import asyncio
import base64
import contextlib
import os
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import pytest

from dts_core import codec
from dts_core.brokers.base import Broker
from dts_core.daemons.scheduler import Scheduler
from dts_core.errors import StoreUnavailable
from dts_core.model import HostSample, Job, JobMessage, LogQuery, LogRecord
from dts_core.services.leases import Leases
from dts_core.services.messages import job_message
from dts_core.settings import RetentionSettings, SchedulerSettings
from dts_core.states import FINAL, LOSSES_MAX, JobEvent, JobState
from dts_core.testing import START, ManualClock, wait_until
from tests.contract.store_backends import Engine, embedded
from tests.support.brokers import RecordingBroker
from tests.support.jobs import job_in, make_job, move


class Desk:
    """A scheduler over a store, with a broker that remembers and a clock of our own."""

    def __init__(self, engine: Engine, clock: ManualClock) -> None:
        self.engine = engine
        self.store = engine.store
        self.clock = clock
        self.broker = RecordingBroker()
        self.scheduler = Scheduler(
            cast(Broker, self.broker),
            engine.store,
            engine.intake,
            SchedulerSettings(tick_seconds=0.02),
            RetentionSettings(),
            clock,
        )

    async def add(self, state: JobState, **fields: Any) -> Job:
        job = job_in(state, **fields)
        await self.store.insert_jobs([job])
        return job

    async def state(self, job: Job) -> JobState:
        kept = await self.store.get_job(job.id)
        assert kept is not None
        return kept.state


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    clock = ManualClock()
    async with embedded(tmp_path, clock) as engine:
        yield Desk(engine, clock)


@pytest.mark.parametrize("state", [JobState.SCHEDULED, JobState.RETRYING])
async def test_a_job_is_published_when_its_time_has_come(desk: Desk, state: JobState) -> None:
    """Not before due_at, and once; record and message together, and announced."""
    job = await desk.add(state, due_at=START + timedelta(seconds=60))
    desk.clock.advance(59.999)
    assert await desk.scheduler.tick() == START + timedelta(seconds=60)
    assert await desk.engine.queued() == []
    desk.clock.advance(0.001)
    assert await desk.scheduler.tick() is None
    await desk.scheduler.tick()
    assert await desk.engine.queued() == [job.id]
    assert await desk.state(job) is JobState.QUEUED
    assert [(change.id, change.state) for change in desk.broker.changes] == [(job.id, "queued")]


async def test_a_lapsed_job_is_charged_and_published_again(desk: Desk) -> None:
    """Strictly after the end of its lease."""
    job = await desk.add(JobState.RUNNING)
    desk.clock.advance(10)
    await desk.scheduler.tick()
    assert await desk.state(job) is JobState.RUNNING
    desk.clock.advance(0.001)
    await desk.scheduler.tick()
    kept = await desk.store.get_job(job.id)
    assert kept is not None
    assert (kept.state, kept.losses, kept.attempt) == (JobState.QUEUED, 1, 0)
    assert await desk.engine.queued() == [job.id]


async def test_a_job_lost_too_often_is_buried_and_not_published(desk: Desk) -> None:
    """The last loss ends it."""
    job = await desk.add(JobState.RUNNING, losses=LOSSES_MAX - 1)
    desk.clock.advance(11)
    await desk.scheduler.tick()
    kept = await desk.store.get_job(job.id)
    assert kept is not None
    assert kept.error is not None
    assert (kept.state, kept.losses, kept.error.type) == (JobState.DEAD, LOSSES_MAX, "WorkerLost")
    assert await desk.engine.queued() == []
    assert [change.state for change in desk.broker.changes] == ["queued", "dead"]


async def test_a_cancelled_run_that_lapsed_is_cancelled(desk: Desk) -> None:
    """Its worker will not confirm any more; it is not published."""
    job = await desk.add(JobState.CANCELLING)
    desk.clock.advance(11)
    await desk.scheduler.tick()
    assert await desk.state(job) is JobState.CANCELLED
    assert await desk.engine.queued() == []


async def test_a_job_that_did_not_start_in_time_expires(desk: Desk) -> None:
    """Queued or waiting alike; what runs is left alone."""
    end = START + timedelta(seconds=5)
    queued = await desk.add(JobState.QUEUED, expires_at=end)
    waiting = await desk.add(JobState.SCHEDULED, expires_at=end)
    running = await desk.add(JobState.RUNNING, expires_at=end)
    desk.clock.advance(5)
    await desk.scheduler.tick()
    assert [await desk.state(job) for job in (queued, waiting, running)] == [
        JobState.EXPIRED,
        JobState.EXPIRED,
        JobState.RUNNING,
    ]


async def test_a_cut_off_publication_is_made_up_for(desk: Desk) -> None:
    """A job that stays pending is published again after some seconds, not at once."""
    job = await desk.add(JobState.PENDING)
    desk.clock.advance(5)
    await desk.scheduler.publish_pending()
    assert await desk.engine.queued() == []
    desk.clock.advance(0.001)
    await desk.scheduler.publish_pending()
    assert await desk.state(job) is JobState.QUEUED
    assert await desk.engine.queued() == [job.id]


async def test_the_queue_of_a_due_job_is_declared_before_it_is_published(desk: Desk) -> None:
    """After a restart nobody may have named one host's own queue yet: its job must not hold up the others."""
    await desk.add(JobState.SCHEDULED, due_at=START, queue="host.n9")
    await desk.add(JobState.SCHEDULED, due_at=START)
    await desk.scheduler.tick()
    assert desk.broker.declared == {"jobs.host.n9", "jobs.default"}
    assert len(await desk.engine.queued()) == 2


async def test_more_than_one_batch_is_due_at_once(desk: Desk) -> None:
    """Everything due is moved in one tick, however much it is."""
    jobs = [job_in(JobState.SCHEDULED, due_at=START) for _ in range(1_100)]
    await desk.store.insert_jobs(jobs)
    await desk.scheduler.tick()
    assert (await desk.store.count_jobs()).states["queued"] == 1_100
    assert sorted(await desk.engine.queued()) == sorted(job.id for job in jobs)
    assert desk.scheduler.moved == 1_100


async def test_a_job_moved_meanwhile_is_left_alone(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The look is old when the write comes: a result in between wins over the lapse."""
    job = await desk.add(JobState.RUNNING)
    desk.clock.advance(11)
    look = desk.store.lapsed_jobs

    async def look_then_finish(now: Any, *, limit: int) -> list[Job]:
        found = await look(now, limit=limit)
        await desk.store.apply([move(job, JobEvent.FINISH, epoch=1, result=b"1")])
        return found

    monkeypatch.setattr(desk.store, "lapsed_jobs", look_then_finish)
    await desk.scheduler.tick()
    assert await desk.state(job) is JobState.DONE
    assert await desk.engine.queued() == []


async def test_retention_forgets_jobs_and_logs(desk: Desk) -> None:
    """Finished 30 days ago and logged 7 days ago go; the rest stays."""
    old = [
        make_job(state=state, finished_at=START if state in FINAL else None) for state in JobState
    ]
    await desk.store.insert_jobs(old)
    await desk.store.add_logs([LogRecord(START, "h", "s", 20, "old")])
    now = desk.clock.advance(31 * 86_400)
    await desk.store.add_logs([LogRecord(now, "h", "s", 20, "new")])
    await desk.scheduler.retain()
    kept = {job.state for job in await desk.store.get_jobs([job.id for job in old])}
    assert kept == set(JobState) - FINAL
    assert [record.text for record in await desk.store.find_logs(LogQuery())] == ["new"]


async def test_what_is_kept_for_minutes_is_looked_at_within_them(desk: Desk) -> None:
    """An hour later there would be sixty times as much as was asked for."""
    desk.scheduler = Scheduler(
        cast(Broker, desk.broker), desk.store, desk.engine.intake, SchedulerSettings(),
        RetentionSettings(jobs_days=240 / 86_400), desk.clock,
    )  # fmt: skip
    await desk.scheduler.do_chores()
    old = make_job(state=JobState.DONE, finished_at=START)
    await desk.store.insert_jobs([old])
    desk.clock.advance(239)
    await desk.scheduler.do_chores()
    assert await desk.store.get_job(old.id) is not None
    desk.clock.advance(60)
    await desk.scheduler.do_chores()
    assert await desk.store.get_job(old.id) is None


async def test_chores_are_done_at_once_and_then_every_so_often(desk: Desk) -> None:
    """Minutes are rolled up by the minute, not by the tick."""
    points = [
        ("h1", HostSample(START + timedelta(seconds=at), 0.5, 0.5, 0.5, 0)) for at in (0, 60, 120)
    ]
    await desk.store.save_hosts([], points)

    async def minutes() -> int:
        return len(await desk.store.samples("h1", START, by_minute=True))

    desk.clock.advance(60)
    await desk.scheduler.do_chores()
    assert await minutes() == 1
    desk.clock.advance(59)
    await desk.scheduler.do_chores()
    assert await minutes() == 1
    desk.clock.advance(1)
    await desk.scheduler.do_chores()
    assert await minutes() == 2


async def test_it_goes_on_after_an_outage(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that is away for a while delays what is due and loses nothing."""
    job = await desk.add(JobState.SCHEDULED, due_at=START)
    look, tries = desk.store.next_due, 0

    async def away() -> Any:
        nonlocal tries
        tries += 1
        if tries < 4:
            raise StoreUnavailable("away.")
        return await look()

    monkeypatch.setattr(desk.store, "next_due", away)
    running = asyncio.create_task(desk.scheduler.run())

    async def queued() -> bool:
        return await desk.state(job) is JobState.QUEUED

    await wait_until(queued)
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running
    assert tries >= 4


async def test_what_cannot_be_moved_is_not_tried_without_pause(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A job that stays due is looked at once a tick, not in a busy loop."""
    await desk.add(JobState.SCHEDULED, due_at=START)
    desk.clock.advance(1)
    tries = 0

    async def stuck(*args: object, **kwargs: object) -> list[Job]:
        nonlocal tries
        tries += 1
        raise StoreUnavailable("away.")

    monkeypatch.setattr(desk.store, "due_jobs", stuck)
    started = time.monotonic()
    running = asyncio.create_task(desk.scheduler.run())
    await wait_until(lambda: tries >= 5)
    elapsed = time.monotonic() - started
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running
    assert elapsed >= 4 * 0.02


async def test_a_message_carries_what_a_worker_needs(desk: Desk) -> None:
    """Queue, priority and id for the broker; the call, the next attempt and the limits for the worker."""
    job = make_job(
        args=b"[1]", kwargs=b'{"a":2}', queue="host.n1", priority=4, attempt=2, timeout_seconds=3.0
    )
    outgoing = job_message(job, at=START)
    assert outgoing.queue == "jobs.host.n1"
    message = outgoing.message
    assert (message.type, message.message_id, message.priority) == ("JobMessage", job.id, 4)
    assert message.timestamp == START.timestamp()
    body = codec.decode(message.body, JobMessage)
    assert (body.id, body.args, body.kwargs, body.attempt) == (job.id, b"[1]", b'{"a":2}', 3)
    assert (body.timeout_seconds, body.submitter) == (3.0, "ann")


async def test_a_pause_of_the_owner_charges_nobody(desk: Desk) -> None:
    """After standing still, a lease is reaped only when a whole length has passed without a heartbeat."""
    leases = Leases(desk.clock, timedelta(seconds=10))
    scheduler = Scheduler(
        cast(Broker, desk.broker),
        desk.engine.store,
        desk.engine.intake,
        SchedulerSettings(),
        RetentionSettings(),
        desk.clock,
        leases=leases,
    )
    job = await desk.add(JobState.RUNNING)
    desk.clock.advance(25)
    for _ in range(10):
        await scheduler.tick()
        assert await desk.state(job) is JobState.RUNNING
        desk.clock.advance(1)
    await scheduler.tick()
    assert await desk.state(job) is JobState.QUEUED


@pytest.mark.parametrize("state", [JobState.SCHEDULED, JobState.RETRYING, JobState.RUNNING])
async def test_what_no_message_can_carry_is_dead_with_the_reason(
    desk: Desk, state: JobState
) -> None:
    """It is not due for ever; its neighbours are published."""
    noise = base64.b64encode(os.urandom(2 << 20))
    due = {} if state is JobState.RUNNING else {"due_at": START}
    large = await desk.add(state, args=b'["' + noise + b'"]', **due)
    small = await desk.add(state, **due)
    desk.clock.advance(11)
    await desk.scheduler.tick()
    kept = await desk.store.get_job(large.id)
    assert kept is not None
    assert kept.error is not None
    assert (kept.state, kept.error.type) == (JobState.DEAD, "Undeliverable")
    assert "exceeds the limit" in kept.error.message
    assert await desk.state(small) is JobState.QUEUED
    assert await desk.engine.queued() == [small.id]
    assert await desk.scheduler.tick() is None
