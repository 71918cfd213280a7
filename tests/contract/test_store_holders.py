"""Reports of a claim count from whoever holds it, and from nobody else."""

from typing import Any

import pytest

from dts_core.states import FENCED, LOSSES_MAX, JobEvent, JobState
from dts_core.stores.base import Store
from tests.support.jobs import brief, job_in, move

OTHERS = [{"host": "h2", "worker": "w1"}, {"host": "h1", "worker": "w2"}, {"worker": "w2"}]


@pytest.mark.parametrize("event", sorted(FENCED))
@pytest.mark.parametrize("sender", OTHERS, ids=["host", "worker", "worker alone"])
async def test_a_report_of_another_worker_changes_nothing(
    store: Store, event: JobEvent, sender: dict[str, Any]
) -> None:
    """Even with the right epoch: knowing it is no claim."""
    job = job_in(JobState.RUNNING)
    await store.insert_jobs([job])
    before = await store.get_job(job.id)
    outcomes = await store.apply([move(job, event, epoch=1, **sender)])
    assert [brief(outcome) for outcome in outcomes] == [(False, "running", 1)]
    assert await store.get_job(job.id) == before


@pytest.mark.parametrize("event", sorted(FENCED))
async def test_a_report_of_the_holder_counts(store: Store, event: JobEvent) -> None:
    """By name; an empty name is the control side's own and looks at nobody."""
    senders: list[dict[str, Any]] = [{"host": "h1", "worker": "w1"}, {}]
    for sender in senders:
        job = job_in(JobState.RUNNING)
        await store.insert_jobs([job])
        [outcome] = await store.apply([move(job, event, epoch=1, **sender)])
        assert outcome.applied


async def test_a_burial_that_follows_a_refused_loss_is_refused(store: Store) -> None:
    """Given back in between: nothing was lost a last time, and the job lives."""
    job = job_in(JobState.RUNNING, losses=LOSSES_MAX - 1)
    await store.insert_jobs([job])
    await store.apply([move(job, JobEvent.GIVE_BACK, epoch=1)])
    last = [move(job, JobEvent.LOSE, epoch=1), move(job, JobEvent.BURY, epoch=1, losses=LOSSES_MAX)]
    outcomes = await store.apply(last)
    assert [brief(outcome) for outcome in outcomes] == [(False, "queued", 1)] * 2


async def test_a_burial_follows_the_last_loss_in_the_same_write(store: Store) -> None:
    """No moment in between."""
    job = job_in(JobState.RUNNING, losses=LOSSES_MAX - 1)
    await store.insert_jobs([job])
    last = [move(job, JobEvent.LOSE, epoch=1), move(job, JobEvent.BURY, epoch=1, losses=LOSSES_MAX)]
    outcomes = await store.apply(last)
    assert [brief(outcome) for outcome in outcomes] == [(True, "queued", 1), (True, "dead", 1)]
