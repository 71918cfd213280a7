"""Jobs of the embedded store."""

from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from typing import Final

import msgspec

from dts_core.clock import Clock
from dts_core.errors import DtsError, StoreError
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
from dts_core.sqlite import Connection, Database, all_rows, one_row
from dts_core.states import JobState
from dts_core.stores import limits
from dts_core.stores.chunks import check_shape
from dts_core.stores.embedded import figures, keys, pages, uploads
from dts_core.stores.embedded.base import Part
from dts_core.stores.embedded.rows import COLUMNS, job_of
from dts_core.stores.embedded.writer import JobWriter, forget, position
from dts_core.stores.fields import EPOCH_MAX, check_ids, instant, micros
from dts_core.stores.jobstore import IdempotencyKey
from dts_core.stores.limits import LIST_BYTES, RECENT

_attempt = msgspec.msgpack.Decoder(Attempt)
_ONE: Final = f"SELECT {COLUMNS}, result, blob FROM jobs WHERE id=?"
_EACH: Final = f"SELECT {COLUMNS} FROM jobs WHERE id=?"
_CHANGED: Final = (
    f"SELECT {COLUMNS} FROM jobs INDEXED BY jobs_changed WHERE changed>? ORDER BY changed LIMIT ?"
)
_DUE: Final = f"SELECT {COLUMNS} FROM jobs INDEXED BY jobs_due WHERE due IS NOT NULL AND due<=? ORDER BY due LIMIT ?"
_LAPSED: Final = (
    f"SELECT {COLUMNS} FROM jobs INDEXED BY jobs_lease "
    "WHERE lease IS NOT NULL AND lease<? ORDER BY lease LIMIT ?"
)
_NOT_STARTED: Final = (
    "expires IS NOT NULL AND state IN ('scheduled', 'pending', 'queued', 'retrying')"
)
_OVERDUE: Final = (
    f"SELECT {COLUMNS} FROM jobs INDEXED BY jobs_expires "
    f"WHERE {_NOT_STARTED} AND expires<=? ORDER BY expires LIMIT ?"
)
_PENDING: Final = (
    f"SELECT {COLUMNS} FROM jobs INDEXED BY jobs_state "
    "WHERE state='pending' AND created<? ORDER BY seq LIMIT ?"
)
_OWING: Final = (
    f"SELECT {COLUMNS} FROM jobs INDEXED BY jobs_owed "
    "WHERE owed IS NOT NULL AND owed<? AND state='queued' ORDER BY owed LIMIT ?"
)
_OWE: Final = "UPDATE jobs SET owed=? WHERE id=?"
_SETTLE: Final = "UPDATE jobs SET owed=NULL WHERE id=? AND (epoch=? OR state<>'queued')"
_NEXT: Final = (
    "SELECT (SELECT min(due) FROM jobs INDEXED BY jobs_due WHERE due IS NOT NULL), "
    "(SELECT min(lease) FROM jobs INDEXED BY jobs_lease WHERE lease IS NOT NULL), "
    f"(SELECT min(expires) FROM jobs INDEXED BY jobs_expires WHERE {_NOT_STARTED})"
)
_HELD_BY: Final = (
    "SELECT id, epoch FROM jobs INDEXED BY jobs_lease WHERE lease IS NOT NULL AND worker=?"
)
_RENEW: Final = "UPDATE jobs SET lease=? WHERE id=? AND epoch=? AND state IN ('running','cancelling') AND lease<?"


class Jobs(Part):
    """The JobStore."""

    def __init__(self, database: Database, clock: Clock) -> None:
        super().__init__(database, clock)
        self.writer = JobWriter()

    async def insert_jobs(self, jobs: Sequence[Job]) -> None:
        """See JobStore."""
        await self._write(lambda connection: self.writer.insert(connection, jobs), durable=True)

    async def apply(
        self, transitions: Sequence[Transition], *, durable: bool = False
    ) -> list[Outcome]:
        """See JobStore."""
        if not transitions:
            return []
        return await self._write(
            lambda connection: self.writer.apply(connection, transitions), durable=durable
        )

    async def accept_jobs(
        self, jobs: Sequence[Job], key: IdempotencyKey | None = None
    ) -> list[str] | None:
        """See OutboxStore."""

        def work(connection: Connection) -> list[str] | None:
            if key is not None and (before := keys.accepted(connection, key)) is not None:
                return before
            self.writer.insert(connection, jobs)
            if key is not None:
                keys.remember(connection, key, jobs)
            return None

        return await self._write(work, durable=True)

    async def mark_published(self, jobs: Sequence[Job], at: datetime) -> None:
        """See OutboxStore."""
        await self._write(lambda connection: self.writer.publish(connection, jobs, at))

    async def apply_owing(self, transitions: Sequence[Transition]) -> list[Outcome]:
        """See OutboxStore."""

        def work(connection: Connection) -> list[Outcome]:
            outcomes = self.writer.apply(connection, transitions)
            for transition, outcome in zip(transitions, outcomes, strict=True):
                if outcome.applied and outcome.state is JobState.QUEUED:
                    connection.execute(_OWE, (micros(transition.at), outcome.id))
            return outcomes

        return await self._write(work, durable=True)

    async def settle_jobs(self, invited: Sequence[tuple[str, int]]) -> None:
        """See OutboxStore."""

        def work(connection: Connection) -> None:
            connection.executemany(_SETTLE, invited)

        await self._write(work)

    async def get_job(self, job_id: str) -> Job | None:
        """See JobStore."""

        def work(connection: Connection) -> Job | None:
            row = one_row(connection, _ONE, (job_id,))
            if row is None:
                return None
            *known, result, blob = row
            return job_of((*known, result if blob is None else uploads.content(connection, blob)))

        return await self._read(work)

    async def get_jobs(self, job_ids: Sequence[str]) -> list[Job]:
        """See JobStore."""
        check_ids(job_ids)

        def work(connection: Connection) -> list[Job]:
            found = (one_row(connection, _EACH, (job_id,)) for job_id in job_ids)
            return [job_of(row) for row in found if row is not None]

        return await self._read(work)

    async def find_jobs(self, query: JobQuery) -> Page[Job]:
        """See JobStore."""
        return await self._read(lambda connection: pages.find_jobs(connection, query))

    async def count_jobs(self, namespaces: Sequence[str] | None = None) -> JobCounts:
        """See JobStore."""
        now = micros(self._clock.now())
        return await self._read(lambda connection: figures.load(connection, now, namespaces))

    async def attempts(self, job_id: str) -> list[Attempt]:
        """See JobStore."""

        def work(connection: Connection) -> list[Attempt]:
            rows = connection.execute(
                "SELECT doc FROM attempts WHERE job=? ORDER BY epoch", (job_id,)
            )
            return [_attempt.decode(doc) for (doc,) in rows]

        return await self._read(work)

    async def submitter_record(self, user: str) -> SubmitterRecord:
        """See JobStore."""

        def work(connection: Connection) -> SubmitterRecord:
            counts = all_rows(
                connection, "SELECT state, jobs FROM counters WHERE submitter=? AND jobs>0", (user,)
            )
            recent = all_rows(
                connection,
                "SELECT id FROM jobs INDEXED BY jobs_submitter WHERE submitter=? ORDER BY seq DESC LIMIT ?",
                (user, RECENT),
            )
            return SubmitterRecord(
                user=user,
                counts={str(state): jobs for state, jobs in counts},
                recent=[job for (job,) in recent],
            )

        return await self._read(work)

    async def changed_jobs(self, after: int, *, limit: int = 1000) -> list[Job]:
        """See JobStore."""
        return await self._list(_CHANGED, after, limit)

    async def position(self) -> int:
        """See JobStore."""
        return await self._read(position)

    async def due_jobs(self, now: datetime, *, limit: int = 500) -> list[Job]:
        """See JobStore."""
        return await self._list(_DUE, micros(now), limit)

    async def lapsed_jobs(self, now: datetime, *, limit: int = 500) -> list[Job]:
        """See JobStore."""
        return await self._list(_LAPSED, micros(now), limit)

    async def overdue_jobs(self, now: datetime, *, limit: int = 500) -> list[Job]:
        """See JobStore."""
        return await self._list(_OVERDUE, micros(now), limit)

    async def pending_jobs(self, before: datetime, *, limit: int = 500) -> list[Job]:
        """See JobStore."""
        pending = await self._list(_PENDING, micros(before), limit)
        if len(pending) >= limit:
            return pending
        return pending + await self._list(_OWING, micros(before), limit - len(pending))

    async def next_due(self) -> datetime | None:
        """See JobStore."""

        def work(connection: Connection) -> datetime | None:
            found = [value for value in all_rows(connection, _NEXT)[0] if value is not None]
            return instant(min(found)) if found else None

        return await self._read(work)

    async def renew(self, claims: Sequence[tuple[str, int]], until: datetime) -> None:
        """See JobStore."""
        if not claims:
            return
        lease = micros(until)
        rows = [(lease, job, epoch, lease) for job, epoch in claims if 0 < epoch < EPOCH_MAX]

        def work(connection: Connection) -> None:
            connection.executemany(_RENEW, rows)

        await self._write(work)

    async def held_by(self, worker: str) -> list[tuple[str, int]]:
        """See JobStore."""
        return await self._read(lambda connection: all_rows(connection, _HELD_BY, (worker,)))

    async def set_progress(self, items: Sequence[Progress]) -> list[str]:
        """See JobStore."""
        if not items:
            return []
        return await self._write(lambda connection: self.writer.progress(connection, items))

    async def add_chunk(self, chunk: BlobChunk, check: Callable[[bytes], None]) -> int:
        """See JobStore; the content is proved in a reading thread."""
        check_shape(chunk)
        at = micros(self._clock.now())
        upload, received, is_proved = await self._write(
            lambda connection: self.writer.add_chunk(connection, chunk, at)
        )
        if received < chunk.total or is_proved:
            return received
        try:
            await self._read(lambda connection: check(uploads.proved(connection, upload, chunk)))
        except StoreError:
            raise
        except DtsError:
            await self._write(lambda connection: uploads.drop(connection, upload))
            raise
        # Synced: its sender lets the content go.
        await self._write(lambda connection: uploads.mark_whole(connection, upload), durable=True)
        return received

    async def drop_uploads(self, before: datetime) -> int:
        """See JobStore."""
        return await self._write(lambda connection: uploads.sweep(connection, micros(before)))

    async def forget_jobs(self, before: datetime, *, limit: int = 5000) -> int:
        """See JobStore."""
        removed = 0
        while removed < limit:
            chunk = min(limits.FORGET_CHUNK, limit - removed)
            gone, more = await self._write(partial(forget, before=micros(before), limit=chunk))
            removed += gone
            if not more:
                break
        return removed

    async def _list(self, select: str, bound: int, limit: int) -> list[Job]:
        def work(connection: Connection) -> list[Job]:
            jobs: list[Job] = []
            size = 0
            for row in connection.execute(select, (bound, limit)):
                jobs.append(job_of(row))
                size += len(jobs[-1].args) + len(jobs[-1].kwargs)
                if size >= LIST_BYTES:
                    break
            return jobs

        return await self._read(work)
