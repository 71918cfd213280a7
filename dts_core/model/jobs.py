"""Jobs: the document, its messages, its transitions, what is asked of many."""

from datetime import datetime
from typing import Generic, TypeVar

import msgspec

from dts_core.model.admin import Signature
from dts_core.model.base import Document, Record
from dts_core.states import JobEvent, JobState

ARGS_MAX = 1 << 20
"""Largest args plus kwargs of a job, in bytes of JSON.

As large as a message may be, and still fits into one with the rest of the job: JSON is text in UTF-8, which uses so few
of the 256 bytes that even noise deflates by 3 %.
"""
RESULT_MAX = 16 << 20
"""Largest result, in bytes of JSON, unless a setting says otherwise."""
RESULT_CEILING = 64 << 20
"""No setting allows a larger result, in bytes of JSON."""
INLINE_MAX = 256 << 10
"""Largest result that travels in its message, in bytes of JSON; a larger one goes ahead of it in chunks."""
_TOLD = frozenset({JobState.DONE, JobState.FAILED, JobState.CANCELLED})
"""States that a worker's report leads to. A dead job's worker said nothing: its host is all that is known."""
T = TypeVar("T")


class JobError(Document, frozen=True, kw_only=True):
    """Why an attempt failed. All text is untrusted."""

    type: str
    """Class name of the exception, or one of: Timeout, Cancelled, WorkerLost, ResultTooLarge, ResultDamaged, NotJson,
    LoadFailed, ChildDied (the process that ran it ended), Blocked (it kept an event loop from running)."""
    message: str = ""
    traceback: str = ""


class Attempt(Document, frozen=True, kw_only=True):
    """One claim of a job that ended without ending the job, newest last."""

    epoch: int
    host: str = ""
    worker: str = ""
    started_at: datetime | None = None
    ended_at: datetime | None = None
    outcome: str = ""
    """retry | lose | give_back"""
    error: JobError | None = None


class Trial(Record, frozen=True):
    """A version that some hosts run in place of the one that a job names: a canary."""

    version: str
    """sha256 of its source, in hex."""
    is_async: bool
    hosts: list[str]


class Sealed(Document, frozen=True, kw_only=True):
    """The secret arguments of a call, sealed to the workers' key; `dts_core.sealed` makes and opens it."""

    key: str
    """Id of the key: the first 16 hex digits of the public half's sha256."""
    places: dict[str, str]
    """`args/INDEX` or `kwargs/NAME`, where `***` stands -> the parameter."""
    box: bytes


class Job(Document, frozen=True, kw_only=True):
    """One call of a function, with its options and where it stands."""

    id: str
    function: str
    """namespace/name"""
    version: str
    """Content hash of the function's source chosen at submission, sha256 in hex."""
    is_async: bool = False
    """Whether `main` is a coroutine function: those share a child's event loop."""
    args: bytes = b"[]"
    kwargs: bytes = b"{}"
    sealed: Sealed | None = None
    """What `***` stands for in args and kwargs; None: nothing is secret."""
    envelope: Signature | None = None
    """That the server accepted it as it stands; None where jobs are not signed."""
    queue: str = "default"
    """`default`, another name, `host.<host>`, or `dts`; the broker's queue is `jobs.<queue>`."""
    priority: int = 0
    """0..9, higher first."""
    submitter: str = ""
    timeout_seconds: float = 0.0
    """Longest run of one attempt; 0 = no limit."""
    grace_seconds: float = 5.0
    """From the cancel flag to SIGTERM, and again from SIGTERM to SIGKILL."""
    retries: int = 0
    """How many failed attempts are tried again."""
    backoff_seconds: float = 1.0
    """Wait before the first retry; doubles each time, with jitter, at most an hour."""
    expires_at: datetime | None = None
    """Not started by then: expired."""
    created_at: datetime
    again_of: str = ""
    """Id of the job that this one runs again."""
    request_id: str = ""

    state: JobState = JobState.PENDING
    epoch: int = 0
    """Counts granted claims; fences."""
    attempt: int = 0
    """Counts what is charged to the retry limit."""
    losses: int = 0
    host: str = ""
    worker: str = ""
    queued_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    due_at: datetime | None = None
    """For scheduled and retrying: when it is published."""
    lease_until: datetime | None = None
    """For running and cancelling, by the control side's clock."""
    progress: float = 0.0
    progress_text: str = ""
    cancelled_by: str = ""
    reason: str = ""
    """In words, why it stands where it stands."""
    error: JobError | None = None
    result: bytes | None = None
    """JSON; None until done, and in lists."""
    result_size: int = 0
    changed: int = 0
    """Position of its last change in the store; grows over all jobs."""
    trial: Trial | None = None
    """None: `version` runs wherever it runs."""
    ran: str = ""
    """Of a job on trial that is over: the version that its worker says it ran; empty: it said none, so `version`."""

    @property
    def running_version(self) -> str:
        """The version that ran, as its worker said; until that, the one that its host is to run."""
        if self.trial is not None and self.state in _TOLD:
            return self.trial.version if self.ran == self.trial.version else self.version
        return version_on(self.host, self.version, self.trial)


class JobMessage(Record, frozen=True):
    """What a worker needs to run a job; the body in `jobs.<queue>`."""

    id: str
    function: str
    version: str
    is_async: bool
    args: bytes
    kwargs: bytes
    attempt: int
    """The attempt that this run is, from 1."""
    timeout_seconds: float = 0.0
    grace_seconds: float = 5.0
    submitter: str = ""
    retries: int = 0
    result_max: int = RESULT_MAX
    trial: Trial | None = None
    sealed: Sealed | None = None
    """What `***` stands for in args and kwargs."""
    envelope: Signature | None = None
    """That the server accepted the job as it stands, for this queue; `dts_core.signing` makes and checks it."""

    def on(self, host: str) -> "JobMessage":
        """The job as this host runs it: of the version on trial, where it is one of its hosts."""
        trial = self.trial
        if trial is None or host not in trial.hosts:
            return self
        return msgspec.structs.replace(self, version=trial.version, is_async=trial.is_async)


def version_on(host: str, version: str, trial: Trial | None) -> str:
    """The version that a host runs of a job that names `version`."""
    return trial.version if trial is not None and host in trial.hosts else version


class JobResult(Record, frozen=True):
    """How one attempt ended, sent by its worker. `event` is finish, fail, confirm_cancel or give_back."""

    id: str
    epoch: int
    event: JobEvent
    result: bytes | None = None
    error: JobError | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    retry: bool = True
    """Whether a failure may be tried again (a result that is too large or not JSON is not)."""
    blob: str = ""
    """sha256 in hex of the result's JSON, when it went ahead in chunks; `result` is None then."""
    size: int = 0
    """Of that result, in bytes."""
    version: str = ""
    """The version that ran of a job that came with a trial; empty: the one that the job named."""


class JobResults(Record, frozen=True):
    """The body in `results`: up to 64 results, coalesced."""

    host: str
    worker: str
    results: list[JobResult]


class Transition(msgspec.Struct, frozen=True, kw_only=True):
    """One guarded write: allowed only from a state of TRANSITIONS[event], and for FENCED events only at `epoch`."""

    id: str
    event: JobEvent
    epoch: int = 0
    at: datetime
    host: str = ""
    """For CLAIM: who gets it. For FENCED events: who must hold it; empty: not looked at. So with `worker`."""
    worker: str = ""
    lease_until: datetime | None = None
    due_at: datetime | None = None
    result: bytes | None = None
    blob: str = ""
    """For FINISH: sha256 in hex of a result that was kept in chunks before; `result` is None then."""
    error: JobError | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    by: str = ""
    """Who, for a cancel."""
    reason: str = ""
    losses: int = 0
    """For BURY: only of a job that was lost so often."""
    charge: bool = True
    """For CLAIM: attempt + 1. False when the job comes back uncharged."""
    ran: str = ""
    """For FINISH, FAIL and CONFIRM_CANCEL: the version that its worker says it ran."""


class Outcome(msgspec.Struct, frozen=True):
    """What a transition did.

    `applied` False: nothing changed; `state` and `epoch` are what stands (None: no such job).
    """

    id: str
    applied: bool
    state: JobState | None
    epoch: int = 0
    attempt: int = 0
    losses: int = 0
    lease_until: datetime | None = None
    position: int = 0
    """The job's `changed` position when applied."""
    detail: str = ""
    """In words, why it was refused although state and epoch allow it: its result is not there."""


class JobQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which jobs; empty fields do not filter. Sorted by time of creation."""

    state: tuple[JobState, ...] = ()
    function: str = ""
    namespace: str = ""
    host: str = ""
    submitter: str = ""
    text: str = ""
    """Substring of id, function, error or reason, case-insensitive; only the newest 100,000 jobs are searched."""
    since: datetime | None = None
    until: datetime | None = None
    newest_first: bool = True
    cursor: str = ""
    limit: int = 50
    """1..500"""
    visible_namespaces: tuple[str, ...] | None = None
    """None: all. Otherwise only these, or the submitter's own (`visible_to`)."""
    visible_to: str = ""


class Page(msgspec.Struct, Generic[T], frozen=True):
    """One page of a list; `next` is the cursor of the following page, empty at the end.

    A page may be short yet have a next.
    """

    items: list[T]
    next: str = ""


class JobCounts(Document, frozen=True, kw_only=True):
    """The dashboard's figures."""

    states: dict[str, int]
    """state -> jobs in it"""
    done_last_minute: int = 0
    failed_last_minute: int = 0
    done_last_hour: int = 0
    failed_last_hour: int = 0
