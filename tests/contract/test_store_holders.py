"""Reports of a claim count from whoever holds it, and from nobody else."""

from typing import Any

import pytest

from dts_core.states import FENCED, JobEvent, JobState
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
