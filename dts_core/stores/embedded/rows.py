"""Jobs as rows: what never changes is one packed value, what changes is a column."""

from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec

from dts_core.model import Job, JobError, Record
from dts_core.states import JobState

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
STATES: Final = {state.value: state for state in JobState}


def micros(at: datetime) -> int:
    """Microseconds since 1970."""
    return round(at.timestamp() * 1_000_000)


def instant(value: int) -> datetime:
    """The aware instant of microseconds since 1970."""
    return EPOCH + timedelta(microseconds=value)


def maybe_micros(at: datetime | None) -> int | None:
    """As `micros`; None stays None."""
    return None if at is None else round(at.timestamp() * 1_000_000)


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


_encoder = msgspec.msgpack.Encoder()
_fixed = msgspec.msgpack.Decoder(Fixed)
_error = msgspec.msgpack.Decoder(JobError)

COLUMNS: Final = (
    "seq, id, state, epoch, function, submitter, host, worker, attempt, losses, queued, started, finished, due, lease, "
    "changed, progress, progress_text, cancelled_by, reason, error, result_size, doc"
)
"""What `job_of` reads, in its order; a single job's result comes behind."""

INSERT: Final = (
    "INSERT INTO jobs(seq, id, state, epoch, function, namespace, submitter, host, worker, attempt, losses, "
    "created, queued, started, finished, due, lease, expires, changed, reason, error, result_size, doc, result) "
    "VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?) "
    "ON CONFLICT(id) DO NOTHING"
)


def insertion(job: Job, seq: int, created: int, changed: int, state: JobState) -> tuple[Any, ...]:
    """The parameters of INSERT."""
    fixed = Fixed(
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
    )
    queued = job.queued_at
    if queued is None and state is JobState.QUEUED:
        queued = job.created_at
    return (
        seq,
        job.id,
        state.value,
        job.epoch,
        job.function,
        job.function.partition("/")[0],
        job.submitter,
        job.host,
        job.worker,
        job.attempt,
        job.losses,
        created,
        maybe_micros(queued),
        maybe_micros(job.started_at),
        maybe_micros(job.finished_at),
        maybe_micros(job.due_at),
        maybe_micros(job.lease_until),
        maybe_micros(job.expires_at),
        changed,
        job.reason,
        pack_error(job.error),
        job.result_size,
        _encoder.encode(fixed),
        job.result,
    )


def pack_error(error: JobError | None) -> bytes | None:
    """An error as stored."""
    return None if error is None else _encoder.encode(error)


def job_of(row: tuple[Any, ...]) -> Job:
    """The job of a row of COLUMNS, with its result when one more column follows."""
    (_, job_id, state, epoch, function, submitter, host, worker, attempt, losses, queued, started, finished, due, lease,
     changed, progress, progress_text, cancelled_by, reason, error, result_size, doc, *rest) = row  # fmt: skip
    fixed = _fixed.decode(doc)
    return Job(
        id=job_id,
        function=function,
        version=fixed.version,
        is_async=fixed.is_async,
        args=fixed.args,
        kwargs=fixed.kwargs,
        queue=fixed.queue,
        priority=fixed.priority,
        submitter=submitter,
        timeout_seconds=fixed.timeout_seconds,
        grace_seconds=fixed.grace_seconds,
        retries=fixed.retries,
        backoff_seconds=fixed.backoff_seconds,
        expires_at=fixed.expires_at,
        created_at=fixed.created_at,
        again_of=fixed.again_of,
        request_id=fixed.request_id,
        state=STATES[state],
        epoch=epoch,
        attempt=attempt,
        losses=losses,
        host=host,
        worker=worker,
        queued_at=maybe_instant(queued),
        started_at=maybe_instant(started),
        finished_at=maybe_instant(finished),
        due_at=maybe_instant(due),
        lease_until=maybe_instant(lease),
        progress=progress,
        progress_text=progress_text,
        cancelled_by=cancelled_by,
        reason=reason,
        error=None if error is None else _error.decode(error),
        result=rest[0] if rest else None,
        result_size=result_size,
        changed=changed,
    )
