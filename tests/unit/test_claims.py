"""Claims: who may run a job, over the real store."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from dts_core.brokers.base import ClaimAnswer, ClaimRequest, ClaimVerdict
from dts_core.model import Change
from dts_core.services.claims import Claims
from dts_core.services.leases import Leases
from dts_core.states import FINAL, LOSSES_MAX, JobEvent, JobState
from dts_core.stores.base import Store
from dts_core.testing import START, ManualClock
from tests.contract.store_backends import embedded
from tests.support.jobs import job_in, make_job, move

FINISHED = ClaimAnswer(ClaimVerdict.FINISHED)


class Desk:
    """Claims over a store, with the changes they announced."""

    def __init__(self, store: Store, clock: ManualClock) -> None:
        self.store = store
        self.clock = clock
        self.changes: list[Change] = []
        self.claims = Claims(store, clock, on_changes=self.changes.extend)

    async def claim(self, job: str, **fields: object) -> ClaimAnswer:
        given: dict[str, object] = {"job": job, "host": "h2", "worker": "w2"}
        [answer] = await self.claims.grant([ClaimRequest(**(given | fields))])  # type: ignore[arg-type]
        return answer

    async def state(self, job: str) -> tuple[JobState, int, int, str]:
        """state, epoch, losses, worker."""
        kept = await self.store.get_job(job)
        assert kept is not None
        return kept.state, kept.epoch, kept.losses, kept.worker


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    clock = ManualClock()
    async with embedded(tmp_path, clock) as engine:
        yield Desk(engine.store, clock)


async def test_a_queued_job_is_granted_with_its_epoch_and_attempt(desk: Desk) -> None:
    """The answer and the record agree, and the change is announced."""
    job = make_job(epoch=4, attempt=2)
    await desk.store.insert_jobs([job])
    assert await desk.claim(job.id) == ClaimAnswer(ClaimVerdict.GRANTED, 5, 3)
    assert await desk.state(job.id) == (JobState.RUNNING, 5, 0, "w2")
    kept = await desk.store.get_job(job.id)
    assert kept is not None
    assert kept.lease_until == START + timedelta(seconds=10)
    assert desk.changes == [Change("jobs", job.id, "running", kept.changed, 5)]


@pytest.mark.parametrize("state", sorted(FINAL | {JobState.SCHEDULED, JobState.RETRYING}))
async def test_what_is_over_or_waits_is_not_to_run(desk: Desk, state: JobState) -> None:
    """Its message is dropped: a job that waits gets a new one when its time has come."""
    job = job_in(state)
    await desk.store.insert_jobs([job])
    assert await desk.claim(job.id) == FINISHED
    assert (await desk.state(job.id))[0] is state
    assert desk.changes == []


async def test_an_unknown_job_is_not_to_run(desk: Desk) -> None:
    """A message without a record is dropped."""
    assert await desk.claim("nobody") == FINISHED
    assert await desk.claims.grant([]) == []


async def test_a_job_past_its_expiry_never_runs(desk: Desk) -> None:
    """It is recorded as expired the moment somebody wants to start it."""
    job = make_job(expires_at=START)
    await desk.store.insert_jobs([job])
    assert await desk.claim(job.id) == FINISHED
    assert (await desk.state(job.id))[0] is JobState.EXPIRED
    assert [change.state for change in desk.changes] == ["expired"]


async def test_a_pending_job_whose_message_is_there_is_granted(desk: Desk) -> None:
    """The message itself proves the publication that was not recorded yet."""
    job = make_job(state=JobState.PENDING)
    await desk.store.insert_jobs([job])
    assert await desk.claim(job.id) == ClaimAnswer(ClaimVerdict.GRANTED, 1, 1)
    assert (await desk.state(job.id))[0] is JobState.RUNNING


@pytest.mark.parametrize("state", [JobState.RUNNING, JobState.CANCELLING])
async def test_a_live_lease_stands_against_a_claim(desk: Desk, state: JobState) -> None:
    """Come back when it lapses: strictly after its end, so the wait is a little longer."""
    job = job_in(state)
    await desk.store.insert_jobs([job])
    desk.clock.advance(4)
    answer = await desk.claim(job.id)
    assert answer.verdict is ClaimVerdict.HELD
    assert 6 < answer.retry_after_seconds < 6.2
    assert await desk.state(job.id) == (state, 1, 0, "w1")


async def test_at_the_very_end_of_a_lease_it_still_counts(desk: Desk) -> None:
    """Lapsed means strictly later."""
    job = job_in(JobState.RUNNING)
    await desk.store.insert_jobs([job])
    desk.clock.advance(10)
    assert (await desk.claim(job.id)).verdict is ClaimVerdict.HELD
    desk.clock.advance(0.001)
    assert await desk.claim(job.id) == ClaimAnswer(ClaimVerdict.GRANTED, 2, 1)
    assert await desk.state(job.id) == (JobState.RUNNING, 2, 1, "w2")


async def test_a_redelivery_takes_over_a_live_lease_and_charges_a_loss(desk: Desk) -> None:
    """Its former channel is gone, and its holder says nothing when it is called: nobody waits for the lease."""
    job = job_in(JobState.RUNNING)
    await desk.store.insert_jobs([job])
    called = await desk.claim(job.id, redelivered=True)
    assert called.verdict is ClaimVerdict.HELD
    assert called.retry_after_seconds < 3
    answer = await desk.claim(job.id, redelivered=True, lease=called.lease)
    assert answer == ClaimAnswer(ClaimVerdict.GRANTED, 2, 1)
    assert await desk.state(job.id) == (JobState.RUNNING, 2, 1, "w2")
    assert [attempt.outcome for attempt in await desk.store.attempts(job.id)] == ["lose"]


async def test_a_holder_that_lives_keeps_its_claim_when_a_message_comes_back(desk: Desk) -> None:
    """A channel may be lost alone; whoever renews when it is called is no loss, whatever its clock says."""
    job = job_in(JobState.RUNNING)
    await desk.store.insert_jobs([job])
    called = await desk.claim(job.id, redelivered=True)
    assert await desk.claims.held("w1", [(job.id, 1)]) == [True]  # the clock stands still
    answer = await desk.claim(job.id, redelivered=True, lease=called.lease)
    assert (answer.verdict, answer.epoch) == (ClaimVerdict.HELD, 1)
    assert answer.lease != called.lease
    assert await desk.state(job.id) == (JobState.RUNNING, 1, 0, "w1")


async def test_a_redelivery_of_an_older_claim_does_not_take_over_a_newer_one(desk: Desk) -> None:
    """Of two messages for one job the stale one waits; the run of the other goes on."""
    job = job_in(JobState.RUNNING, epoch=3)
    await desk.store.insert_jobs([job])
    assert (await desk.claim(job.id, redelivered=True, epoch=2)).verdict is ClaimVerdict.HELD
    assert await desk.state(job.id) == (JobState.RUNNING, 3, 0, "w1")
    assert (await desk.claim(job.id, redelivered=True, epoch=3)).verdict is ClaimVerdict.GRANTED


async def test_a_claim_that_was_not_called_for_counts(desk: Desk) -> None:
    """Its lease may end with the one that was: while the stethoscope is ahead, leases begin at one instant."""
    job = make_job()
    await desk.store.insert_jobs([job])
    await desk.claim(job.id, worker="w1")
    called = await desk.claim(job.id, redelivered=True)
    await desk.claims.give_back([(job.id, 1)], "it stops")
    assert (await desk.claim(job.id, worker="w3")).verdict is ClaimVerdict.GRANTED
    answer = await desk.claim(job.id, redelivered=True, lease=called.lease)
    assert (answer.verdict, answer.epoch) == (ClaimVerdict.HELD, 2)
    assert await desk.state(job.id) == (JobState.RUNNING, 2, 0, "w3")


async def test_a_job_lost_too_often_is_buried_instead_of_granted(desk: Desk) -> None:
    """The last loss ends it, with the reason."""
    job = job_in(JobState.RUNNING, losses=LOSSES_MAX - 1)
    await desk.store.insert_jobs([job])
    called = await desk.claim(job.id, redelivered=True)
    assert await desk.claim(job.id, redelivered=True, lease=called.lease) == FINISHED
    kept = await desk.store.get_job(job.id)
    assert kept is not None
    assert kept.error is not None
    assert (kept.state, kept.losses, kept.error.type) == (JobState.DEAD, LOSSES_MAX, "WorkerLost")


async def test_a_cancelled_run_whose_worker_is_gone_is_over(desk: Desk) -> None:
    """A claim on it confirms the cancel instead of running it once more."""
    job = job_in(JobState.CANCELLING, losses=LOSSES_MAX - 1)
    await desk.store.insert_jobs([job])
    called = await desk.claim(job.id, redelivered=True)
    assert await desk.claim(job.id, redelivered=True, lease=called.lease) == FINISHED
    assert (await desk.state(job.id))[0] is JobState.CANCELLED


async def test_a_batch_is_answered_in_order(desk: Desk) -> None:
    """Granted, finished, held and unknown side by side, each at its place; twice the same job is granted once."""
    jobs = [make_job(), job_in(JobState.DONE), job_in(JobState.RUNNING), make_job()]
    await desk.store.insert_jobs(jobs)
    ids = [job.id for job in jobs]
    requests = [
        ClaimRequest(job, "h2", "w2") for job in [ids[0], ids[1], "nobody", ids[2], ids[3], ids[0]]
    ]
    verdicts = [answer.verdict.value for answer in await desk.claims.grant(requests)]
    assert verdicts == ["granted", "finished", "finished", "held", "granted", "held"]


async def test_what_is_given_back_is_charged_nothing(desk: Desk) -> None:
    """Stale claims change nothing, the live one is queued again."""
    jobs = [job_in(JobState.RUNNING), job_in(JobState.RUNNING)]
    await desk.store.insert_jobs(jobs)
    await desk.claims.give_back([(jobs[0].id, 1), (jobs[1].id, 9), ("nobody", 1)], "stopping")
    assert await desk.state(jobs[0].id) == (JobState.QUEUED, 1, 0, "")
    assert await desk.state(jobs[1].id) == (JobState.RUNNING, 1, 0, "w1")
    assert [(change.id, change.state) for change in desk.changes] == [(jobs[0].id, "queued")]


@pytest.mark.parametrize("losses", [0, LOSSES_MAX - 1])
async def test_a_claim_that_was_given_back_in_vain_is_charged_nothing(
    desk: Desk, losses: int
) -> None:
    """The store could not be told when it was given back: the next claim tells it, and takes its place."""
    job = job_in(JobState.RUNNING, losses=losses)
    await desk.store.insert_jobs([job])
    answer = await desk.claim(job.id, redelivered=True, epoch=1, returned=True)
    assert answer == ClaimAnswer(ClaimVerdict.GRANTED, 2, 1)
    assert await desk.state(job.id) == (JobState.RUNNING, 2, losses, "w2")
    assert [attempt.outcome for attempt in await desk.store.attempts(job.id)] == ["give_back"]


async def test_only_the_claim_that_was_given_back_ends_with_it(desk: Desk) -> None:
    """A newer one counts."""
    job = job_in(JobState.RUNNING, epoch=3)
    await desk.store.insert_jobs([job])
    answer = await desk.claim(job.id, redelivered=True, epoch=2, returned=True)
    assert answer.verdict is ClaimVerdict.HELD
    assert await desk.state(job.id) == (JobState.RUNNING, 3, 0, "w1")


async def test_lost_claims_are_charged_and_the_last_loss_buries(desk: Desk) -> None:
    """Only the buried are named, so that their messages are dropped."""
    fresh = job_in(JobState.RUNNING)
    last = job_in(JobState.RUNNING, losses=LOSSES_MAX - 1)
    stopping = job_in(JobState.CANCELLING, losses=LOSSES_MAX - 1)
    stale = job_in(JobState.RUNNING, losses=LOSSES_MAX - 1)
    await desk.store.insert_jobs([fresh, last, stopping, stale])
    claims = [(job.id, 1) for job in (fresh, last, stopping)] + [(stale.id, 2)]
    assert await desk.claims.lose(claims, "its link is gone") == [last.id]
    states = [(await desk.state(job.id))[:3] for job in (fresh, last, stopping, stale)]
    assert states == [
        (JobState.QUEUED, 1, 1),
        (JobState.DEAD, 1, 3),
        (JobState.CANCELLED, 1, 3),
        (JobState.RUNNING, 1, 2),
    ]


async def test_dead_messages_make_dead_jobs(desk: Desk) -> None:
    """A job whose message could not be delivered is dead with the reason; a finished one stays as it is."""
    queued, done = make_job(), job_in(JobState.DONE)
    await desk.store.insert_jobs([queued, done])
    await desk.claims.bury([queued.id, done.id], "not decodable")
    kept = await desk.store.get_job(queued.id)
    assert kept is not None
    assert (kept.state, kept.reason) == (JobState.DEAD, "not decodable")
    assert (await desk.state(done.id))[0] is JobState.DONE


async def test_a_reconnecting_worker_is_told_what_is_still_its_own(desk: Desk) -> None:
    """Its own live epochs, also after their lease lapsed unnoticed; nothing that another one has or that is over."""
    mine, stopping = job_in(JobState.RUNNING), job_in(JobState.CANCELLING)
    taken = job_in(JobState.RUNNING, epoch=2)
    foreign = job_in(JobState.RUNNING, worker="w9")
    over = job_in(JobState.DONE, epoch=1, worker="w1")
    await desk.store.insert_jobs([mine, stopping, taken, foreign, over])
    desk.clock.advance(60)
    claims = [(job.id, 1) for job in (mine, stopping, taken, foreign, over)] + [("nobody", 1)]
    held = await desk.claims.held("w1", claims)
    assert held == [True, True, False, False, False, False]


async def test_a_worker_may_hold_more_than_one_bulk_read(desk: Desk) -> None:
    """However many claims it comes back with, each gets its answer."""
    jobs = [job_in(JobState.RUNNING) for _ in range(1_100)]
    await desk.store.insert_jobs(jobs)
    held = await desk.claims.held("w1", [(job.id, 1) for job in jobs] + [("nobody", 1)])
    assert held == [True] * 1_100 + [False]


async def test_a_finished_run_between_two_looks_is_left_alone(desk: Desk) -> None:
    """A loss decided on an old look does not undo what happened meanwhile: the epoch fences it."""
    job = job_in(JobState.RUNNING)
    await desk.store.insert_jobs([job])
    desk.clock.advance(11)
    await desk.store.apply([move(job, JobEvent.FINISH, epoch=1, result=b"1")])
    assert await desk.claim(job.id) == FINISHED
    assert await desk.claims.lose([(job.id, 1)], "late") == []
    assert (await desk.state(job.id))[0] is JobState.DONE


async def test_after_a_pause_of_our_own_a_lapsed_lease_still_counts(desk: Desk) -> None:
    """Who comes first after it is told to wait; a worker that is back has its lease renewed."""
    leases = Leases(desk.clock, timedelta(seconds=10))
    claims = Claims(desk.store, desk.clock, leases=leases)
    job = job_in(JobState.RUNNING)
    await desk.store.insert_jobs([job])
    desk.clock.advance(25)
    [answer] = await claims.grant([ClaimRequest(job.id, "h2", "w2")])
    assert answer.verdict is ClaimVerdict.HELD
    assert 9.9 < answer.retry_after_seconds < 10.1
    assert await claims.held(job.worker, [(job.id, job.epoch)]) == [True]
    kept = await desk.store.get_job(job.id)
    assert kept is not None
    assert kept.lease_until == desk.clock.now() + timedelta(seconds=10)
    assert kept.losses == 0


async def test_what_never_reached_its_worker_is_found(desk: Desk) -> None:
    """Claims of that worker which it does not name; nobody else's, and none that are over."""
    mine, named = job_in(JobState.RUNNING), job_in(JobState.CANCELLING)
    other, over = job_in(JobState.RUNNING, worker="w9"), job_in(JobState.DONE, worker="w1")
    await desk.store.insert_jobs([mine, named, other, over])
    found = await desk.claims.unheld("w1", [(named.id, named.epoch), (over.id, 1)])
    assert found == [(mine.id, mine.epoch)]


async def test_a_lease_from_a_clock_that_was_ahead_makes_no_other_long(desk: Desk) -> None:
    """It is renewed for itself; if its worker dies, its other jobs wait no longer than a lease."""
    far = START + timedelta(hours=1)
    ahead, other = job_in(JobState.RUNNING, lease_until=far), job_in(JobState.RUNNING)
    await desk.store.insert_jobs([ahead, other])
    assert await desk.claims.held("w1", [(ahead.id, 1), (other.id, 1)]) == [True, True]
    kept = {job.id: job.lease_until for job in await desk.store.get_jobs([ahead.id, other.id])}
    least = timedelta(milliseconds=1)
    assert kept == {ahead.id: far + least, other.id: START + timedelta(seconds=10) + least}


async def test_a_stranger_renews_nothing(desk: Desk) -> None:
    """Neither another worker nor another epoch moves a lease by asking."""
    job = job_in(JobState.RUNNING)
    await desk.store.insert_jobs([job])
    desk.clock.advance(5)
    asked = [("other", job.epoch), (job.worker, job.epoch + 1)]
    for worker, epoch in asked:
        assert await desk.claims.held(worker, [(job.id, epoch)]) == [False]
    kept = await desk.store.get_job(job.id)
    assert kept is not None
    assert kept.lease_until == job.lease_until
