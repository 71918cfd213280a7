"""Jobs in the store: what goes in comes out, what is due is found, what is old is forgotten."""

from datetime import timedelta
from pathlib import Path

import pytest

from dts_core.clock import Clock
from dts_core.errors import InvalidInput
from dts_core.model import Job, JobError, Sealed, Signature, Trial
from dts_core.names import new_id
from dts_core.states import FINAL, JobEvent, JobState
from dts_core.stores import limits
from dts_core.stores.base import Store
from dts_core.testing import START, ManualClock
from tests.contract.store_backends import Opener
from tests.support.jobs import LEASE, job_in, make_job, move

HOUR = timedelta(hours=1)
FULL = Job(
    id="01FULL",
    function="alpha/deep.task",
    version="f" * 64,
    is_async=True,
    args=b'[1, "two"]',
    kwargs=b'{"k": null}',
    envelope=Signature(key="1" * 16, value=b"\x00" * 64),
    sealed=Sealed(key="0" * 16, places={"args/1": "two"}, box=b"\x00box"),
    queue="host.node7",
    priority=7,
    submitter="ann",
    timeout_seconds=1.5,
    grace_seconds=2.5,
    retries=3,
    backoff_seconds=0.5,
    expires_at=START + HOUR,
    created_at=START + timedelta(microseconds=123456),
    again_of="01OLD",
    request_id="r-1",
    state=JobState.SCHEDULED,
    due_at=START + timedelta(microseconds=1),
    reason="because",
    error=JobError(type="E", message="m", traceback="t"),
    trial=Trial("e" * 64, False, ["node7", "node8"]),
    ran="e" * 64,
)


async def test_a_job_comes_back_as_it_went_in(store: Store) -> None:
    """Every field survives, to the microsecond; only `changed` is the store's own."""
    await store.insert_jobs([FULL])
    kept = await store.get_job(FULL.id)
    assert kept is not None
    assert kept.changed > 0
    given = {name: getattr(FULL, name) for name in Job.__struct_fields__ if name != "changed"}
    assert {name: getattr(kept, name) for name in given} == given


async def test_a_job_on_trial_tells_which_version_runs_where_it_runs(store: Store) -> None:
    """By its host, in lists too; lost and taken by another host, it is another version's."""
    job = make_job(trial=Trial("e" * 64, True, ["h1"]))
    await store.insert_jobs([job])
    versions = []
    for host in ("h1", "h2"):
        [outcome] = await store.apply([move(job, JobEvent.CLAIM, host=host)])
        [listed] = await store.get_jobs([job.id])
        versions.append(listed.running_version)
        await store.apply([move(job, JobEvent.LOSE, epoch=outcome.epoch)])
    assert versions == ["e" * 64, job.version]
    kept = await store.get_job(job.id)
    assert kept is not None
    assert (kept.running_version, kept.trial) == (job.version, job.trial)


@pytest.mark.parametrize("event", [JobEvent.FINISH, JobEvent.FAIL, JobEvent.CONFIRM_CANCEL])
async def test_the_version_that_ran_is_what_the_worker_says(store: Store, event: JobEvent) -> None:
    """On a host of the trial as elsewhere; who says none, or some other one, ran what the job names."""
    tried = Trial("e" * 64, True, ["h1"])
    for host, said, is_tried in (
        ("h1", tried.version, True),
        ("h1", "", False),
        ("h1", "0" * 64, False),
        ("h2", tried.version, True),
    ):
        job = make_job(trial=tried)
        await store.insert_jobs([job])
        await store.apply([move(job, JobEvent.CLAIM, host=host)])
        [ended] = await store.apply([move(job, event, epoch=1, host=host, ran=said)])
        assert ended.applied
        [listed] = await store.get_jobs([job.id])
        assert listed.ran == said
        assert listed.running_version == (tried.version if is_tried else job.version)


async def test_an_id_that_exists_is_left_as_it_is(store: Store) -> None:
    """Inserting twice is inserting once, in the counts too."""
    job = make_job()
    await store.insert_jobs([job])
    await store.insert_jobs([make_job(id=job.id, function="other/task"), make_job()])
    kept = await store.get_job(job.id)
    assert kept is not None
    assert kept.function == "sample/noop"
    assert (await store.count_jobs()).states["queued"] == 2
    assert (await store.submitter_record("ann")).counts == {"queued": 2}


async def test_a_bulk_read_keeps_the_order_and_leaves_out_results(store: Store) -> None:
    """get_jobs answers in the order asked, without the unknown, and never with a result."""
    jobs = [job_in(JobState.RUNNING) for _ in range(3)]
    await store.insert_jobs(jobs)
    await store.apply([move(jobs[0], JobEvent.FINISH, epoch=1, result=b"[1]")])
    asked = [jobs[2].id, "nobody", jobs[0].id]
    found = await store.get_jobs(asked)
    assert [job.id for job in found] == [jobs[2].id, jobs[0].id]
    assert (found[1].result, found[1].result_size) == (None, 3)
    whole = await store.get_job(jobs[0].id)
    assert whole is not None
    assert whole.result == b"[1]"
    assert await store.get_job("nobody") is None
    with pytest.raises(InvalidInput):
        await store.get_jobs(["x"] * 1001)


async def test_positions_grow_with_every_change_and_resume(store: Store) -> None:
    """What changed after a position is found by it, oldest change first, each job once."""
    jobs = [make_job() for _ in range(4)]
    await store.insert_jobs(jobs)
    start = await store.position()
    await store.apply([move(jobs[2], JobEvent.CLAIM), move(jobs[0], JobEvent.CANCEL)])
    await store.apply([move(jobs[2], JobEvent.FINISH, epoch=1)])
    changed = await store.changed_jobs(start)
    assert [(job.id, job.state) for job in changed] == [
        (jobs[0].id, JobState.CANCELLED),
        (jobs[2].id, JobState.DONE),
    ]
    assert changed[-1].changed == await store.position()
    assert [job.id for job in await store.changed_jobs(start, limit=1)] == [jobs[0].id]
    assert await store.changed_jobs(await store.position()) == []


async def test_positions_go_on_after_a_restart(
    open_engine: Opener, tmp_path: Path, clock: Clock
) -> None:
    """A position that a client holds stays good over a restart, and so do counts and order."""
    first, second = make_job(), make_job()
    async with open_engine(tmp_path, clock) as engine:
        await engine.store.insert_jobs([first])
        position = await engine.store.position()
    async with open_engine(tmp_path, clock) as engine:
        store = engine.store
        await store.insert_jobs([second])
        assert [job.id for job in await store.changed_jobs(position)] == [second.id]
        assert (await store.count_jobs()).states["queued"] == 2
        assert (await store.submitter_record("ann")).recent == [second.id, first.id]


async def test_positions_go_on_when_every_job_was_forgotten(
    open_engine: Opener, tmp_path: Path, clock: Clock
) -> None:
    """Whoever resumes from a position of before hears of every later job, over a restart in between too."""
    first, second = make_job(), make_job()
    async with open_engine(tmp_path, clock) as engine:
        await engine.store.insert_jobs([first])
        await engine.store.apply([move(first, JobEvent.CANCEL)])
        position = await engine.store.position()
        assert await engine.store.forget_jobs(START + timedelta(days=1)) == 1
        assert await engine.store.position() == position
    async with open_engine(tmp_path, clock) as engine:
        assert await engine.store.position() == position
        await engine.store.insert_jobs([second])
        assert [job.id for job in await engine.store.changed_jobs(position)] == [second.id]


async def test_a_submitter_has_exactly_their_own_jobs_on_record(store: Store) -> None:
    """Counts by state and the last 50 ids, newest first, of that user only."""
    mine = [make_job(id=f"m{at:03}") for at in range(60)]
    await store.insert_jobs([*mine, make_job(submitter="bob")])
    await store.apply([move(mine[0], JobEvent.CANCEL), move(mine[1], JobEvent.CLAIM)])
    record = await store.submitter_record("ann")
    assert record.counts == {"queued": 58, "cancelled": 1, "running": 1}
    assert record.recent == [job.id for job in reversed(mine)][:50]
    assert (await store.submitter_record("eve")).counts == {}


async def test_due_jobs_are_those_whose_time_has_come(store: Store) -> None:
    """due_at itself is due; earliest first; limited."""
    jobs = [
        job_in(state, due_at=START + timedelta(seconds=at))
        for state, at in ((JobState.RETRYING, 3), (JobState.SCHEDULED, 1), (JobState.RETRYING, 2))
    ]
    await store.insert_jobs(jobs)
    assert await store.next_due() == START + timedelta(seconds=1)
    found = await store.due_jobs(START + timedelta(seconds=2))
    assert [job.id for job in found] == [jobs[1].id, jobs[2].id]
    assert len(await store.due_jobs(START + HOUR, limit=1)) == 1
    await store.apply([move(job, JobEvent.DUE) for job in jobs])
    assert await store.due_jobs(START + HOUR) == []
    assert await store.next_due() is None


async def test_overdue_jobs_are_those_not_started_in_time(store: Store) -> None:
    """Whatever has not started and reached its expiry; what runs or ended is left alone."""
    jobs = {state: job_in(state, expires_at=START + HOUR) for state in JobState}
    await store.insert_jobs(list(jobs.values()))
    assert await store.overdue_jobs(START + HOUR - timedelta(microseconds=1)) == []
    found = {job.state for job in await store.overdue_jobs(START + HOUR)}
    assert found == {JobState.SCHEDULED, JobState.PENDING, JobState.QUEUED, JobState.RETRYING}


async def test_the_next_due_instant_is_the_earliest_of_all_kinds(store: Store) -> None:
    """Starts, leases and expiries are looked at together."""
    assert await store.next_due() is None
    await store.insert_jobs([make_job(expires_at=START + HOUR)])
    assert await store.next_due() == START + HOUR
    await store.insert_jobs([job_in(JobState.RUNNING)])
    assert await store.next_due() == START + LEASE


async def test_pending_jobs_are_those_left_behind(store: Store) -> None:
    """Only pending ones made before the given instant."""
    old = make_job(state=JobState.PENDING)
    new = make_job(state=JobState.PENDING, created_at=START + HOUR)
    await store.insert_jobs([old, new, make_job()])
    assert [job.id for job in await store.pending_jobs(START + timedelta(seconds=1))] == [old.id]


async def test_finished_jobs_are_forgotten_with_all_that_belongs_to_them(store: Store) -> None:
    """Jobs that ended before go, with attempts and counts; ended later or unfinished ones stay."""
    old = {state: job_in(state) for state in JobState}
    for state, job in old.items():
        if state in FINAL:
            old[state] = make_job(id=job.id, state=state, finished_at=START + timedelta(minutes=1))
    late = make_job(state=JobState.DONE, finished_at=START + HOUR)
    await store.insert_jobs([*old.values(), late])
    lost = old[JobState.RUNNING]
    await store.apply(
        [
            move(lost, JobEvent.LOSE, epoch=1),
            move(lost, JobEvent.CANCEL, at=START + timedelta(minutes=1)),
        ]
    )
    before = (await store.count_jobs()).states
    assert await store.forget_jobs(START + timedelta(minutes=2), limit=2) == 2
    assert await store.forget_jobs(START + timedelta(minutes=2)) == len(FINAL) - 1
    assert await store.forget_jobs(START + timedelta(minutes=2)) == 0
    assert await store.attempts(lost.id) == []
    kept = {job.state for job in await store.get_jobs([job.id for job in old.values()])}
    assert kept == set(JobState) - FINAL - {JobState.RUNNING}
    assert await store.get_job(late.id) is not None
    counts = (await store.count_jobs()).states
    assert counts["done"] == 1
    assert counts["cancelled"] == before["cancelled"] - 2 == 0
    assert sum(counts.values()) == len(kept) + 1
    assert (await store.submitter_record("ann")).counts == {
        state: count for state, count in counts.items() if count
    }


async def test_a_job_that_ended_at_the_very_instant_stays(store: Store) -> None:
    """Before means strictly before."""
    await store.insert_jobs(
        [make_job(state=JobState.DONE, created_at=START - HOUR, finished_at=START)]
    )
    assert await store.forget_jobs(START) == 0
    assert await store.forget_jobs(START + timedelta(microseconds=1)) == 1


async def test_many_jobs_are_forgotten_in_bounded_steps(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The limit holds across the store's own chunks."""
    monkeypatch.setattr(limits, "FORGET_CHUNK", 50)
    jobs = [make_job(id=new_id(), state=JobState.DONE, finished_at=START) for _ in range(120)]
    await store.insert_jobs(jobs)
    assert await store.forget_jobs(START + HOUR, limit=70) == 70
    assert await store.forget_jobs(START + HOUR) == 50


async def test_a_clock_that_steps_back_does_not_disturb_the_order(
    store: Store, clock: ManualClock
) -> None:
    """Jobs stay in the order they came, and every page by time still finds its end."""
    jobs = [make_job(created_at=START + timedelta(seconds=at)) for at in (0, 10, -3600, 11)]
    await store.insert_jobs(jobs)
    recent = (await store.submitter_record("ann")).recent
    assert recent == [job.id for job in reversed(jobs)]
    kept = await store.get_job(jobs[2].id)
    assert kept is not None
    assert kept.created_at == START - HOUR
