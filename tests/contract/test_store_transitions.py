"""Every transition of a job: what is allowed, what each one writes, and that the rest changes nothing."""

from collections import Counter
from datetime import timedelta

import pytest

from dts_core.model import JobError, Outcome, Progress
from dts_core.states import FENCED, FINAL, HELD, TRANSITIONS, JobEvent, JobState
from dts_core.stores.base import Store
from dts_core.testing import START, ManualClock
from tests.support.jobs import LEASE, brief, job_in, make_job, move

LATER = START + timedelta(seconds=5)
SOON = START + timedelta(seconds=90)


@pytest.mark.parametrize("event", JobEvent)
async def test_a_transition_is_applied_exactly_where_the_table_allows_it(
    store: Store, event: JobEvent
) -> None:
    """The store allows what TRANSITIONS lists and leaves the stored job untouched otherwise."""
    for state in JobState:
        await check_cell(store, event, state)


async def check_cell(store: Store, event: JobEvent, state: JobState) -> None:
    job = job_in(state)
    await store.insert_jobs([job])
    before = await store.get_job(job.id)
    counts = (await store.count_jobs()).states
    epoch = job.epoch if event in FENCED else 0
    [outcome] = await store.apply([move(job, event, epoch=epoch, at=LATER)])
    after = await store.get_job(job.id)
    assert before is not None
    assert after is not None
    expected = TRANSITIONS[event].get(state)
    if expected is None:
        assert brief(outcome) == (False, state.value, job.epoch)
        assert after == before
        assert (await store.count_jobs()).states == counts
        return
    claimed = event is JobEvent.CLAIM
    assert brief(outcome) == (True, expected.value, job.epoch + claimed)
    assert (after.state, after.epoch) == (expected, job.epoch + claimed)
    assert after.changed > before.changed
    assert outcome.position == after.changed
    assert (after.finished_at == LATER) is (expected in FINAL)
    assert (after.lease_until is not None) is (expected in HELD)
    assert (after.due_at is not None) is (expected in (JobState.SCHEDULED, JobState.RETRYING))
    moved = Counter(counts)
    moved[state.value] -= 1
    moved[expected.value] += 1
    assert (await store.count_jobs()).states == dict(moved)


@pytest.mark.parametrize("event", sorted(FENCED))
@pytest.mark.parametrize("epoch", [0, 2])
async def test_an_event_of_another_claim_changes_nothing(
    store: Store, event: JobEvent, epoch: int
) -> None:
    """A late or forged report, older or newer than the live claim, is refused."""
    job = job_in(JobState.RUNNING)
    await store.insert_jobs([job])
    before = await store.get_job(job.id)
    outcomes = await store.apply([move(job, event, epoch=epoch)])
    assert [brief(outcome) for outcome in outcomes] == [(False, "running", 1)]
    assert await store.get_job(job.id) == before


async def test_an_unknown_job_is_refused_without_a_state(store: Store) -> None:
    """There is nothing to report of a job that does not exist."""
    assert await store.apply([move("nobody", JobEvent.CANCEL)]) == [Outcome("nobody", False, None)]


async def test_a_claim_grants_epoch_attempt_owner_and_lease(store: Store) -> None:
    """The answer to a claim is what is stored."""
    job = make_job()
    await store.insert_jobs([job])
    [outcome] = await store.apply([move(job, JobEvent.CLAIM, at=LATER)])
    kept = await store.get_job(job.id)
    assert kept is not None
    assert (outcome.epoch, outcome.attempt, outcome.lease_until) == (1, 1, LATER + LEASE)
    assert (kept.epoch, kept.attempt, kept.lease_until) == (1, 1, LATER + LEASE)
    assert (kept.host, kept.worker, kept.started_at) == ("h1", "w1", LATER)


async def test_of_two_claims_in_one_batch_the_first_wins(store: Store) -> None:
    """Transitions of a batch see each other."""
    job = make_job()
    await store.insert_jobs([job])
    outcomes = await store.apply(
        [move(job, JobEvent.CLAIM), move(job, JobEvent.CLAIM, worker="w2")]
    )
    assert [brief(outcome) for outcome in outcomes] == [(True, "running", 1), (False, "running", 1)]
    kept = await store.get_job(job.id)
    assert kept is not None
    assert (kept.worker, kept.epoch, kept.attempt) == ("w1", 1, 1)


async def test_a_job_is_not_claimed_at_or_after_its_expiry(store: Store) -> None:
    """expires_at itself is too late; an instant before is not."""
    late = make_job(expires_at=LATER)
    early = make_job(expires_at=LATER + timedelta(microseconds=1))
    await store.insert_jobs([late, early])
    outcomes = await store.apply(
        [move(late, JobEvent.CLAIM, at=LATER), move(early, JobEvent.CLAIM, at=LATER)]
    )
    assert [brief(outcome) for outcome in outcomes] == [(False, "queued", 0), (True, "running", 1)]


@pytest.mark.parametrize(("host", "worker"), [("h1", "w2"), ("h2", "w1")])
async def test_a_claim_is_ended_by_its_holder_alone(store: Store, host: str, worker: str) -> None:
    """Whoever reports by name is the host and the worker that hold it; the epoch alone is not enough."""
    job = job_in(JobState.RUNNING)
    await store.insert_jobs([job])
    foreign = move(job, JobEvent.FINISH, epoch=1, result=b"1", host=host, worker=worker)
    own = move(job, JobEvent.FINISH, epoch=1, result=b"2", host="h1", worker="w1")
    outcomes = await store.apply([foreign, own])
    assert [outcome.applied for outcome in outcomes] == [False, True]
    kept = await store.get_job(job.id)
    assert kept is not None
    assert kept.result == b"2"


async def test_a_result_is_recorded_once(store: Store) -> None:
    """The first result stands; a duplicate and a contradiction change nothing."""
    job = job_in(JobState.RUNNING)
    await store.insert_jobs([job])
    first = move(job, JobEvent.FINISH, epoch=1, result=b'{"n":1}', at=LATER)
    outcomes = await store.apply(
        [
            first,
            first,
            move(job, JobEvent.FINISH, epoch=1, result=b"2"),
            move(job, JobEvent.FAIL, epoch=1, error=JobError(type="Late")),
        ]
    )
    assert [outcome.applied for outcome in outcomes] == [True, False, False, False]
    kept = await store.get_job(job.id)
    assert kept is not None
    assert (kept.state, kept.result, kept.result_size) == (JobState.DONE, b'{"n":1}', 7)
    assert kept.error is None
    assert kept.finished_at == LATER


async def test_a_finish_may_say_when_the_run_began(store: Store) -> None:
    """A worker's measure of the run replaces the instant of the claim."""
    job = job_in(JobState.RUNNING)
    await store.insert_jobs([job])
    began = START + timedelta(seconds=3)
    await store.apply([move(job, JobEvent.FINISH, epoch=1, at=LATER, started_at=began)])
    kept = await store.get_job(job.id)
    assert kept is not None
    assert (kept.started_at, kept.finished_at) == (began, LATER)


async def test_a_late_result_of_a_lost_claim_is_refused_while_the_next_one_runs(
    store: Store,
) -> None:
    """Two workers, one job: only the holder of the live epoch ends it."""
    job = make_job()
    await store.insert_jobs([job])
    await store.apply([move(job, JobEvent.CLAIM)])
    await store.apply([move(job, JobEvent.LOSE, epoch=1)])
    await store.apply([move(job, JobEvent.CLAIM, host="h2", worker="w2")])
    [late] = await store.apply([move(job, JobEvent.FINISH, epoch=1, result=b"1")])
    assert brief(late) == (False, "running", 2)
    [good] = await store.apply([move(job, JobEvent.FINISH, epoch=2, result=b"2")])
    assert brief(good) == (True, "done", 2)
    kept = await store.get_job(job.id)
    assert kept is not None
    assert (kept.result, kept.host) == (b"2", "h2")


async def test_a_retry_keeps_the_attempt_and_frees_the_job(store: Store) -> None:
    """A failed attempt stays on record with its error; the job waits for its due time with no owner."""
    job = make_job(retries=1)
    await store.insert_jobs([job])
    await store.apply([move(job, JobEvent.CLAIM)])
    error = JobError(type="ValueError", message="no such file\nsecond line", traceback="…")
    await store.apply([move(job, JobEvent.RETRY, epoch=1, due_at=SOON, error=error, at=LATER)])
    kept = await store.get_job(job.id)
    assert kept is not None
    assert (kept.state, kept.due_at, kept.attempt) == (JobState.RETRYING, SOON, 1)
    assert (kept.host, kept.worker, kept.lease_until) == ("", "", None)
    assert kept.reason == "ValueError: no such file"
    assert kept.error == error
    [attempt] = await store.attempts(job.id)
    assert (attempt.epoch, attempt.outcome, attempt.host, attempt.error) == (
        1,
        "retry",
        "h1",
        error,
    )
    assert (attempt.started_at, attempt.ended_at) == (START, LATER)
    await store.apply([move(job, JobEvent.DUE), move(job, JobEvent.CLAIM)])
    again = await store.get_job(job.id)
    assert again is not None
    assert (again.epoch, again.attempt, again.error, again.reason) == (2, 2, None, "")


async def test_a_loss_is_charged_and_the_attempt_is_not(store: Store) -> None:
    """Losing a worker counts against the losses, not against the retries."""
    job = job_in(JobState.RUNNING)
    await store.insert_jobs([job])
    [outcome] = await store.apply([move(job, JobEvent.LOSE, epoch=1, reason="link lost")])
    assert (outcome.state, outcome.losses, outcome.attempt) == (JobState.QUEUED, 1, 0)
    kept = await store.get_job(job.id)
    assert kept is not None
    assert (kept.host, kept.worker, kept.lease_until, kept.reason) == ("", "", None, "link lost")
    assert [attempt.outcome for attempt in await store.attempts(job.id)] == ["lose"]


async def test_a_job_given_back_is_charged_nothing(store: Store) -> None:
    """A graceful return leaves attempt and losses as they were before the claim."""
    job = make_job()
    await store.insert_jobs([job])
    await store.apply([move(job, JobEvent.CLAIM)])
    [outcome] = await store.apply([move(job, JobEvent.GIVE_BACK, epoch=1)])
    assert (outcome.state, outcome.epoch, outcome.attempt, outcome.losses) == (
        JobState.QUEUED,
        1,
        0,
        0,
    )
    assert [attempt.outcome for attempt in await store.attempts(job.id)] == ["give_back"]


@pytest.mark.parametrize("event", [JobEvent.LOSE, JobEvent.GIVE_BACK])
async def test_a_cancelled_run_that_comes_back_is_over(store: Store, event: JobEvent) -> None:
    """What is being cancelled never runs again, however its worker is gone."""
    job = job_in(JobState.CANCELLING, cancelled_by="ann")
    await store.insert_jobs([job])
    [outcome] = await store.apply([move(job, event, epoch=1, at=LATER)])
    assert outcome.state is JobState.CANCELLED
    kept = await store.get_job(job.id)
    assert kept is not None
    assert (kept.finished_at, kept.lease_until) == (LATER, None)


async def test_a_burial_that_names_a_claim_is_fenced_by_it(store: Store) -> None:
    """The burial of a lost claim must not hit the claim that followed it; one without a claim is for any."""
    job = make_job(epoch=2)
    await store.insert_jobs([job])
    error = JobError(type="WorkerLost", message="three times")
    outcomes = await store.apply(
        [
            move(job, JobEvent.BURY, epoch=1, error=error),
            move(job, JobEvent.BURY, epoch=2, error=error),
        ]
    )
    assert [outcome.applied for outcome in outcomes] == [False, True]
    kept = await store.get_job(job.id)
    assert kept is not None
    assert (kept.state, kept.error, kept.reason) == (
        JobState.DEAD,
        error,
        "WorkerLost: three times",
    )
    other = make_job(epoch=3)
    await store.insert_jobs([other])
    assert [o.applied for o in await store.apply([move(other, JobEvent.BURY)])] == [True]


async def test_a_cancel_records_who_and_keeps_the_lease_of_a_running_job(store: Store) -> None:
    """A running job is only asked to stop; a waiting one is over at once."""
    running, waiting = job_in(JobState.RUNNING), job_in(JobState.RETRYING)
    await store.insert_jobs([running, waiting])
    outcomes = await store.apply(
        [move(job, JobEvent.CANCEL, by="bob", reason="not needed") for job in (running, waiting)]
    )
    assert [outcome.state for outcome in outcomes] == [JobState.CANCELLING, JobState.CANCELLED]
    asked, over = await store.get_job(running.id), await store.get_job(waiting.id)
    assert asked is not None
    assert over is not None
    assert (asked.cancelled_by, asked.reason, asked.lease_until) == (
        "bob",
        "not needed",
        START + LEASE,
    )
    assert (over.cancelled_by, over.due_at) == ("bob", None)


async def test_a_lease_has_lapsed_only_strictly_after_its_end(store: Store) -> None:
    """At the very instant of its end a lease still counts."""
    job = job_in(JobState.RUNNING)
    await store.insert_jobs([job])
    end = START + LEASE
    assert await store.lapsed_jobs(end) == []
    assert [j.id for j in await store.lapsed_jobs(end + timedelta(microseconds=1))] == [job.id]


async def test_only_the_live_claim_renews_its_lease(store: Store) -> None:
    """Stale epochs, ended jobs and shorter leases are left alone."""
    mine, stale, over = job_in(JobState.RUNNING), job_in(JobState.CANCELLING), job_in(JobState.DONE)
    await store.insert_jobs([mine, stale, over])
    until = START + timedelta(seconds=30)
    await store.renew([(mine.id, 1), (stale.id, 2), (over.id, 0), ("nobody", 1)], until)
    leases = [job.lease_until for job in await store.get_jobs([mine.id, stale.id, over.id])]
    assert leases == [until, START + LEASE, None]
    await store.renew([(mine.id, 1)], START + timedelta(seconds=20))
    [kept] = await store.get_jobs([mine.id])
    assert kept.lease_until == until


async def test_progress_is_recorded_for_the_live_run_only(store: Store) -> None:
    """Progress of a stale claim or of an ended job is dropped; recorded progress moves the position."""
    mine, over = job_in(JobState.RUNNING), job_in(JobState.DONE, epoch=1)
    await store.insert_jobs([mine, over])
    position = await store.position()
    recorded = await store.set_progress(
        [Progress(mine.id, 2, 0.1), Progress(mine.id, 1, 0.5, "half"), Progress(over.id, 1, 0.9)]
    )
    assert recorded == [mine.id]
    [kept] = await store.changed_jobs(position)
    assert (kept.id, kept.progress, kept.progress_text) == (mine.id, 0.5, "half")
    await store.apply([move(mine, JobEvent.LOSE, epoch=1), move(mine, JobEvent.CLAIM)])
    [again] = await store.get_jobs([mine.id])
    assert (again.progress, again.progress_text) == (0.0, "")


@pytest.mark.parametrize("epoch", [0, -1, 1 << 63, 1 << 80])
async def test_a_wild_epoch_harms_nobody_in_the_same_batch(store: Store, epoch: int) -> None:
    """A worker's nonsense is passed over; its neighbours' leases and progress are written."""
    job = job_in(JobState.RUNNING)
    await store.insert_jobs([job])
    until = START + timedelta(minutes=1)
    await store.renew([(job.id, epoch), (job.id, 1)], until)
    wild, good = Progress(job.id, epoch, 0.9), Progress(job.id, 1, float("nan"), "text")
    assert await store.set_progress([wild, good]) == [job.id]
    outcomes = await store.apply(
        [move(job, JobEvent.FINISH, epoch=epoch), move(job, JobEvent.FINISH, epoch=1)]
    )
    assert [outcome.applied for outcome in outcomes] == [False, True]
    kept = await store.get_job(job.id)
    assert kept is not None
    assert (kept.progress, kept.progress_text) == (0.0, "text")


async def test_finished_jobs_are_tallied_by_minute_and_hour(
    store: Store, clock: ManualClock
) -> None:
    """The dashboard's rates count what ended lately, failures and deaths together."""
    jobs = [job_in(JobState.RUNNING) for _ in range(4)]
    await store.insert_jobs(jobs)
    await store.apply([move(jobs[0], JobEvent.FINISH, epoch=1, at=clock.now())])
    now = clock.advance(600)
    await store.apply(
        [
            move(jobs[1], JobEvent.FINISH, epoch=1, at=now),
            move(jobs[2], JobEvent.FAIL, epoch=1, at=now),
            move(jobs[3], JobEvent.BURY, at=now),
        ]
    )
    counts = await store.count_jobs()
    assert (counts.done_last_minute, counts.failed_last_minute) == (1, 2)
    assert (counts.done_last_hour, counts.failed_last_hour) == (2, 2)
    assert await store.count_jobs([jobs[0].function.partition("/")[0], "nobodys"]) == counts
    clock.advance(3700)
    counts = await store.count_jobs()
    assert (counts.done_last_hour, counts.failed_last_hour) == (0, 0)


async def test_jobs_are_counted_within_namespaces(store: Store, clock: ManualClock) -> None:
    """Each of any set of them, whoever submitted: as they come, move, end and are forgotten; none where none are."""
    names = ("etl", "etl.nightly", "ops")
    jobs = [
        job_in(JobState.RUNNING, function=f"{name}/f", submitter=user)
        for name in names
        for user in ("ann", "bob")
    ]
    await store.insert_jobs(jobs)
    waiting = make_job(function="ops/f")
    await store.insert_jobs([waiting])
    await store.apply(
        [move(each, JobEvent.FINISH, epoch=1, at=clock.now()) for each in jobs[:3]]
        + [move(jobs[3], JobEvent.FAIL, epoch=1, at=clock.now())]
    )

    async def told(*asked: str) -> tuple[dict[str, int], int, int]:
        counts = await store.count_jobs(asked)
        states = {state: count for state, count in counts.states.items() if count}
        return states, counts.done_last_minute, counts.failed_last_hour

    assert await told("etl") == ({"done": 2}, 2, 0)
    assert await told("etl.nightly") == ({"done": 1, "failed": 1}, 1, 1)
    assert await told("ops") == ({"running": 2, str(waiting.state): 1}, 0, 0)
    assert await told("etl", "ops") == ({"done": 2, "running": 2, str(waiting.state): 1}, 2, 0)
    assert await told() == await told("nobodys") == ({}, 0, 0)
    assert await store.count_jobs(names) == await store.count_jobs()
    await store.forget_jobs(clock.advance(60), limit=100)
    assert (await told("etl"))[0] == (await told("etl.nightly"))[0] == {}
    assert (await told("ops"))[0] == {"running": 2, str(waiting.state): 1}
