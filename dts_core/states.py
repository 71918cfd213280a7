"""The job state machine: one table, nothing else.

The stored job is the truth; every change of state is one guarded write on (state, epoch) that this table allows. An
event that reports from a worker also carries the epoch of its claim, so that a late, duplicate or forged one changes
nothing.
"""

from enum import StrEnum
from types import MappingProxyType


class JobState(StrEnum):
    """Where a job stands."""

    SCHEDULED = "scheduled"  # has a start in the future
    PENDING = "pending"  # stored, not yet confirmed by the broker
    QUEUED = "queued"  # a message invites workers to it
    RUNNING = "running"  # claimed: epoch, owner and a live lease
    RETRYING = "retrying"  # failed, waits for its next attempt
    CANCELLING = "cancelling"  # told to stop, the end is not confirmed yet
    DONE = "done"  # has its result
    FAILED = "failed"  # raised or timed out, no retry left
    CANCELLED = "cancelled"  # confirmed not to run, or stopped
    EXPIRED = "expired"  # its time to start passed in the queue
    DEAD = "dead"  # its workers were lost too often, or its message could not be delivered


class JobEvent(StrEnum):
    """What can happen to a job."""

    PUBLISH = "publish"  # the broker confirmed its message
    DUE = "due"  # the start, or the end of the backoff, has come
    CLAIM = "claim"  # a worker is granted the job: epoch + 1
    FINISH = "finish"  # the function returned
    FAIL = "fail"  # it raised or timed out, no retry left
    RETRY = "retry"  # it raised or timed out, a retry is left
    CANCEL = "cancel"  # a person asks to stop it
    CONFIRM_CANCEL = "confirm_cancel"  # the worker stopped it
    EXPIRE = "expire"  # not started in time
    LOSE = "lose"  # its worker or its lease is gone: a loss is charged, it is queued again
    BURY = "bury"  # lost once too often, or undeliverable
    GIVE_BACK = "give_back"  # a worker returns it unharmed: nothing is charged


class WorkerEvent:
    """Numbers of the events that workers count in their heartbeats; fixed on the wire for ever."""

    RECV = 1
    FAIL = 2
    DONE = 3


_S = JobState
_E = JobEvent

TRANSITIONS: MappingProxyType[JobEvent, MappingProxyType[JobState, JobState]] = MappingProxyType(
    {
        event: MappingProxyType(moves)
        for event, moves in {
            _E.PUBLISH: {_S.PENDING: _S.QUEUED},
            _E.DUE: {_S.SCHEDULED: _S.QUEUED, _S.RETRYING: _S.QUEUED},
            _E.CLAIM: {_S.QUEUED: _S.RUNNING},
            _E.FINISH: {_S.RUNNING: _S.DONE, _S.CANCELLING: _S.DONE},
            _E.FAIL: {_S.RUNNING: _S.FAILED, _S.CANCELLING: _S.FAILED},
            _E.RETRY: {_S.RUNNING: _S.RETRYING},
            _E.CANCEL: {
                _S.SCHEDULED: _S.CANCELLED,
                _S.PENDING: _S.CANCELLED,
                _S.QUEUED: _S.CANCELLED,
                _S.RETRYING: _S.CANCELLED,
                _S.RUNNING: _S.CANCELLING,
            },
            _E.CONFIRM_CANCEL: {_S.RUNNING: _S.CANCELLED, _S.CANCELLING: _S.CANCELLED},
            _E.EXPIRE: {
                _S.SCHEDULED: _S.EXPIRED,
                _S.PENDING: _S.EXPIRED,
                _S.QUEUED: _S.EXPIRED,
                _S.RETRYING: _S.EXPIRED,
            },
            _E.LOSE: {_S.RUNNING: _S.QUEUED, _S.CANCELLING: _S.CANCELLED},
            _E.BURY: {
                _S.PENDING: _S.DEAD,
                _S.QUEUED: _S.DEAD,
                _S.RUNNING: _S.DEAD,
            },
            _E.GIVE_BACK: {_S.RUNNING: _S.QUEUED, _S.CANCELLING: _S.CANCELLED},
        }.items()
    }
)
"""event -> {state before: state after}. What is not listed is refused."""

FENCED = frozenset({_E.FINISH, _E.FAIL, _E.RETRY, _E.CONFIRM_CANCEL, _E.LOSE, _E.GIVE_BACK})
"""Events that count only with the epoch of the live claim."""

FINAL = frozenset({_S.DONE, _S.FAILED, _S.CANCELLED, _S.EXPIRED, _S.DEAD})
"""States that nothing leaves."""

HELD = frozenset({_S.RUNNING, _S.CANCELLING})
"""States in which a worker holds a claim with a lease."""

LOSSES_MAX = 3
"""A job whose workers were lost this many times is dead."""


def after(event: JobEvent, state: JobState) -> JobState | None:
    """The state that follows, or None when the event is refused in this state."""
    return TRANSITIONS[event].get(state)
