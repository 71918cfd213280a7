"""Jobs as documents: what never changes is one packed value, what changes is a field, instants are microseconds."""

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
from dts_core.stores.mongodb.driver import VERSION, Doc

WAITING: Final = frozenset(
    {JobState.SCHEDULED, JobState.PENDING, JobState.QUEUED, JobState.RETRYING}
)
"""States in which a job may still expire."""
LISTED: Final[Doc] = {"result": 0, "attempts": 0, "trail": 0, "upload": 0}
"""Projection of jobs in lists."""


def document_of(job: Job, seq: int, created: int) -> Doc:
    """A new job's document; `seq` is also its first position."""
    expires = maybe_micros(job.expires_at)
    return {
        "_id": job.id,
        "v": VERSION,
        "seq": seq,
        "changed": seq,
        "created": created,
        "state": job.state.value,
        "epoch": job.epoch,
        "function": job.function,
        "namespace": job.function.partition("/")[0],
        "submitter": job.submitter,
        "host": job.host,
        "worker": job.worker,
        "attempt": job.attempt,
        "losses": job.losses,
        "queued": maybe_micros(queued_at(job, job.state)),
        "started": maybe_micros(job.started_at),
        "finished": maybe_micros(job.finished_at),
        "due": maybe_micros(job.due_at),
        "lease": maybe_micros(job.lease_until),
        "expires": expires,
        "overdue": expires if job.state in WAITING else None,
        "owed": None,
        "progress": job.progress,
        "progress_text": job.progress_text,
        "cancelled_by": job.cancelled_by,
        "reason": job.reason,
        "error": pack_error(job.error),
        "result": job.result,
        "result_size": job.result_size,
        "ran": job.ran,
        "doc": fixed_of(job),
    }


def job_of(doc: Doc, result: bytes | None = None) -> Job:
    """The job of a document; fields that it does not know are a newer version's."""
    get: Any = doc.get
    return job_from(
        doc["doc"],
        id=doc["_id"],
        function=doc["function"],
        submitter=doc["submitter"],
        state=STATES[doc["state"]],
        epoch=doc["epoch"],
        attempt=doc["attempt"],
        losses=doc["losses"],
        host=doc["host"],
        worker=doc["worker"],
        queued_at=maybe_instant(get("queued")),
        started_at=maybe_instant(get("started")),
        finished_at=maybe_instant(get("finished")),
        due_at=maybe_instant(get("due")),
        lease_until=maybe_instant(get("lease")),
        progress=doc["progress"],
        progress_text=doc["progress_text"],
        cancelled_by=doc["cancelled_by"],
        reason=doc["reason"],
        error=unpack_error(get("error")),
        result=result,
        result_size=doc["result_size"],
        ran=get("ran") or "",
        changed=doc["changed"],
    )
