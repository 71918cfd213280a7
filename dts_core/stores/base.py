"""The store's contract, written once for every engine: jobs, documents with their audit, hosts, logs, blobs.

Every write is atomic and idempotent where its arguments carry an id. No method waits for anything but the store; each
has a deadline (StoreUnavailable). Lists are bounded.
"""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple, Protocol

import msgspec

from dts_core.brokers.base import DeadLetter, Outgoing
from dts_core.model import (
    Alarm,
    Attempt,
    BlobChunk,
    Host,
    HostRun,
    HostSample,
    Job,
    JobCounts,
    JobQuery,
    LogQuery,
    LogRecord,
    Operation,
    Outcome,
    Page,
    PartState,
    Progress,
    SubmitterRecord,
    Transition,
)


class IdempotencyKey(msgspec.Struct, frozen=True):
    """A caller's key for one submission, with the digest of the request it stands for."""

    submitter: str
    key: str
    digest: bytes


class Recorded(NamedTuple):
    """An operation as it lies in the store: its bytes, and what the store says of it beside them."""

    position: int
    id: str
    collection: str
    doc_id: str
    operator: str
    at: int
    """Microseconds since 1970."""
    content: bytes
    """MessagePack."""


class JobStore(Protocol):
    """The jobs. Each change of state is one guarded write, as `states.TRANSITIONS` allows."""

    async def insert_jobs(self, jobs: Sequence[Job]) -> None:
        """Add new jobs, durable when it returns. An id that exists is left as it is."""
        ...

    async def apply(
        self, transitions: Sequence[Transition], *, durable: bool = False
    ) -> list[Outcome]:
        """Apply each transition whose guard holds, in order; one outcome each, in order.

        A refused one changes nothing. An attempt that ends without ending its job (retry, lose, give_back) is kept as
        an Attempt. Every applied one moves the job's `changed` position on. A CLAIM of a job whose `expires_at` has
        come is refused; so is, with a `detail`, a FINISH whose `blob` is not there whole. A BURY that carries an epoch
        is fenced by it. LOSE and GIVE_BACK take back the attempt that the claim charged.
        """
        ...

    async def get_job(self, job_id: str) -> Job | None:
        """The whole job with its result, or None."""
        ...

    async def get_jobs(self, job_ids: Sequence[str]) -> list[Job]:
        """Those that exist, without results, in the order of `job_ids`; at most 1,000 ids."""
        ...

    async def find_jobs(self, query: JobQuery) -> Page[Job]:
        """One page by time of creation, without results.

        Looks at a bounded number of rows: a page of a rare combination may be short, with a `next` to go on; so may
        one whose jobs have large arguments. `since` is inclusive, `until` exclusive.
        """
        ...

    async def count_jobs(self, namespaces: Sequence[str] | None = None) -> JobCounts:
        """The dashboard's figures, over all jobs or over those of these namespaces, whatever their number."""
        ...

    async def attempts(self, job_id: str) -> list[Attempt]:
        """Attempts that ended without ending the job, by epoch."""
        ...

    async def submitter_record(self, user: str) -> SubmitterRecord:
        """What this user submitted: counts by state and the last 50 ids, in constant time."""
        ...

    async def changed_jobs(self, after: int, *, limit: int = 1000) -> list[Job]:
        """Jobs whose last change has a position above `after`, by position, without results."""
        ...

    async def position(self) -> int:
        """The newest position of any job."""
        ...

    async def due_jobs(self, now: datetime, *, limit: int = 500) -> list[Job]:
        """Scheduled and retrying jobs whose `due_at` is not after `now`, earliest first."""
        ...

    async def lapsed_jobs(self, now: datetime, *, limit: int = 500) -> list[Job]:
        """Running and cancelling jobs whose lease ended strictly before `now`."""
        ...

    async def overdue_jobs(self, now: datetime, *, limit: int = 500) -> list[Job]:
        """Jobs not started whose `expires_at` is not after `now`."""
        ...

    async def pending_jobs(self, before: datetime, *, limit: int = 500) -> list[Job]:
        """Jobs whose publication was cut off before: pending ones, and queued ones that owe their message.

        A pending one counts from its creation, one that owes its message (see OutboxStore) from when it was queued.
        """
        ...

    async def next_due(self) -> datetime | None:
        """The earliest instant at which `due_jobs`, `lapsed_jobs` or `overdue_jobs` may find something, or None."""
        ...

    async def renew(self, claims: Sequence[tuple[str, int]], until: datetime) -> None:
        """Extend the lease of each (job, epoch) that is still held; the others are left alone."""
        ...

    async def held_by(self, worker: str) -> list[tuple[str, int]]:
        """(job, epoch) of every running or cancelling job that is claimed for this worker."""
        ...

    async def set_progress(self, items: Sequence[Progress]) -> list[str]:
        """Record progress of running jobs at their epoch; returns the ids that were."""
        ...

    async def add_chunk(self, chunk: BlobChunk, check: Callable[[bytes], None]) -> int:
        """Keep one chunk of the result of a live claim; in any order, the same one any number of times.

        With the last one the whole is proved by its hash and by `check`, which is called in another thread and raises a
        DtsError when the content is refused. Only then, and durably, may a FINISH of this claim refer to it; without
        one it goes with its claim.

        Returns:
            Bytes from the start that are kept without a gap; `chunk.total` once the whole is proved.

        Raises:
            Conflict: The claim is over; nothing is kept.
            InvalidInput: No piece of such a whole; nothing is kept.
            CodecError: The whole is not what its hash says; nothing of it is kept.
            DtsError: What `check` raised; nothing of it is kept.
        """
        ...

    async def drop_uploads(self, before: datetime) -> int:
        """Remove some chunks of results that nothing refers to and that got no further since; how many results.

        A proved one stays as long as its claim lives.
        """
        ...

    async def forget_jobs(self, before: datetime, *, limit: int = 5000) -> int:
        """Remove finished jobs (with attempts and results) that ended before; returns how many."""
        ...


class Intake(Protocol):
    """Where a record and its message become durable together."""

    async def accept(
        self,
        jobs: Sequence[Job],
        messages: Sequence[Outgoing],
        *,
        key: IdempotencyKey | None = None,
    ) -> list[str]:
        """Store the jobs and publish their messages; durable when it returns. `messages` may be fewer (scheduled jobs).

        A job whose message (by message_id) is given stands `queued` when it returns; the others keep their state.

        Returns:
            The accepted jobs' ids; when `key` was used before with the same digest, the ids accepted then, and nothing
            is written.

        Raises:
            Conflict: `key` was used before for another request.
        """
        ...

    async def invite(
        self, transitions: Sequence[Transition], messages: Sequence[Outgoing]
    ) -> list[Outcome]:
        """Apply transitions and publish messages[i] where transitions[i] led to `queued`; durable."""
        ...


class OutboxStore(JobStore, Protocol):
    """What an intake needs of a store whose broker keeps messages elsewhere: to know which ones are still owed."""

    async def accept_jobs(
        self, jobs: Sequence[Job], key: IdempotencyKey | None = None
    ) -> list[str] | None:
        """Add new jobs together with the key that they are accepted under, durable; None.

        When the key was used before with the same digest: the ids accepted then, each of which is kept by now.

        Raises:
            Conflict: `key` was used before for another request; nothing is kept.
        """
        ...

    async def mark_published(self, jobs: Sequence[Job], at: datetime) -> None:
        """The messages of jobs accepted as `pending` are confirmed: as PUBLISH `at` of each; nobody needs outcomes.

        One that is not pending any more is left alone.
        """
        ...

    async def apply_owing(self, transitions: Sequence[Transition]) -> list[Outcome]:
        """As `apply`, durable; each job that is led to `queued` owes its message from `at` on, in the same write."""
        ...

    async def settle_jobs(self, invited: Sequence[tuple[str, int]]) -> None:
        """Messages of (job, epoch) are confirmed: these jobs owe none, unless their epoch is another by now.

        Whoever queued a job anew after a later claim owes a message of their own.
        """
        ...


class DocumentStore(Protocol):
    """Admin collections: `functions`, `namespaces`, `users`, `tokens`. Every write stores its Operation with it."""

    async def get_document(self, collection: str, doc_id: str) -> bytes | None:
        """The document as MessagePack, or None."""
        ...

    async def find_documents(
        self, collection: str, *, after: str = "", limit: int = 500, prefix: str = ""
    ) -> list[tuple[str, bytes]]:
        """(id, document) by id, above `after`, ids that begin with `prefix`."""
        ...

    async def write_document(
        self,
        collection: str,
        doc_id: str,
        document: bytes | None,
        operation: Operation,
        *,
        expected_revision: int | None = None,
        revision: int = 1,
        blobs: Sequence[tuple[str, bytes]] = (),
    ) -> None:
        """Create (`expected_revision` 0), change, or (`document` None) delete one document.

        Its operation and blobs are kept with it. Without `expected_revision` any revision is changed or deleted.

        One transaction, durable: either all of it is kept or nothing.

        Raises:
            Conflict: It exists already (create), or its revision is not `expected_revision`.
            NotFound: There is none to change or delete.
        """
        ...

    async def mark(self, collection: str, doc_id: str, at: datetime) -> None:
        """Remember when a document was last used: it need not be durable, and is no write of it.

        There is no operation; an earlier instant than the one kept changes nothing, nor does a document that is gone.
        """
        ...

    async def marks(self, collection: str, doc_ids: Sequence[str]) -> dict[str, datetime]:
        """When these documents were last used, where that is known; it goes with the document. At most 1,000 ids."""
        ...

    async def next_operation(self) -> int:
        """Take a position for an operation, above those of all that are kept; it need not be used."""
        ...

    async def add_operation(self, operation: Operation) -> None:
        """Record a refused attempt, or an act that writes no document; durable.

        Here as with a document, an operation without a position is given the next one.
        """
        ...

    async def operations(
        self,
        *,
        collection: str = "",
        doc_id: str = "",
        operator: str = "",
        since: datetime | None = None,
        until: datetime | None = None,
        before: int = 0,
        after: int = 0,
        limit: int = 50,
    ) -> list[tuple[int, Operation]]:
        """(position, operation), newest first; at most 1,000.

        Args:
            collection: Of this one, and what follows alike, where it is given.
            doc_id: Of this document; give its collection with it.
            operator: By this user.
            since: Not before this instant.
            until: Before this instant.
            before: Positions below this one.
            after: Positions above this one, those next to it.
            limit: How many.
        """
        ...

    async def find_operation(self, operation_id: str) -> tuple[int, Operation] | None:
        """(position, operation) of an id, or None."""
        ...

    async def recorded(self, *, after: int = 0, limit: int = 200) -> list[Recorded]:
        """Operations just as they lie there, by position, oldest first, above `after`; at most 1,000."""
        ...

    async def get_blob(self, digest: str) -> bytes | None:
        """Content by its sha256 in hex, or None."""
        ...


class HostStore(Protocol):
    """Hosts, their history, their alarms."""

    async def save_hosts(
        self, hosts: Sequence[Host], samples: Sequence[tuple[str, HostSample]] = ()
    ) -> None:
        """Replace current states and add fine samples (host, sample)."""
        ...

    async def hosts(self) -> list[Host]:
        """All hosts by name."""
        ...

    async def samples(
        self, host: str, since: datetime, *, by_minute: bool = False, limit: int = 2000
    ) -> list[HostSample]:
        """History by time; newest `limit` of them."""
        ...

    async def roll_up(self, now: datetime, *, fine: timedelta, coarse: timedelta) -> None:
        """Make minute means of complete minutes; drop fine samples older than `fine`, minutes older than `coarse`."""
        ...

    async def save_alarm(self, alarm: Alarm) -> bool:
        """Open (insert) or change an alarm by its id. False: the same (host, rule) is open already under another id."""
        ...

    async def alarms(self, *, open_only: bool = False, limit: int = 200) -> list[Alarm]:
        """Open ones first, then newest first."""
        ...


class LogStore(Protocol):
    """Log records, by position."""

    async def add_logs(self, records: Sequence[LogRecord]) -> list[LogRecord]:
        """Append; returns them with their positions."""
        ...

    async def find_logs(self, query: LogQuery) -> list[LogRecord]:
        """By position, oldest first; the newest `limit` that match when `after` is 0.

        Looks at a bounded number of rows, from `after` on or back from the newest.
        """
        ...

    async def log_position(self) -> int:
        """The newest position of any record."""
        ...

    async def trim_logs(self, before: datetime, *, keep_bytes: int, limit: int = 20_000) -> int:
        """Remove records older than `before`, and the oldest beyond `keep_bytes`; returns how many."""
        ...


class DeadLetterStore(Protocol):
    """Messages that a broker gave up, for brokers that cannot show them themselves (RabbitMQ)."""

    async def add_dead(self, letters: Sequence[tuple[str, DeadLetter]]) -> None:
        """Keep (key, letter), durable; a key that is there already changes nothing. `seq` is given by the store."""
        ...

    async def dead_letters(self, *, limit: int = 50, before: int = 0) -> list[DeadLetter]:
        """The newest first; `before` a seq pages on. At most 500."""
        ...

    async def get_dead(self, seqs: Sequence[int]) -> list[DeadLetter]:
        """Those that exist, by seq; at most 1,000."""
        ...

    async def discard_dead(self, seqs: Sequence[int]) -> int:
        """Remove them; how many there were."""
        ...

    async def count_dead(self) -> dict[str, int]:
        """Queue -> how many came from it and are kept."""
        ...


class RunStore(Protocol):
    """How far the hosts of fan-outs are, by job and host; they go with their job."""

    async def save_runs(self, runs: Sequence[HostRun]) -> list[bool]:
        """Keep how far hosts are, durable; for each whether it stands as given.

        A host that has ended stays as it is. One that is begun is ended by the same epoch or a later one, and begun
        again by none. So the same call may be made again, and of two that begin a host only one hears True.
        """
        ...

    async def show_runs(self, runs: Sequence[HostRun]) -> None:
        """Show what running hosts have printed so far, in place of what was shown before; not durable.

        Their output alone is written, and only of hosts that this very epoch has begun and that have not ended.
        """
        ...

    async def runs(self, job: str, *, after: int = 0, limit: int = 1000) -> list[HostRun]:
        """Of a job, by seq, above `after`; without output. At most 1,000."""
        ...

    async def get_runs(
        self, job: str, hosts: Sequence[str], *, with_output: bool = False
    ) -> list[HostRun]:
        """Those of these hosts that there are, in their order; at most 1,000, with output 100."""
        ...

    async def count_runs(self, job: str) -> dict[str, int]:
        """State -> hosts of the job that stand there."""
        ...


class RoleStore(Protocol):
    """Which process leads in a role, and which parts there are: for a control side of several processes."""

    async def hold_role(self, role: str, owner: str, seconds: float) -> bool:
        """Become, or stay, the one holder of `role` for the next `seconds` by the store's own clock.

        False: another one holds it. One guarded write; of two callers at once at most one hears True.
        """
        ...

    async def release_role(self, role: str, owner: str) -> None:
        """Let go of a role, so that another may take it at once; nothing when it is held by another."""
        ...

    async def save_part(self, part: PartState) -> None:
        """Keep what a part says of itself, by its id; `seen_at` is set to the store's clock."""
        ...

    async def parts(self, *, within_seconds: float = 60.0) -> list[PartState]:
        """Those that said something lately, by name and id. Older ones are forgotten by and by."""
        ...


class Store(
    OutboxStore,
    DocumentStore,
    HostStore,
    LogStore,
    DeadLetterStore,
    RunStore,
    RoleStore,
    Protocol,
):
    """All of it, with its life."""

    async def ping(self) -> None:
        """A real read. Raises StoreUnavailable."""
        ...

    def metrics(self) -> dict[str, Any]:
        """Figures of its own for `/metrics`: name -> number."""
        ...

    async def close(self) -> None:
        """Finish what was accepted and disconnect. A second call does nothing."""
        ...
