"""Jobs: submit, look, wait, cancel."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, TypedDict, Unpack

from dts_core.clients.describe import Conversation, Request, as_text, get, segment, write
from dts_core.model import JobCounts
from dts_core.names import new_id
from dts_core.states import FINAL, JobState
from dts_core.views import (
    Accepted,
    AttemptList,
    CancelAnswer,
    JobPage,
    JobView,
)

LONG_POLL_SECONDS = 30.0
"""How long one request of a wait stays open."""


class SubmitOptions(TypedDict, total=False):
    """What a submission may say beside its function and arguments; what is left out is the server's default."""

    version: str
    """Content hash of the version to run; otherwise the function's default one."""
    queue: str
    """Another queue than `default`."""
    host: str
    """Only on this host."""
    priority: int
    """0..9, higher first."""
    timeout_seconds: float
    """Longest run of one attempt; 0 for none."""
    grace_seconds: float
    """From the cancel flag to SIGTERM, and on to SIGKILL."""
    retries: int
    """How many failed attempts are tried again."""
    backoff_seconds: float
    """Wait before the first retry; doubles each time."""
    delay_seconds: float
    """Start at the earliest in this time."""
    start_at: datetime
    """Start at the earliest then."""
    expires_seconds: float
    """Not started within this time: expired."""


def submission(
    function: str,
    *,
    args: Sequence[Any] = (),
    kwargs: Mapping[str, Any] | None = None,
    **options: Unpack[SubmitOptions],
) -> dict[str, Any]:
    """One submission as the API takes it; empty options are left out.

    Args:
        function: namespace/name.
        args: Positional arguments, JSON values.
        kwargs: Keyword arguments, JSON values.
        options: As SubmitOptions says.
    """
    given = {name: value for name, value in options.items() if value not in ("", None)}
    return {"function": function, "args": list(args), "kwargs": dict(kwargs or {}), **given}


def submit(
    function: str,
    *,
    args: Sequence[Any] = (),
    kwargs: Mapping[str, Any] | None = None,
    wait: float = 0.0,
    key: str = "",
    **options: Unpack[SubmitOptions],
) -> Request[JobView]:
    """Submit one job, as `submission` describes it; `wait` (seconds, at most 60) answers when it has ended.

    `key` makes the submission idempotent across restarts of the caller; within one call it always is.
    """
    described = submission(function, args=args, kwargs=kwargs, **options)
    return submit_described(described, wait=wait, key=key)


def submit_described(
    described: Mapping[str, Any], *, wait: float = 0.0, key: str = ""
) -> Request[JobView]:
    """Submit one job as `submission` describes it; with `wait` (seconds, at most 60) answer when it has ended."""
    query = {"wait": as_text(wait)} if wait else {}
    return write(
        "POST",
        "/jobs",
        JobView,
        described,
        key=key or new_id(),
        query=query,
        timeout_seconds=30.0 + wait,
    )


def submit_many(jobs: Sequence[Mapping[str, Any]], *, key: str = "") -> Request[Accepted]:
    """Submit 1..1000 jobs, each as `submission` describes it, all or none; their ids in order."""
    return write(
        "POST", "/jobs", Accepted, {"jobs": jobs}, key=key or new_id(), timeout_seconds=60.0
    )


def job(job_id: str, *, wait: float = 0.0) -> Request[JobView]:
    """One job with its result; with `wait` (seconds, at most 60) answer when it has ended."""
    return get(f"/jobs/{segment(job_id)}", JobView, {"wait": wait}, timeout_seconds=15.0 + wait)


def wait_for(job_id: str, *, timeout_seconds: float | None = None) -> Conversation[JobView]:
    """Wait until the job has ended, by long polls; after `timeout_seconds` answer with where it stands."""
    left = timeout_seconds
    while True:
        wait = LONG_POLL_SECONDS if left is None else min(LONG_POLL_SECONDS, left)
        found: JobView = yield job(job_id, wait=wait)
        if left is not None:
            left -= wait
        if JobState(found.state) in FINAL or (left is not None and left <= 0):
            return found


def jobs(
    *,
    state: str | Sequence[str] = "",
    function: str = "",
    namespace: str = "",
    host: str = "",
    submitter: str = "",
    text: str = "",
    since: datetime | None = None,
    until: datetime | None = None,
    order: str = "",
    cursor: str = "",
    limit: int = 50,
) -> Request[JobPage]:
    """One page of 1..500 jobs, newest first (`order="oldest"` turns it); empty filters do not filter."""
    query = {
        "state": state,
        "function": function,
        "namespace": namespace,
        "host": host,
        "submitter": submitter,
        "text": text,
        "since": since,
        "until": until,
        "order": order,
        "cursor": cursor,
        "limit": limit,
    }
    return get("/jobs", JobPage, query)


def attempts(job_id: str) -> Request[AttemptList]:
    """Attempts that ended without ending the job."""
    return get(f"/jobs/{segment(job_id)}/attempts", AttemptList)


def counts() -> Request[JobCounts]:
    """Jobs by state, and what ended lately."""
    return get("/jobs/counts", JobCounts)


def cancel(job_ids: Sequence[str]) -> Request[CancelAnswer]:
    """Ask to stop 1..1000 jobs; what was done to each."""
    return write("POST", "/jobs/cancel", CancelAnswer, {"ids": list(job_ids)})


def again(job_id: str, *, version: str = "same") -> Request[JobView]:
    """Run a job again with the `same` version of its function, or with the `default` one of now."""
    return write(
        "POST", f"/jobs/{segment(job_id)}/again", JobView, {"version": version}, key=new_id()
    )
