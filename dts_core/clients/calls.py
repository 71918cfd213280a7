"""Every call of the HTTP API, described once; `client.py` makes them coroutines, or plain methods, without a twin."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, TypedDict, Unpack, cast

import msgspec

from dts_core.clients.describe import Conversation, Request, as_text, get, segment, write
from dts_core.model import Host, JobCounts
from dts_core.names import new_id, split_function
from dts_core.states import FINAL, JobState
from dts_core.views import (
    Accepted,
    AlarmList,
    AttemptList,
    CancelAnswer,
    DeadLetterDetail,
    DeadLetterList,
    DeadLettersDone,
    DrainChange,
    FunctionPage,
    FunctionView,
    HostList,
    JobPage,
    JobView,
    LoginAnswer,
    LogPage,
    OperationList,
    QueueChange,
    QueueList,
    SampleList,
    SessionView,
    SourceView,
    StatusView,
    Written,
)

LONG_POLL_SECONDS = 30.0
"""How long one request of a wait stays open."""


def function_path(function: str) -> str:
    """`/admin/functions/ns/name`. Raises InvalidInput when it is not namespace/name."""
    namespace, name = split_function(function)
    return f"/admin/functions/{namespace}/{name}"


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


def login(user: str, secret: str, *, hours: float = 0.0) -> Request[LoginAnswer]:
    """Exchange a secret for a token that counts `hours` (0: the server's setting)."""
    return write("POST", "/session", LoginAnswer, {"user": user, "secret": secret, "hours": hours})


def logout() -> Request[None]:
    """End the token of this client, everywhere."""
    return write("DELETE", "/session", type(None))


def session() -> Request[SessionView]:
    """Who asks, and what they submitted."""
    return get("/session", SessionView)


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


def hosts() -> Request[HostList]:
    """Every host with its last heartbeat."""
    return get("/hosts", HostList)


def host(name: str) -> Request[Host]:
    """One host."""
    return get(f"/hosts/{segment(name)}", Host)


def samples(host_name: str, *, seconds: int = 300, by_minute: bool = False) -> Request[SampleList]:
    """A host's history over the last `seconds`."""
    return get(
        f"/hosts/{segment(host_name)}/samples",
        SampleList,
        {"seconds": seconds, "by_minute": by_minute or ""},
    )


def alarms(*, open_only: bool = False) -> Request[AlarmList]:
    """Alarms, open ones first."""
    return get("/alarms", AlarmList, {"open": open_only or ""})


def logs(
    *,
    host: str = "",
    source: str = "",
    job: str = "",
    function: str = "",
    level: int = 0,
    text: str = "",
    after: int = 0,
    before: int = 0,
    limit: int = 200,
) -> Request[LogPage]:
    """The newest 1..2000 records that match, oldest first; `after` a position only later ones."""
    query = {
        "host": host,
        "source": source,
        "job": job,
        "function": function,
        "level": level,
        "text": text,
        "after": after,
        "before": before,
        "limit": limit,
    }
    return get("/logs", LogPage, query)


def queues() -> Request[QueueList]:
    """Every queue with its figures."""
    return get("/queues", QueueList)


def pause_queue(name: str) -> Request[QueueChange]:
    """Have a queue of jobs hand nothing out until it is resumed."""
    return write("POST", f"/queues/{segment(name)}/pause", QueueChange, key=new_id())


def resume_queue(name: str) -> Request[QueueChange]:
    """Have it hand out again."""
    return write("POST", f"/queues/{segment(name)}/resume", QueueChange, key=new_id())


def dead_letters(*, queue: str = "", before: int = 0, limit: int = 50) -> Request[DeadLetterList]:
    """1..500 messages that were given up, newest first; `before` the last answer's `next` pages on."""
    query = {"queue": queue, "before": before, "limit": limit}
    return get("/queues/dead-letters", DeadLetterList, query)


def dead_letter(seq: int) -> Request[DeadLetterDetail]:
    """One of them with its body as text."""
    return get(f"/queues/dead-letters/{seq}", DeadLetterDetail)


def send_dead_again(seqs: Sequence[int]) -> Request[DeadLettersDone]:
    """Put 1..500 dead letters back into the queues they came from; how many there were."""
    body = {"seqs": list(seqs)}
    return write("POST", "/queues/dead-letters/send-again", DeadLettersDone, body)


def discard_dead(*, seqs: Sequence[int] = (), queue: str = "") -> Request[DeadLettersDone]:
    """Throw 1..500 dead letters away for good, or all that came from a queue; while `more`, ask again."""
    body: dict[str, Any] = {"queue": queue} if queue else {"seqs": list(seqs)}
    return write(
        "POST", "/queues/dead-letters/discard", DeadLettersDone, body, timeout_seconds=60.0
    )


def drain_host(name: str) -> Request[DrainChange]:
    """Have a host's workers take nothing new and finish what runs, until `undrain_host`."""
    return write("POST", f"/hosts/{segment(name)}/drain", DrainChange, key=new_id())


def undrain_host(name: str) -> Request[DrainChange]:
    """Have them take jobs again."""
    return write("POST", f"/hosts/{segment(name)}/undrain", DrainChange, key=new_id())


def status() -> Request[StatusView]:
    """The whole dashboard in one answer."""
    return get("/status", StatusView)


def list_functions(
    *, namespace: str = "", prefix: str = "", cursor: str = "", limit: int = 500
) -> Request[FunctionPage]:
    """One page of functions by id."""
    query = {"namespace": namespace, "prefix": prefix, "cursor": cursor, "limit": limit}
    return get("/admin/functions", FunctionPage, query)


def get_function(function: str) -> Request[FunctionView]:
    """One function with its versions."""
    return get(function_path(function), FunctionView)


def function_source(function: str, *, version: str = "") -> Request[SourceView]:
    """Source of a version; the default one when none is named."""
    return get(f"{function_path(function)}/source", SourceView, {"version": version})


def add_function(function: str, source: str, *, note: str = "") -> Request[Written]:
    """Create a function from its source."""
    return write(
        "POST", "/admin/functions", Written, {"_id": function, "source": source, "note": note}
    )


def update_function(
    function: str,
    *,
    revision: int,
    source: str | None = None,
    note: str = "",
    default: str | None = None,
) -> Request[Written]:
    """Give a function a new version, or choose its default one. A stale `revision` is refused (409)."""
    body: dict[str, Any] = {"revision": revision}
    if source is not None:
        body |= {"source": source, "note": note}
    if default is not None:
        body["default"] = default
    return write("PATCH", function_path(function), Written, body)


def delete_function(function: str, *, revision: int = 0) -> Request[Written]:
    """Remove a function; its jobs stay."""
    query = {"revision": str(revision)} if revision else {}
    return write("DELETE", function_path(function), Written, query=query)


class DocumentList(msgspec.Struct):
    """A list of an admin collection."""

    items: list[dict[str, Any]]
    next: str = ""


def list_documents(collection: str, /) -> Request[DocumentList]:
    """A collection's documents by id."""
    return get(f"/admin/{collection}", DocumentList)


def get_document(collection: str, /, doc_id: str) -> Request[dict[str, Any]]:
    """One document."""
    return cast(Request[dict[str, Any]], get(f"/admin/{collection}/{segment(doc_id)}", dict))


def add_document(collection: str, /, doc_id: str, **fields: Any) -> Request[Written]:
    """Create a document under an id of one's own."""
    return write("POST", f"/admin/{collection}", Written, {"_id": doc_id, **fields})


def update_document(collection: str, /, doc_id: str, **fields: Any) -> Request[Written]:
    """Change some fields."""
    return write("PATCH", f"/admin/{collection}/{segment(doc_id)}", Written, fields)


def delete_document(collection: str, /, doc_id: str) -> Request[Written]:
    """Remove a document."""
    return write("DELETE", f"/admin/{collection}/{segment(doc_id)}", Written)


def operations(
    *, collection: str = "", doc_id: str = "", before: int = 0, limit: int = 50
) -> Request[OperationList]:
    """The audit, newest first."""
    query = {"collection": collection, "doc_id": doc_id, "before": before, "limit": limit}
    return get("/admin/operations", OperationList, query)
