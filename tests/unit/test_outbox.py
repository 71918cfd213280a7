"""The intake over a broker with a commit of its own: the record first, and what is not confirmed stays owed."""

from collections.abc import Sequence
from typing import Any

import pytest

from dts_core.brokers.base import Outgoing
from dts_core.errors import BrokerUnavailable, Conflict
from dts_core.model import Job, Outcome, Transition
from dts_core.states import JobEvent, JobState
from dts_core.stores.outbox import OutboxIntake
from dts_core.testing import ManualClock
from tests.support.jobs import invitation, make_job, move


class Both:
    """Store and broker in one, which note what they are told in order; `failures` are raised where they are named."""

    def __init__(self, **failures: Exception) -> None:
        self.told: list[tuple[str, list[str]]] = []
        self.states: dict[str, JobState] = {}
        self._failures = failures

    async def accept_jobs(self, jobs: Sequence[Job], key: Any = None) -> list[str] | None:
        self._note("store", [job.id for job in jobs])
        self.states |= {job.id: job.state for job in jobs}
        return None

    async def publish(self, items: Sequence[Outgoing]) -> None:
        self._note("publish", [item.message.message_id for item in items])

    async def mark_published(self, jobs: Sequence[Job], at: Any) -> None:
        self._note("published", [job.id for job in jobs])

    async def apply_owing(self, transitions: Sequence[Transition]) -> list[Outcome]:
        self._note("owe", [each.id for each in transitions])
        return [Outcome(each.id, True, JobState.QUEUED, 1) for each in transitions]

    async def settle_jobs(self, invited: Sequence[tuple[str, int]]) -> None:
        self._note("settle", [job for job, _ in invited])

    def _note(self, what: str, ids: list[str]) -> None:
        self.told.append((what, ids))
        if what in self._failures:
            raise self._failures[what]


def _intake(both: Both) -> OutboxIntake:
    return OutboxIntake(both, both, ManualClock())  # type: ignore[arg-type]


async def test_the_record_is_durable_before_the_message_goes() -> None:
    """Then the record says that the message went."""
    both, job = Both(), make_job()
    assert await _intake(both).accept([job], [invitation(job)]) == [job.id]
    assert both.told == [("store", [job.id]), ("publish", [job.id]), ("published", [job.id])]
    assert both.states == {job.id: JobState.PENDING}


async def test_what_is_refused_is_never_published() -> None:
    """A worker would be invited to a job that nobody knows."""
    both, job = Both(store=Conflict("taken")), make_job()
    with pytest.raises(Conflict):
        await _intake(both).accept([job], [invitation(job)])
    assert both.told == [("store", [job.id])]


async def test_a_job_whose_message_was_not_confirmed_stays_pending() -> None:
    """It is accepted, and published again by whoever looks for pending ones."""
    both, job = Both(publish=BrokerUnavailable("away")), make_job()
    intake = _intake(both)
    assert await intake.accept([job], [invitation(job)]) == [job.id]
    assert both.told == [("store", [job.id]), ("publish", [job.id])]
    assert intake.left_behind == 1


async def test_an_invitation_is_owed_until_it_is_confirmed() -> None:
    """The transition first, with the debt in the same write; settled by the confirm alone."""
    job = make_job(state=JobState.RETRYING)
    due = move(job, JobEvent.DUE)
    both = Both()
    await _intake(both).invite([due], [invitation(job)])
    assert [what for what, _ in both.told] == ["owe", "publish", "settle"]
    both = Both(publish=BrokerUnavailable("away"))
    await _intake(both).invite([due], [invitation(job)])
    assert [what for what, _ in both.told] == ["owe", "publish"]
