"""Jobs as the API takes and shows them."""

from datetime import datetime
from typing import Any

import msgspec

from dts_core.model import Attempt, Job, JobError
from dts_core.views.base import View


class JobView(View, frozen=True):
    """One job as the API shows it. `args`, `kwargs`, `result` are JSON values; `result` is null in lists."""

    id: str
    function: str
    version: str
    """The one that runs, or ran; on hosts of a canary that is the canary."""
    state: str
    submitter: str
    created_at: datetime
    is_async: bool = False
    args: Any = []
    kwargs: Any = {}
    queue: str = "default"
    priority: int = 0
    timeout_seconds: float = 0.0
    grace_seconds: float = 5.0
    retries: int = 0
    backoff_seconds: float = 1.0
    expires_at: datetime | None = None
    again_of: str = ""
    epoch: int = 0
    attempt: int = 0
    losses: int = 0
    host: str = ""
    worker: str = ""
    queued_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    due_at: datetime | None = None
    progress: float = 0.0
    progress_text: str = ""
    cancelled_by: str = ""
    reason: str = ""
    error: JobError | None = None
    result: Any = None
    result_size: int = 0
    changed: int = 0


def job_view(job: Job, *, with_result: bool = True) -> JobView:
    """A job's view; args, kwargs and result go out as the very bytes that are stored."""
    fields = {name: getattr(job, name) for name in _SHARED}
    result = msgspec.Raw(job.result) if with_result and job.result is not None else None
    return JobView(
        **fields,
        version=job.running_version,
        state=job.state.value,
        args=msgspec.Raw(job.args),
        kwargs=msgspec.Raw(job.kwargs),
        result=result,
    )


_SHARED = [
    name
    for name in JobView.__struct_fields__
    if name not in ("version", "state", "args", "kwargs", "result")
]


class JobPage(View, frozen=True):
    """GET /jobs."""

    items: list[JobView]
    next: str = ""


class Accepted(View, frozen=True):
    """POST /jobs with `jobs`: their ids, in order."""

    ids: list[str]


class CancelItem(View, frozen=True):
    """What a cancel did to one job: the state it stands in now, and whether that was this call's doing."""

    id: str
    state: str
    applied: bool
    detail: str = ""


class CancelAnswer(View, frozen=True):
    """POST /jobs/cancel."""

    items: list[CancelItem]


class SubmitRequest(View, frozen=True, forbid_unknown_fields=True):
    """One submission. `start_at` or `delay_seconds` make it scheduled; `host` sends it to one host's own queue."""

    function: str
    args: msgspec.Raw = msgspec.Raw(b"[]")
    kwargs: msgspec.Raw = msgspec.Raw(b"{}")
    version: str = ""
    """Empty: the function's default."""
    queue: str = ""
    host: str = ""
    priority: int = 0
    timeout_seconds: float = 0.0
    grace_seconds: float = 5.0
    retries: int = 0
    backoff_seconds: float = 1.0
    delay_seconds: float = 0.0
    start_at: datetime | None = None
    expires_seconds: float = 0.0


class AttemptList(View, frozen=True):
    """GET /jobs/{id}/attempts."""

    items: list[Attempt]
