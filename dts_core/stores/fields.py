"""What the stores keep of a job in the same shape: instants as microseconds, what never changes as one packed value."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Final

import msgspec

from dts_core.errors import Conflict, InvalidInput
from dts_core.model import Job, JobError, Record, Sealed, Signature, Transition, Trial
from dts_core.states import JobState
from dts_core.stores.limits import IDS_MAX

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
STATES: Final = {state.value: state for state in JobState}
REASON_MAX: Final = 300
EPOCH_MAX: Final = 1 << 62
"""An epoch that a worker names may be any number; from here on it is none of ours, and no store could hold it."""


@lru_cache(maxsize=64)  # most of a batch share their instants, all of which are in UTC
def micros(at: datetime) -> int:
    """Microseconds since 1970."""
    return round(at.timestamp() * 1_000_000)


def instant(value: int) -> datetime:
    """The aware instant of microseconds since 1970."""
    return EPOCH + timedelta(microseconds=value)


@lru_cache(maxsize=64)
def maybe_micros(at: datetime | None) -> int | None:
    """As `micros`; None stays None."""
    return None if at is None else round(at.timestamp() * 1_000_000)


@lru_cache(maxsize=64)
def maybe_instant(value: int | None) -> datetime | None:
    """As `instant`; None stays None."""
    return None if value is None else EPOCH + timedelta(microseconds=value)


class Fixed(Record, frozen=True, array_like=True):
    """The part of a job that no transition changes."""

    version: str
    is_async: bool
    args: bytes
    kwargs: bytes
    queue: str
    priority: int
    timeout_seconds: float
    grace_seconds: float
    retries: int
    backoff_seconds: float
    expires_at: datetime | None
    created_at: datetime
    again_of: str
    request_id: str
    trial: Trial | None = None
    sealed: Sealed | None = None
    envelope: Signature | None = None


_QUEUED: Final = JobState.QUEUED
_encoder = msgspec.msgpack.Encoder()
_fixed = msgspec.msgpack.Decoder(Fixed)
_error = msgspec.msgpack.Decoder(JobError)


def fixed_of(job: Job) -> bytes:
    """What no transition changes, packed."""
    return _encoder.encode(
        Fixed(
            job.version,
            job.is_async,
            job.args,
            job.kwargs,
            job.queue,
            job.priority,
            job.timeout_seconds,
            job.grace_seconds,
            job.retries,
            job.backoff_seconds,
            job.expires_at,
            job.created_at,
            job.again_of,
            job.request_id,
            job.trial,
            job.sealed,
            job.envelope,
        )
    )


def job_from(fixed: bytes, **fields: Any) -> Job:
    """The job of its packed part and everything else."""
    known = _fixed.decode(fixed)
    return Job(
        version=known.version,
        is_async=known.is_async,
        args=known.args,
        kwargs=known.kwargs,
        queue=known.queue,
        priority=known.priority,
        timeout_seconds=known.timeout_seconds,
        grace_seconds=known.grace_seconds,
        retries=known.retries,
        backoff_seconds=known.backoff_seconds,
        expires_at=known.expires_at,
        created_at=known.created_at,
        again_of=known.again_of,
        request_id=known.request_id,
        trial=known.trial,
        sealed=known.sealed,
        envelope=known.envelope,
        **fields,
    )


def queued_at(job: Job, state: JobState) -> datetime | None:
    """When a job that is inserted in `state` was queued."""
    if job.queued_at is None and state is _QUEUED:
        return job.created_at
    return job.queued_at


def pack_error(error: JobError | None) -> bytes | None:
    """An error as stored."""
    return None if error is None else _encoder.encode(error)


def unpack_error(error: bytes | None) -> JobError | None:
    """The error that was stored."""
    return None if error is None else _error.decode(error)


def why(transition: Transition) -> str:
    """The reason, or the error in one line: so that a search for an error's text looks at no packed value."""
    if transition.reason or transition.error is None:
        return transition.reason
    error = transition.error
    line = error.message.split("\n", 1)[0]
    return (f"{error.type}: {line}" if line else error.type)[:REASON_MAX]


def key_conflict() -> Conflict:
    """What a caller hears whose idempotency key stands for another request."""
    return Conflict(
        "this idempotency key was used before for another request.",
        advice="Take a new key for a new request.",
    )


def known_seqs(seqs: Sequence[int]) -> list[int]:
    """Each number once, in order, without those that no store gives.

    Raises:
        InvalidInput: More than one bulk read takes.
    """
    if len(seqs) > IDS_MAX:
        raise InvalidInput(f"{len(seqs)} dead letters are more than {IDS_MAX}.")
    return sorted({seq for seq in seqs if 0 < seq < 1 << 62})


def check_ids(job_ids: Sequence[str]) -> None:
    """Whether one bulk read takes so many.

    Raises:
        InvalidInput: It does not.
    """
    if len(job_ids) > IDS_MAX:
        raise InvalidInput(f"{len(job_ids)} ids are more than {IDS_MAX}.")
