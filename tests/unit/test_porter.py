"""The porter: from workers' reports to what is recorded, over the real store."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import pytest

from dts_core.brokers.base import RESULTS, Broker, Delivery, Message
from dts_core.codec import encode
from dts_core.daemons.ear import Recorder
from dts_core.daemons.porter import Porter
from dts_core.errors import BrokerUnavailable, StoreUnavailable
from dts_core.model import Job, JobError, JobResult, JobResults
from dts_core.services.results import backoff
from dts_core.settings import PorterSettings
from dts_core.states import JobEvent, JobState
from dts_core.testing import START, ManualClock
from dts_core.text import is_safe
from tests.contract.store_backends import Engine, embedded
from tests.support.brokers import RecordingBroker
from tests.support.jobs import job_in, make_job, move

ERROR = JobError(type="ValueError", message="no")


class Desk:
    """A porter over a store, with a broker that remembers."""

    def __init__(self, engine: Engine, clock: ManualClock) -> None:
        self.engine = engine
        self.clock = clock
        self.broker = RecordingBroker()
        self.porter = Porter(
            cast(Broker, self.broker), engine.store, engine.intake, PorterSettings(), clock
        )

    async def report(self, *results: JobResult) -> None:
        await self.porter.operate_batch([JobResults("h1", "w1", list(results))])

    async def running(self, **fields: Any) -> Job:
        job = job_in(JobState.RUNNING, **fields)
        await self.engine.store.insert_jobs([job])
        return job

    async def kept(self, job: Job) -> Job:
        found = await self.engine.store.get_job(job.id)
        assert found is not None
        return found


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    clock = ManualClock()
    async with embedded(tmp_path, clock) as engine:
        clock.advance(5)
        yield Desk(engine, clock)


def fail(job: Job, **fields: Any) -> JobResult:
    return JobResult(job.id, 1, JobEvent.FAIL, **({"error": ERROR} | fields))


class Listened:
    """Who asks a porter whether it keeps up."""

    waits: Callable[[], float]

    def hears(self, report: JobResults) -> bool:
        return False


async def test_what_a_porter_has_just_begun_still_waits(desk: Desk) -> None:
    """It counts from its arrival until it is recorded, at whatever moment somebody looks."""
    listened, clock = Listened(), desk.clock
    porter = Porter(
        cast(Broker, desk.broker), desk.engine.store, desk.engine.intake, PorterSettings(), clock,
        recorder=cast(Recorder, listened),
    )  # fmt: skip
    job = await desk.running()
    body = encode(JobResults("h1", "w1", [JobResult(job.id, 1, JobEvent.FINISH)]))
    porter._arrived([Delivery(1, RESULTS, Message(body))])
    clock.advance(1)
    porter._begin()
    assert listened.waits() == 1.0  # its task has not run yet
    clock.advance(1)
    assert listened.waits() == 2.0
    await asyncio.gather(*porter._running)
    assert listened.waits() == 0.0
    assert (await desk.kept(job)).state is JobState.DONE


async def test_a_result_is_recorded_and_announced(desk: Desk) -> None:
    """The stored job is done with its result; who waits hears of exactly that change."""
    job = await desk.running()
    await desk.report(JobResult(job.id, 1, JobEvent.FINISH, b'{"words": 3}'))
    kept = await desk.kept(job)
    assert (kept.state, kept.result) == (JobState.DONE, b'{"words": 3}')
    [change] = desk.broker.changes
    assert (change.topic, change.id, change.state, change.position, change.epoch) == (
        "jobs",
        job.id,
        "done",
        kept.changed,
        1,
    )
    assert (desk.porter.results_recorded, desk.porter.results_refused) == (1, 0)


async def test_a_result_of_none_is_null(desk: Desk) -> None:
    """A function that returns nothing has the JSON result null."""
    job = await desk.running()
    await desk.report(JobResult(job.id, 1, JobEvent.FINISH))
    assert (await desk.kept(job)).result == b"null"


async def test_a_run_is_measured_by_its_worker_and_placed_by_our_clock(desk: Desk) -> None:
    """A worker whose clock is a day off still gives the right length at the right time."""
    job = await desk.running()
    began = START - timedelta(days=1)
    ended = began + timedelta(seconds=3)
    await desk.report(JobResult(job.id, 1, JobEvent.FINISH, b"1", None, began, ended))
    kept = await desk.kept(job)
    assert kept.finished_at == desk.clock.now()
    assert kept.started_at == desk.clock.now() - timedelta(seconds=3)


async def test_stale_duplicate_and_forged_results_are_refused_and_counted(desk: Desk) -> None:
    """They change nothing; the good one of the same batch counts."""
    job = await desk.running(epoch=2)
    done = JobResult(job.id, 2, JobEvent.FINISH, b"1")
    await desk.report(
        JobResult(job.id, 1, JobEvent.FINISH, b"0"),
        done,
        done,
        JobResult("nobody", 1, JobEvent.FINISH, b"9"),
        JobResult(job.id, 2, JobEvent.BURY),
        JobResult(job.id, 2, JobEvent.CLAIM),
    )
    assert (await desk.kept(job)).result == b"1"
    assert (desk.porter.results_recorded, desk.porter.results_refused) == (1, 5)
    assert [change.state for change in desk.broker.changes] == ["done"]


@pytest.mark.parametrize(
    "event",
    sorted(
        set(JobEvent)
        - {JobEvent.FINISH, JobEvent.FAIL, JobEvent.CONFIRM_CANCEL, JobEvent.GIVE_BACK}
    ),
)
async def test_a_worker_says_only_what_workers_may_say(desk: Desk, event: JobEvent) -> None:
    """Cancelling, burying, retrying, claiming are not its to decide, even at the live epoch."""
    job = await desk.running(retries=5)
    before = await desk.kept(job)
    await desk.report(JobResult(job.id, 1, event))
    assert await desk.kept(job) == before
    assert desk.porter.results_refused == 1


async def test_a_failure_is_retried_while_retries_are_left(desk: Desk) -> None:
    """Attempt 1 of 1 + 1 retry waits for its backoff, attempt 2 is final."""
    job = await desk.running(retries=1, backoff_seconds=10)
    await desk.report(fail(job))
    kept = await desk.kept(job)
    assert (kept.state, kept.error) == (JobState.RETRYING, ERROR)
    assert kept.due_at is not None
    assert 8 <= (kept.due_at - desk.clock.now()).total_seconds() <= 12
    await desk.engine.store.apply([move(job, JobEvent.DUE), move(job, JobEvent.CLAIM)])
    await desk.report(JobResult(job.id, 2, JobEvent.FAIL, error=ERROR))
    kept = await desk.kept(job)
    assert (kept.state, kept.attempt) == (JobState.FAILED, 2)
    assert [attempt.epoch for attempt in await desk.engine.store.attempts(job.id)] == [1]


async def test_a_failure_that_cannot_be_retried_is_final(desk: Desk) -> None:
    """A worker knows when trying again is of no use, whatever retries are left."""
    job = await desk.running(retries=5)
    await desk.report(fail(job, retry=False))
    assert (await desk.kept(job)).state is JobState.FAILED


async def test_a_failure_while_cancelling_is_not_retried(desk: Desk) -> None:
    """A person asked it to stop: no other attempt."""
    job = job_in(JobState.CANCELLING, retries=5)
    await desk.engine.store.insert_jobs([job])
    await desk.report(fail(job))
    assert (await desk.kept(job)).state is JobState.FAILED


async def test_a_cancel_between_look_and_write_makes_the_failure_final(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The retry that was decided on an older look is refused; the report is not lost."""
    job = await desk.running(retries=5)
    store = desk.engine.store
    look = store.get_jobs

    async def look_then_cancel(ids: list[str]) -> list[Job]:
        found = await look(ids)
        await store.apply([move(job, JobEvent.CANCEL)])
        return found

    monkeypatch.setattr(store, "get_jobs", look_then_cancel)
    await desk.report(fail(job))
    kept = await desk.kept(job)
    assert (kept.state, kept.error) == (JobState.FAILED, ERROR)


async def test_a_confirmed_cancel_ends_the_job(desk: Desk) -> None:
    """Only the worker's word that it stopped makes it cancelled."""
    job = job_in(JobState.CANCELLING)
    await desk.engine.store.insert_jobs([job])
    await desk.report(JobResult(job.id, 1, JobEvent.CONFIRM_CANCEL))
    assert (await desk.kept(job)).state is JobState.CANCELLED


async def test_a_job_given_back_is_invited_to_again(desk: Desk) -> None:
    """Its message is acked with the report, so a new one is published with the write; a stale return publishes none."""
    job, stale = await desk.running(), await desk.running(epoch=2)
    await desk.report(
        JobResult(job.id, 1, JobEvent.GIVE_BACK), JobResult(stale.id, 1, JobEvent.GIVE_BACK)
    )
    kept = await desk.kept(job)
    assert (kept.state, kept.attempt) == (JobState.QUEUED, 0)
    assert await desk.engine.queued() == [job.id]
    assert (desk.porter.results_recorded, desk.porter.results_refused) == (1, 1)


@pytest.mark.parametrize(
    ("result", "kind"),
    [(b"{", "NotJson"), (b"", "NotJson"), (b"[" * 40 + b"]" * 40, "NotJson"), (b"\xff", "NotJson")],
)
async def test_a_result_that_is_no_json_fails_the_job(desk: Desk, result: bytes, kind: str) -> None:
    """It would break every list that shows it: kept as a failure with its reason, and not retried."""
    job = await desk.running(retries=3)
    await desk.report(JobResult(job.id, 1, JobEvent.FINISH, result))
    kept = await desk.kept(job)
    assert kept.error is not None
    assert (kept.state, kept.error.type, kept.result) == (JobState.FAILED, kind, None)


async def test_hostile_errors_are_stored_printable_and_bounded(desk: Desk) -> None:
    """What a terminal would obey never reaches the store."""
    job = await desk.running()
    hostile = "\x1b]52;c;YQ==\x07\x9b2J\u202e"
    error = JobError(type=hostile * 99, message=hostile + "\n" + hostile, traceback="x" * 1_000_000)
    await desk.report(fail(job, error=error))
    kept = await desk.kept(job)
    assert kept.error is not None
    lines = [kept.error.type, kept.reason, *kept.error.message.split("\n")]
    assert all(is_safe(line) for line in lines)
    assert len(kept.error.type) < 2000
    assert len(kept.error.traceback) < 100_000


async def test_a_store_that_is_away_is_told_to_the_consumer(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is acked that was not recorded: the error goes up, and the same batch again records it once."""
    job = await desk.running()
    result = JobResult(job.id, 1, JobEvent.FINISH, b"1")

    async def away(*args: object, **kwargs: object) -> None:
        raise StoreUnavailable("the disk is full.")

    with monkeypatch.context() as patch:
        patch.setattr(desk.engine.store, "apply", away)
        with pytest.raises(StoreUnavailable):
            await desk.report(result)
    await desk.report(result)
    await desk.report(result)
    assert (await desk.kept(job)).state is JobState.DONE
    assert (desk.porter.results_recorded, desk.porter.results_refused) == (1, 1)


async def test_what_cannot_be_announced_is_recorded_all_the_same(desk: Desk) -> None:
    """A fanout may lose; those who wait look at the store."""
    job = await desk.running()
    desk.broker.failure = BrokerUnavailable("gone.")
    await desk.report(JobResult(job.id, 1, JobEvent.FINISH, b"1"))
    assert (await desk.kept(job)).state is JobState.DONE


def test_a_backoff_doubles_is_capped_and_spread() -> None:
    """Base, doubled with each attempt, at most the cap, ±20 %; huge attempts do not overflow."""
    chance = random.Random(3)
    for attempt, nominal in ((1, 2.0), (2, 4.0), (5, 32.0), (12, 3600.0), (100_000, 3600.0)):
        job = make_job(attempt=attempt, backoff_seconds=2.0)
        waits = [backoff(job, most_seconds=3600, chance=chance).total_seconds() for _ in range(200)]
        assert nominal * 0.8 <= min(waits) < nominal * 0.85
        assert nominal * 1.15 < max(waits) <= nominal * 1.2
    zero = make_job(attempt=3, backoff_seconds=0.0)
    assert backoff(zero, most_seconds=3600, chance=chance) == timedelta(0)
