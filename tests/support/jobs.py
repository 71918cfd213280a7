"""Jobs and transitions for tests: short to write, everything else at its default."""

from datetime import datetime, timedelta
from typing import Any

from dts_core.brokers.base import Message, Outgoing
from dts_core.model import Job, Outcome, Transition
from dts_core.names import new_id
from dts_core.states import HELD, JobEvent, JobState
from dts_core.testing import START

LEASE = timedelta(seconds=10)


def make_job(**fields: Any) -> Job:
    """A queued job of `sample/noop`, made by ann at START."""
    given: dict[str, Any] = {
        "id": new_id(),
        "function": "sample/noop",
        "version": "0" * 64,
        "submitter": "ann",
        "created_at": START,
        "state": JobState.QUEUED,
    }
    return Job(**(given | fields))


def job_in(state: JobState, *, at: datetime = START, **fields: Any) -> Job:
    """A job as it may stand in a state: with a claim, a lease, a due time where the state has one."""
    given: dict[str, Any] = {"state": state}
    if state in HELD:
        given |= {"epoch": 1, "attempt": 1, "host": "h1", "worker": "w1", "started_at": at}
        given |= {"lease_until": at + LEASE}
    if state in (JobState.SCHEDULED, JobState.RETRYING):
        given |= {"due_at": at + timedelta(seconds=60)}
    return make_job(**(given | fields))


def move(job: Job | str, event: JobEvent, *, at: datetime = START, **fields: Any) -> Transition:
    """A transition; a CLAIM gets an owner and a lease."""
    given: dict[str, Any] = {
        "id": job if isinstance(job, str) else job.id,
        "event": event,
        "at": at,
    }
    if event is JobEvent.CLAIM:
        given |= {"host": "h1", "worker": "w1", "lease_until": at + LEASE}
    return Transition(**(given | fields))


def invitation(job: Job, queue: str = "jobs.default") -> Outgoing:
    """A message that stands for the job's own."""
    return Outgoing(queue, Message(b"body", message_id=job.id, priority=job.priority))


def brief(outcome: Outcome) -> tuple[bool, str | None, int]:
    """What most tests ask of an outcome: applied, state, epoch."""
    return outcome.applied, None if outcome.state is None else outcome.state.value, outcome.epoch
