"""Intake: a record and its message are kept together or not at all."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path

import pytest

from dts_core.clock import Clock
from dts_core.errors import Conflict
from dts_core.model import Job
from dts_core.states import JobEvent, JobState
from dts_core.stores.jobstore import IdempotencyKey
from dts_core.testing import ManualClock, wait_until
from tests.contract.store_backends import INTAKES, Engine, Opener, opener
from tests.support.jobs import invitation, job_in, make_job, move


@pytest.fixture(params=INTAKES)
def open_engine(request: pytest.FixtureRequest, empty_database: Callable[[], str]) -> Opener:
    """Intakes with a commit of their own, and those of a store beside a broker."""
    return opener(request.param, empty_database)


KEY = IdempotencyKey("ann", "k-1", b"digest")


async def test_an_accepted_job_stands_queued_with_its_message(engine: Engine) -> None:
    """Record and message are one: published is proved by the commit, so the job is queued at once."""
    job = make_job(state=JobState.PENDING)
    assert await engine.intake.accept([job], [invitation(job)]) == [job.id]
    kept = await engine.store.get_job(job.id)
    assert kept is not None
    assert (kept.state, kept.queued_at) == (JobState.QUEUED, job.created_at)
    assert await engine.queued() == [job.id]
    assert (await engine.store.count_jobs()).states["queued"] == 1


async def test_a_scheduled_job_has_no_message_yet(engine: Engine) -> None:
    """Jobs without a message keep the state they were given."""
    job, now = job_in(JobState.SCHEDULED), make_job(state=JobState.PENDING)
    await engine.intake.accept([job, now], [invitation(now)])
    states = [kept.state for kept in await engine.store.get_jobs([job.id, now.id])]
    assert states == [JobState.SCHEDULED, JobState.QUEUED]
    assert await engine.queued() == [now.id]


async def test_the_same_request_again_gives_the_same_jobs(engine: Engine) -> None:
    """An idempotency key stands for one submission: again writes nothing."""
    first, second = make_job(), make_job()
    ids = await engine.intake.accept([first], [invitation(first)], key=KEY)
    again = await engine.intake.accept([second], [invitation(second)], key=KEY)
    assert ids == again == [first.id]
    assert await engine.store.get_job(second.id) is None
    assert await engine.queued() == await engine.handed() == [first.id]


async def test_a_key_of_another_request_is_refused(engine: Engine) -> None:
    """A key with another digest is a conflict and writes nothing; another user's key is another key."""
    first, second = make_job(), make_job()
    await engine.intake.accept([first], [invitation(first)], key=KEY)
    other = IdempotencyKey("ann", "k-1", b"other")
    with pytest.raises(Conflict):
        await engine.intake.accept([second], [invitation(second)], key=other)
    assert await engine.store.get_job(second.id) is None
    bob = IdempotencyKey("bob", "k-1", b"other")
    assert await engine.intake.accept([second], [invitation(second)], key=bob) == [second.id]


async def test_the_same_key_at_the_same_moment_is_accepted_once(engine: Engine) -> None:
    """Of many equal requests at once one is accepted; all get its ids."""
    jobs = [make_job() for _ in range(20)]
    answers = await asyncio.gather(
        *(engine.intake.accept([job], [invitation(job)], key=KEY) for job in jobs)
    )
    assert len({ids[0] for ids in answers}) == 1
    assert await engine.queued() == answers[0]


async def test_a_key_is_remembered_over_a_restart(
    open_engine: Opener, tmp_path: Path, clock: Clock
) -> None:
    """A client that tries again after a crash of the server still gets the first jobs."""
    job = make_job()
    async with open_engine(tmp_path, clock) as engine:
        await engine.intake.accept([job], [invitation(job)], key=KEY)
    async with open_engine(tmp_path, clock) as engine:
        assert await engine.intake.accept([make_job()], [], key=KEY) == [job.id]
        assert await engine.queued() == [job.id]


async def test_an_invitation_is_published_where_its_transition_leads_to_queued(
    engine: Engine,
) -> None:
    """A refused transition, or one that ends the job, publishes nothing."""
    due, gone = job_in(JobState.RETRYING), job_in(JobState.DONE)
    lost = job_in(JobState.CANCELLING)
    await engine.store.insert_jobs([due, gone, lost])
    outcomes = await engine.intake.invite(
        [move(due, JobEvent.DUE), move(gone, JobEvent.DUE), move(lost, JobEvent.LOSE, epoch=1)],
        [invitation(due), invitation(gone), invitation(lost)],
    )
    assert [outcome.applied for outcome in outcomes] == [True, False, True]
    assert await engine.queued() == [due.id]
    assert await engine.intake.invite([], []) == []


async def test_a_caller_that_left_does_not_take_the_message_along(engine: Engine) -> None:
    """A request that is cut off after its write was handed in is still whole: job and message."""
    job = make_job()
    task = asyncio.ensure_future(engine.intake.accept([job], [invitation(job)]))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    async def arrived() -> bool:
        return await engine.queued() == [job.id]

    await wait_until(arrived)
    assert await engine.store.get_job(job.id) is not None
    assert await engine.handed() == [job.id]


@pytest.fixture(params=INTAKES[1:])
async def beside(
    request: pytest.FixtureRequest,
    empty_database: Callable[[], str],
    tmp_path: Path,
    clock: ManualClock,
) -> AsyncIterator[Engine]:
    """Engines whose broker has a commit of its own, which may fail apart from the store's."""
    async with opener(request.param, empty_database)(tmp_path, clock) as engine:
        yield engine


async def states(engine: Engine, *jobs: Job) -> list[str]:
    return [job.state.value for job in await engine.store.get_jobs([job.id for job in jobs])]


async def publish_again(engine: Engine, clock: ManualClock) -> list[str]:
    """What the scheduler does every few seconds; the ids that it found."""
    left = await engine.store.pending_jobs(clock.now() + timedelta(seconds=1))
    await engine.intake.invite(
        [move(job, JobEvent.PUBLISH, at=clock.now()) for job in left],
        [invitation(job) for job in left],
    )
    return [job.id for job in left]


@pytest.mark.parametrize("fails", ["before", "after"])
async def test_a_job_is_accepted_without_the_broker_and_published_later(
    beside: Engine, clock: ManualClock, fails: str
) -> None:
    """The call returns; the job waits, pending, until the broker takes its message: what may be lost goes again."""
    broker, job = beside.broker, make_job(state=JobState.PENDING)
    broker.fail(fails)
    assert await beside.intake.accept([job], [invitation(job)], key=KEY) == [job.id]
    assert await states(beside, job) == ["pending"]
    assert await publish_again(beside, clock) == [job.id]
    assert await states(beside, job) == ["queued"]
    broker.heal()
    assert await publish_again(beside, clock) == [job.id]
    assert (await beside.queued())[-1] == job.id
    assert await publish_again(beside, clock) == []
    assert await beside.intake.accept([make_job()], [], key=KEY) == [job.id]


@pytest.mark.parametrize("fails", ["before", "after"])
@pytest.mark.parametrize("event", [JobEvent.DUE, JobEvent.LOSE])
async def test_an_invitation_that_was_not_published_is_owed(
    beside: Engine, clock: ManualClock, event: JobEvent, fails: str
) -> None:
    """The transition stands, and the message follows when the broker is back; then nothing is owed."""
    broker = beside.broker
    job = job_in(JobState.RETRYING if event is JobEvent.DUE else JobState.RUNNING)
    await beside.store.insert_jobs([job])
    broker.fail(fails)
    [outcome] = await beside.intake.invite(
        [move(job, event, epoch=job.epoch, at=clock.now())], [invitation(job)]
    )
    assert (outcome.applied, outcome.state) == (True, JobState.QUEUED)
    assert await beside.store.pending_jobs(clock.now()) == []
    broker.heal()
    assert await publish_again(beside, clock) == [job.id]
    assert (await beside.queued())[-1] == job.id
    assert await publish_again(beside, clock) == []


async def test_what_is_claimed_owes_no_message(beside: Engine, clock: ManualClock) -> None:
    """Its message was there after all: publishing it again would only be answered with `finished`."""
    job = job_in(JobState.RETRYING)
    await beside.store.insert_jobs([job])
    beside.broker.fail("after")
    await beside.intake.invite([move(job, JobEvent.DUE, at=clock.now())], [invitation(job)])
    await beside.store.apply([move(job, JobEvent.CLAIM, at=clock.now())])
    beside.broker.heal()
    assert await publish_again(beside, clock) == []
    assert await states(beside, job) == ["running"]


async def test_a_claim_may_be_quicker_than_the_record_of_the_publication(
    beside: Engine, clock: ManualClock
) -> None:
    """A worker that has the message already may start; the intake's own record then changes nothing."""
    job = make_job(state=JobState.PENDING)

    async def claim_at_once() -> None:
        await beside.store.apply([move(job, JobEvent.PUBLISH), move(job, JobEvent.CLAIM)])

    beside.broker.on_publish = claim_at_once
    await beside.intake.accept([job], [invitation(job)])
    assert await states(beside, job) == ["running"]


async def test_a_batch_of_confirmed_messages_moves_what_is_pending_and_nothing_else(
    beside: Engine, clock: ManualClock
) -> None:
    """Some of it may be running, or cancelled, by then: the others stand queued, each is counted where it stands."""
    jobs = [make_job(state=JobState.PENDING) for _ in range(20)]
    quick, gone = jobs[3], jobs[7]

    async def meanwhile() -> None:
        await beside.store.apply(
            [
                move(quick, JobEvent.PUBLISH),
                move(quick, JobEvent.CLAIM),
                move(gone, JobEvent.CANCEL),
            ]
        )

    beside.broker.on_publish = meanwhile
    await beside.intake.accept(jobs, [invitation(job) for job in jobs])
    expected = {quick.id: "running", gone.id: "cancelled"}
    assert await states(beside, *jobs) == [expected.get(job.id, "queued") for job in jobs]
    counts = (await beside.store.count_jobs()).states
    assert {state: number for state, number in counts.items() if number} == {
        "queued": 18,
        "running": 1,
        "cancelled": 1,
    }
    changed = [job.changed for job in await beside.store.get_jobs([job.id for job in jobs])]
    assert len(set(changed)) == len(jobs)
    assert max(changed) <= await beside.store.position()


async def test_a_confirm_settles_the_message_of_its_own_invitation_alone(
    beside: Engine, clock: ManualClock
) -> None:
    """Meanwhile the job was claimed and queued anew, by somebody whose message did not go out: that one is owed."""
    job = job_in(JobState.RETRYING)
    await beside.store.insert_jobs([job])

    async def run_and_give_back() -> None:
        [claimed] = await beside.store.apply([move(job, JobEvent.CLAIM, at=clock.now())])
        back = move(job, JobEvent.GIVE_BACK, epoch=claimed.epoch, at=clock.now())
        [outcome] = await beside.store.apply_owing([back])
        assert outcome.applied

    beside.broker.on_publish = run_and_give_back
    await beside.intake.invite([move(job, JobEvent.DUE, at=clock.now())], [invitation(job)])
    assert await states(beside, job) == ["queued"]
    beside.broker.on_publish = None
    assert await publish_again(beside, clock) == [job.id]
    assert await publish_again(beside, clock) == []


async def test_a_submission_that_was_never_published_is_answered_with_its_first_ids(
    beside: Engine, clock: ManualClock
) -> None:
    """The server died after it kept the jobs: whoever comes again hears of them, and the scheduler publishes them."""
    jobs = [make_job(state=JobState.PENDING) for _ in range(3)]
    await beside.store.accept_jobs(jobs[:3], KEY)
    again = [make_job(state=JobState.PENDING) for _ in range(3)]
    ids = await beside.intake.accept(again, [invitation(job) for job in again], key=KEY)
    assert ids == [job.id for job in jobs]
    assert [job.id for job in await beside.store.get_jobs(ids)] == ids
    assert await beside.store.get_jobs([job.id for job in again]) == []
    assert sorted(await publish_again(beside, clock)) == sorted(ids)
