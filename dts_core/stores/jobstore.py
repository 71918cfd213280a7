"""The store's contract for jobs, and where jobs and their messages become durable together."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Protocol

import msgspec

from dts_core.brokers.base import Outgoing
from dts_core.model import (
    Attempt,
    BlobChunk,
    Job,
    JobCounts,
    JobQuery,
    Outcome,
    Page,
    Progress,
    SubmitterRecord,
    Transition,
)

__all__ = ["IdempotencyKey", "Intake", "JobStore", "OutboxStore"]


class IdempotencyKey(msgspec.Struct, frozen=True):
    """A caller's key for one submission, with the digest of the request it stands for."""

    submitter: str
    key: str
    digest: bytes


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
