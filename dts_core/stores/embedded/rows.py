"""Jobs as rows: what never changes is one packed value, what changes is a column."""

from typing import Any, Final

from dts_core.model import Job
from dts_core.states import JobState
from dts_core.stores.fields import (
    STATES,
    fixed_of,
    job_from,
    maybe_instant,
    maybe_micros,
    pack_error,
    queued_at,
    unpack_error,
)

COLUMNS: Final = (
    "seq, id, state, epoch, function, submitter, host, worker, attempt, losses, queued, started, finished, due, lease, "
    "changed, progress, progress_text, cancelled_by, reason, error, result_size, ran, doc"
)
"""What `job_of` reads, in its order; a single job's result comes behind."""

INSERT: Final = (
    "INSERT INTO jobs(seq, id, state, epoch, function, namespace, submitter, host, worker, attempt, losses, "
    "created, queued, started, finished, due, lease, expires, changed, reason, error, result_size, ran, doc, result) "
    "VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?) "
    "ON CONFLICT(id) DO NOTHING"
)


def insertion(job: Job, seq: int, created: int, changed: int, state: JobState) -> tuple[Any, ...]:
    """The parameters of INSERT."""
    return (
        seq,
        job.id,
        str(state),  # as .value, which takes ten times as long in Python 3.11
        job.epoch,
        job.function,
        job.function.partition("/")[0],
        job.submitter,
        job.host,
        job.worker,
        job.attempt,
        job.losses,
        created,
        maybe_micros(queued_at(job, state)),
        maybe_micros(job.started_at),
        maybe_micros(job.finished_at),
        maybe_micros(job.due_at),
        maybe_micros(job.lease_until),
        maybe_micros(job.expires_at),
        changed,
        job.reason,
        pack_error(job.error),
        job.result_size,
        job.ran,
        fixed_of(job),
        job.result,
    )


def job_of(row: tuple[Any, ...]) -> Job:
    """The job of a row of COLUMNS, with its result when one more column follows."""
    (_, job_id, state, epoch, function, submitter, host, worker, attempt, losses, queued, started, finished, due, lease,
     changed, progress, progress_text, cancelled_by, reason, error, result_size, ran, doc, *rest) = row  # fmt: skip
    return job_from(
        doc,
        id=job_id,
        function=function,
        submitter=submitter,
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
        error=unpack_error(error),
        result=rest[0] if rest else None,
        result_size=result_size,
        ran=ran,
        changed=changed,
    )
