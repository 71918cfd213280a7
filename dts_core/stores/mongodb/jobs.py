"""Jobs of the MongoDB store: what is read, and what is forgotten."""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from dts_core.errors import StoreError
from dts_core.model import (
    Attempt,
    Job,
    JobCounts,
    JobQuery,
    Page,
    SubmitterRecord,
)
from dts_core.states import FINAL, HELD, JobState
from dts_core.stores import limits
from dts_core.stores.fields import EPOCH_MAX, check_ids, instant, key_conflict, micros
from dts_core.stores.jobstore import IdempotencyKey
from dts_core.stores.limits import BUCKET_SECONDS, IDS_MAX, LIST_BYTES, RECENT
from dts_core.stores.mongodb import chunks
from dts_core.stores.mongodb.counts import Deltas
from dts_core.stores.mongodb.driver import (
    ASCENDING,
    DESCENDING,
    VERSION,
    Doc,
    DuplicateKeyError,
    UpdateOne,
    answering,
    deadlined,
)
from dts_core.stores.mongodb.jobdocs import LISTED, job_of
from dts_core.stores.mongodb.pages import find_jobs
from dts_core.stores.mongodb.uploads import Uploads

_HELD: Final = [state.value for state in HELD]
_FINAL: Final = [state.value for state in FINAL]
RECOUNT_SECONDS: Final = 60.0
log = logging.getLogger(__name__)
_attempt = msgspec.msgpack.Decoder(Attempt)


class Jobs(Uploads):
    """The JobStore and the OutboxStore."""

    @deadlined
    async def accept_jobs(
        self, jobs: Sequence[Job], key: IdempotencyKey | None = None
    ) -> list[str] | None:
        """See OutboxStore.

        The key is written first, with the ids. Whoever meets it while some of its jobs are not there (yet, or after a
        crash) inserts them under the very same ids: of all who do, each job is inserted once.
        """
        if key is None:
            await self._insert(jobs)
            return None
        ids = [job.id for job in jobs]
        document = {
            "_id": f"{key.submitter}\0{key.key}",
            "v": VERSION,
            "digest": key.digest,
            "jobs": ids,
            "created": max((micros(job.created_at) for job in jobs), default=0),
            "kept_at": datetime.now(UTC),
        }
        keys = self._in("keys")
        try:
            await keys.insert_one(document)
        except DuplicateKeyError:
            found = await keys.find_one({"_id": document["_id"]})
            if found is None or found["digest"] != key.digest or len(found["jobs"]) != len(jobs):
                raise key_conflict() from None
            before: list[str] = found["jobs"]
            await self._complete(before, jobs)
            return before
        await self._insert(jobs)
        return None

    async def _complete(self, ids: Sequence[str], jobs: Sequence[Job]) -> None:
        there = {
            each["_id"] async for each in self._jobs.find({"_id": {"$in": list(ids)}}, {"_id": 1})
        }
        await self._insert(
            [
                msgspec.structs.replace(job, id=job_id)
                for job_id, job in zip(ids, jobs, strict=True)
                if job_id not in there
            ]
        )

    @deadlined
    async def get_job(self, job_id: str) -> Job | None:
        """See JobStore."""
        doc = await self._jobs.find_one({"_id": job_id}, {"attempts": 0, "trail": 0, "upload": 0})
        if doc is None:
            return None
        result: bytes | None = doc.get("result")
        if doc.get("blob"):
            result = await chunks.content(self._chunks, doc["blob"])
            if len(result) != doc["result_size"]:
                return None  # it was forgotten meanwhile
        return job_of(doc, result)

    @deadlined
    async def get_jobs(self, job_ids: Sequence[str]) -> list[Job]:
        """See JobStore."""
        check_ids(job_ids)
        found = {
            doc["_id"]: doc
            async for doc in self._jobs.find({"_id": {"$in": list(set(job_ids))}}, LISTED)
        }
        return [job_of(found[job_id]) for job_id in job_ids if job_id in found]

    @deadlined
    async def find_jobs(self, query: JobQuery) -> Page[Job]:
        """See JobStore."""
        return await find_jobs(self._jobs, query)

    @deadlined
    async def count_jobs(self, namespaces: Sequence[str] | None = None) -> JobCounts:
        """See JobStore."""
        bucket = micros(self._clock.now()) // (BUCKET_SECONDS * 1_000_000)
        minute, hour = bucket - 60 // BUCKET_SECONDS, bucket - 3600 // BUCKET_SECONDS
        states, ended = await asyncio.gather(
            self._counts.states(namespaces), self._counts.tallies(hour, namespaces)
        )
        return JobCounts(
            states=states,
            done_last_minute=sum(done for at, done, _ in ended if at > minute),
            failed_last_minute=sum(failed for at, _, failed in ended if at > minute),
            done_last_hour=sum(done for _, done, _ in ended),
            failed_last_hour=sum(failed for _, _, failed in ended),
        )

    @deadlined
    async def attempts(self, job_id: str) -> list[Attempt]:
        """See JobStore; the newest hundred."""
        doc = await self._jobs.find_one({"_id": job_id}, {"attempts": 1})
        return [_attempt.decode(each) for each in (doc or {}).get("attempts", [])]

    @deadlined
    async def submitter_record(self, user: str) -> SubmitterRecord:
        """See JobStore."""
        recent = self._jobs.find({"submitter": user}, {"_id": 1}).sort("seq", DESCENDING)
        counts, docs = await asyncio.gather(
            self._counts.of_user(user), recent.limit(RECENT).to_list(None)
        )
        return SubmitterRecord(user=user, counts=counts, recent=[doc["_id"] for doc in docs])

    @deadlined
    async def changed_jobs(self, after: int, *, limit: int = 1000) -> list[Job]:
        """See JobStore; no further than everything before is written."""
        safe = await self._shared.jobs.safe()
        return await self._list({"changed": {"$gt": after, "$lte": safe}}, "changed", limit)

    @deadlined
    async def position(self) -> int:
        """See JobStore."""
        return await self._shared.jobs.safe()

    @deadlined
    async def due_jobs(self, now: datetime, *, limit: int = 500) -> list[Job]:
        """See JobStore."""
        return await self._list({"due": {"$gt": 0, "$lte": micros(now)}}, "due", limit)

    @deadlined
    async def lapsed_jobs(self, now: datetime, *, limit: int = 500) -> list[Job]:
        """See JobStore."""
        return await self._list({"lease": {"$gt": 0, "$lt": micros(now)}}, "lease", limit)

    @deadlined
    async def overdue_jobs(self, now: datetime, *, limit: int = 500) -> list[Job]:
        """See JobStore."""
        return await self._list({"overdue": {"$gt": 0, "$lte": micros(now)}}, "overdue", limit)

    @deadlined
    async def pending_jobs(self, before: datetime, *, limit: int = 500) -> list[Job]:
        """See JobStore."""
        bound = micros(before)
        pending: Doc = {"state": JobState.PENDING.value, "created": {"$lt": bound}}
        owing: Doc = {"owed": {"$gt": 0, "$lt": bound}, "state": JobState.QUEUED.value}
        found = await self._list(pending, "seq", limit)
        if len(found) >= limit:
            return found
        return found + await self._list(owing, "owed", limit - len(found))

    @deadlined
    async def next_due(self) -> datetime | None:
        """See JobStore."""
        ends = await asyncio.gather(*(self._least(name) for name in ("due", "lease", "overdue")))
        found = [each for each in ends if each is not None]
        return instant(min(found)) if found else None

    @deadlined
    async def renew(self, claims: Sequence[tuple[str, int]], until: datetime) -> None:
        """See JobStore."""
        lease = micros(until)
        writes = [
            UpdateOne(
                {
                    "_id": job,
                    "epoch": epoch,
                    "state": {"$in": _HELD},
                    "lease": {"$gt": 0, "$lt": lease},
                },
                {"$set": {"lease": lease}},
            )
            for job, epoch in claims
            if 0 < epoch < EPOCH_MAX
        ]
        if writes:
            await self._jobs.bulk_write(writes, ordered=False)

    @deadlined
    async def held_by(self, worker: str) -> list[tuple[str, int]]:
        """See JobStore."""
        found = self._jobs.find({"worker": worker, "lease": {"$gt": 0}}, {"epoch": 1})
        return [(doc["_id"], doc["epoch"]) async for doc in found]

    async def forget_jobs(self, before: datetime, *, limit: int = 5000) -> int:
        """See JobStore. Beside it the counts are put right."""
        removed = 0
        while removed < limit:
            chunk = min(limits.FORGET_CHUNK, limit - removed)
            gone = await self._forget_some(micros(before), chunk)
            removed += gone
            if gone < chunk:
                break
        await self._put_right(self._counts.recount)
        return removed

    async def recount(self) -> int:
        """Compare the counts with the jobs, once; see `counts`. How many were put right."""
        async with answering(self, RECOUNT_SECONDS):
            return await self._counts.recount()

    async def mend_counts(self) -> None:
        """Put the counts right if a write may not have been counted; a database that is away is left for later."""
        await self._put_right(lambda: self._counts.mend(self._shared.jobs))

    async def _put_right(self, look: Callable[[], Awaitable[int]]) -> None:
        try:
            async with answering(self, RECOUNT_SECONDS):
                corrected = await look()
        except StoreError as error:
            log.warning("the jobs could not be counted again: %s", error)
        else:
            if corrected:
                log.warning("%d jobs were not counted as they stand, and are now", corrected)

    @deadlined
    async def _forget_some(self, before: int, limit: int) -> int:
        found = (
            self._jobs.find(
                {"finished": {"$gt": 0, "$lt": before}, "state": {"$in": _FINAL}},
                {"submitter": 1, "namespace": 1, "state": 1, "blob": 1},
            )
            .sort("finished", ASCENDING)
            .limit(limit)
        )
        docs: list[Doc] = await found.to_list(None)
        await self._in("keys").delete_many({"created": {"$gt": 0, "$lt": before}})
        if not docs:
            return 0
        blobs = [doc["blob"] for doc in docs if doc.get("blob")]
        ids = [doc["_id"] for doc in docs]
        await self._in("outcomes").delete_many({"job": {"$in": ids}})
        taken = await self._shared.jobs.take(0)
        gone = await self._jobs.delete_many({"_id": {"$in": ids}})
        deltas: Deltas = Counter()
        for doc in docs[: gone.deleted_count]:
            deltas[doc["submitter"], doc["namespace"], doc["state"]] -= 1
        await self._counts.settle(self._shared.jobs, taken, deltas)
        await chunks.settle(self._chunks, dropped=blobs, used=[])
        return int(gone.deleted_count)

    async def _list(self, where: Doc, order: str, limit: int) -> list[Job]:
        jobs: list[Job] = []
        size = 0
        found = self._jobs.find(where, LISTED).sort(order, ASCENDING).limit(limit)
        async for doc in found.batch_size(min(limit, IDS_MAX)):
            jobs.append(job_of(doc))
            size += len(doc["doc"])
            if size >= LIST_BYTES:
                break
        return jobs

    async def _least(self, field: str) -> int | None:
        found: Any = (
            self._jobs.find({field: {"$gt": 0}}, {field: 1}).sort(field, ASCENDING).limit(1)
        )
        async for doc in found:
            return int(doc[field])
        return None
