"""What the HTTP API answers with; shared by the server and its clients. All instants are aware and in UTC."""

from datetime import datetime
from typing import Annotated, Any, Final

import msgspec

from dts_core.model import (
    Alarm,
    Attempt,
    Host,
    Job,
    JobCounts,
    JobError,
    Operation,
    Parameter,
    QueueStats,
)

SEQS_MAX: Final = 500
"""Most dead letters of one request."""
Seq = Annotated[int, msgspec.Meta(ge=1, le=1 << 62)]


class View(msgspec.Struct, frozen=True, kw_only=True):
    """Base; unknown fields of a newer server are ignored."""


class JobView(View, frozen=True):
    """One job as the API shows it. `args`, `kwargs`, `result` are JSON values; `result` is null in lists."""

    id: str
    function: str
    version: str
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
        state=job.state.value,
        args=msgspec.Raw(job.args),
        kwargs=msgspec.Raw(job.kwargs),
        result=result,
    )


_SHARED = [
    name for name in JobView.__struct_fields__ if name not in ("state", "args", "kwargs", "result")
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


class LoginRequest(View, frozen=True, forbid_unknown_fields=True):
    """POST /session."""

    user: str
    secret: str
    hours: float = 0.0
    """How long the token counts; 0: the server's setting."""


class LoginAnswer(View, frozen=True):
    """The token appears here and never again."""

    token: str
    user: str
    role: str
    expires_at: datetime


class SessionView(View, frozen=True):
    """GET /session: who asks, and their own record."""

    user: str
    role: str
    counts: dict[str, int] = {}
    recent: list[JobView] = []


class VersionView(View, frozen=True):
    """One version of a function."""

    hash: str
    author: str
    created_at: datetime
    note: str = ""
    size: int = 0
    summary: str = ""
    doc: str = ""
    is_async: bool = False
    parameters: list[Parameter] = []


class FunctionView(View, frozen=True, rename={"id": "_id"}):
    """A function with its versions, newest last."""

    id: str
    namespace: str
    name: str
    owner: str
    default: str
    versions: list[VersionView]
    created_at: datetime
    updated_at: datetime
    revision: int

    @property
    def current(self) -> VersionView:
        """The default version."""
        return next(version for version in self.versions if version.hash == self.default)


class FunctionPage(View, frozen=True):
    """GET /admin/functions."""

    items: list[FunctionView]
    next: str = ""


class SourceView(View, frozen=True):
    """Source of one version."""

    hash: str
    source: str


class Written(View, frozen=True, rename={"id": "_id"}):
    """What a write of an admin collection answers with."""

    operation: str
    """create | update | replace | delete"""
    id: str
    revision: int
    version: str = ""
    """Functions only: the version that the write made or chose."""


class IdItem(View, frozen=True, rename={"id": "_id"}):
    """One document of which only the id was asked for (`fields=_id`)."""

    id: str


class IdPage(View, frozen=True):
    """A list of ids."""

    items: list[IdItem]
    next: str = ""


class UserView(View, frozen=True, rename={"id": "_id"}):
    """A user; the secret never leaves."""

    id: str
    role: str
    disabled: bool
    created_at: datetime
    updated_at: datetime
    revision: int


class UserPage(View, frozen=True):
    """GET /admin/users."""

    items: list[UserView]
    next: str = ""


class NamespaceView(View, frozen=True, rename={"id": "_id"}):
    """A namespace with its members: user (or `*`, everybody) -> role there."""

    id: str
    description: str
    members: dict[str, str]
    created_at: datetime
    updated_at: datetime
    revision: int


class NamespacePage(View, frozen=True):
    """GET /admin/namespaces."""

    items: list[NamespaceView]
    next: str = ""


class OperationView(Operation, kw_only=True, frozen=True):
    """An operation with its position."""

    position: int = 0


class OperationList(View, frozen=True):
    """GET /admin/operations: newest first."""

    items: list[OperationView]


class QueueView(QueueStats, kw_only=True, frozen=True):
    """A queue with its rates, null while they are not known, and who paused it."""

    paused_by: str = ""
    paused_at: datetime | None = None


class QueueChange(View, frozen=True):
    """POST /queues/{name}/pause and resume: how it stands now, and whether that was this call's doing."""

    name: str
    paused: bool
    changed: bool


class DrainChange(View, frozen=True):
    """POST /hosts/{name}/drain and undrain: what is wished of the host, and whether that was this call's doing."""

    host: str
    draining: bool
    changed: bool


class PartView(View, frozen=True):
    """One part that runs, with its connections."""

    name: str
    """server, porter, broker, store, link web-1, ..."""
    state: str
    """up | away | standby | quiet"""
    words: str
    """The state in words."""
    host: str = ""
    pid: int = 0
    version: str = ""
    started_at: datetime | None = None
    seen_at: datetime | None = None


class AttemptList(View, frozen=True):
    """GET /jobs/{id}/attempts."""

    items: list[Attempt]


class DeadLetterView(View, frozen=True):
    """A message that was given up."""

    seq: int
    queue: str
    died: datetime
    reason: str
    type: str = ""
    message_id: str = ""
    size: int = 0


class DeadLetterDetail(DeadLetterView, frozen=True):
    """GET /queues/dead-letters/{seq}: everything, its body as text."""

    correlation_id: str = ""
    reply_to: str = ""
    priority: int = 0
    published: datetime | None = None
    app_id: str = ""
    content_type: str = ""
    content_encoding: str = ""
    user_id: str = ""
    headers: dict[str, str] = {}
    body: str = ""
    """JSON of what a message of ours says; otherwise its text, or its bytes in hex."""
    body_kind: str = ""
    """message | text | bytes | hidden"""
    truncated: bool = False


class DeadLetterSeqs(View, frozen=True, forbid_unknown_fields=True):
    """Which dead letters."""

    seqs: Annotated[list[Seq], msgspec.Meta(min_length=1, max_length=SEQS_MAX)]


class DeadLetterChoice(View, frozen=True, forbid_unknown_fields=True):
    """Which dead letters: by number, or all that came from one queue."""

    seqs: Annotated[list[Seq], msgspec.Meta(max_length=SEQS_MAX)] = []
    queue: Annotated[str, msgspec.Meta(max_length=300)] = ""


class DeadLettersDone(View, frozen=True):
    """How many dead letters were sent again or discarded; `more`: some are left, ask again."""

    count: int
    more: bool = False


class DeadLetterList(View, frozen=True):
    """GET /queues/dead-letters: newest first; `next` pages on as `before`, 0 at the end."""

    items: list[DeadLetterView]
    next: int = 0


class HostList(View, frozen=True):
    """GET /hosts."""

    items: list[Host]
    at: datetime


class SamplePoint(View, frozen=True):
    """One point of a host's history."""

    at: datetime
    cpu: float
    memory: float
    disk: float
    running: int
    load1: float = 0.0
    received: float = 0.0
    sent: float = 0.0


class SampleList(View, frozen=True):
    """GET /hosts/{name}/samples."""

    items: list[SamplePoint]


class LogLine(View, frozen=True):
    """One log record."""

    seq: int
    at: datetime
    host: str
    source: str
    level: int
    text: str
    job: str = ""
    function: str = ""


class LogPage(View, frozen=True):
    """GET /logs: oldest first; `position` is the newest position looked at, to follow from."""

    items: list[LogLine]
    position: int = 0


class AlarmList(View, frozen=True):
    """GET /alarms."""

    items: list[Alarm]


class QueueList(View, frozen=True):
    """GET /queues."""

    items: list[QueueView]


class StatusView(View, frozen=True):
    """GET /status: the whole dashboard in one answer."""

    version: str
    engine: str
    at: datetime
    started_at: datetime
    jobs: JobCounts
    hosts: list[Host]
    queues: list[QueueView]
    alarms: list[Alarm]
    failed: list[JobView] = []
    """The last few that failed or died."""
    components: dict[str, str] = {}
    """part of the answering server -> its state in words"""
    parts: list[PartView] = []
    """Every part there is, with broker and store"""


class Problem(View, frozen=True):
    """application/problem+json (RFC 9457)."""

    type: str = "about:blank"
    title: str = ""
    status: int = 0
    detail: str = ""
    code: str = ""
    advice: str = ""
    fields: dict[str, str] = {}
    request_id: str = ""


class StreamEvent(View, frozen=True):
    """One event of /stream. `id` resumes it; `data` is a JobView, Host, Alarm, a list of LogLine or of QueueStats."""

    topic: str
    id: str
    data: Any
