"""Writes of jobs: insert them, apply transitions under their guard, record progress.

A transition costs one look at its jobs, beside the taking of positions, one guarded bulk write, and one settling, for
any number of jobs. The guard is the state, the epoch and the position at which the job was read: when anything
happened to it in between, the write changes nothing and is planned anew. The positions tell which writes landed.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from dts_core.errors import StoreUnavailable
from dts_core.model import Job, Outcome, Progress, Transition
from dts_core.states import JobEvent, JobState
from dts_core.stores.fields import EPOCH_MAX, micros
from dts_core.stores.mongodb import chunks
from dts_core.stores.mongodb.base import Part, Shared
from dts_core.stores.mongodb.counts import FIGURES, Counts, Deltas
from dts_core.stores.mongodb.driver import (
    BulkWriteError,
    UpdateMany,
    UpdateOne,
    deadlined,
    only_duplicates,
)
from dts_core.stores.mongodb.jobdocs import document_of
from dts_core.stores.mongodb.moves import READ, TRAIL, Standing
from dts_core.stores.mongodb.positions import Taken

TRIES: Final = 20
"""How often a write is planned anew that others were quicker than."""
INSERT_BYTES: Final = 8 << 20
"""Arguments of the jobs of one insertion; more go in several."""


class JobWrites(Part):
    """The writing half of the JobStore."""

    def __init__(self, shared: Shared) -> None:
        super().__init__(shared)
        self._jobs = self._in("jobs")
        self._chunks = self._in("chunks")
        self._counts = Counts(self._in(FIGURES), self._jobs)

    @deadlined
    async def insert_jobs(self, jobs: Sequence[Job]) -> None:
        """See JobStore."""
        await self._insert(jobs)

    @deadlined
    async def apply(
        self, transitions: Sequence[Transition], *, durable: bool = False
    ) -> list[Outcome]:
        """See JobStore. Every write is durable, asked or not."""
        return await self._apply(transitions, owing=False)

    @deadlined
    async def mark_published(self, jobs: Sequence[Job], at: datetime) -> None:
        """See OutboxStore."""
        await self._apply(
            [Transition(id=job.id, event=JobEvent.PUBLISH, at=at) for job in jobs], owing=False
        )

    @deadlined
    async def apply_owing(self, transitions: Sequence[Transition]) -> list[Outcome]:
        """See OutboxStore."""
        return await self._apply(transitions, owing=True)

    @deadlined
    async def settle_jobs(self, invited: Sequence[tuple[str, int]]) -> None:
        """See OutboxStore. A claim has settled by itself."""
        by_epoch: dict[int, list[str]] = {}
        for job, epoch in invited:
            by_epoch.setdefault(epoch, []).append(job)
        writes = [
            UpdateMany({"_id": {"$in": jobs}, "epoch": epoch}, {"$set": {"owed": None}})
            for epoch, jobs in by_epoch.items()
        ]
        if writes:
            await self._jobs.bulk_write(writes, ordered=False)

    @deadlined
    async def set_progress(self, items: Sequence[Progress]) -> list[str]:
        """See JobStore."""
        good = [item for item in items if 0 < item.epoch < EPOCH_MAX]
        if not good:
            return []
        taken = await self._shared.jobs.take(len(good))
        places = {taken.first + at: item for at, item in enumerate(good)}
        writes = [
            UpdateOne(
                {"_id": item.id, "epoch": item.epoch, "state": JobState.RUNNING.value},
                {
                    "$set": {
                        "progress": _share(item.fraction),
                        "progress_text": item.text,
                        "changed": place,
                    },
                    "$push": {"trail": {"$each": [place], "$slice": -TRAIL}},
                },
            )
            for place, item in places.items()
        ]
        self._check_fresh(taken)
        result = await self._jobs.bulk_write(writes, ordered=True)
        landed = dict(places)
        if result.matched_count < len(writes):
            trails = await self._trails([item.id for item in good])
            landed = {
                place: item for place, item in places.items() if place in trails.get(item.id, ())
            }
        if not await self._shared.jobs.settle(taken):
            await self._write_again({item.id: place for place, item in landed.items()})
        return [item.id for item in landed.values()]

    async def _insert(self, jobs: Sequence[Job]) -> None:
        for part in _parts(jobs):
            await self._insert_part(part)

    async def _insert_part(self, jobs: Sequence[Job]) -> None:
        newest = max(micros(job.created_at) for job in jobs)
        taken = await self._shared.jobs.take(len(jobs), created=newest)
        created = taken.created
        documents = []
        for at, job in enumerate(jobs):
            created = max(created, micros(job.created_at))
            documents.append(document_of(job, taken.first + at, created))
        self._check_fresh(taken)
        there: set[int] = set()
        try:
            await self._jobs.insert_many(documents, ordered=False)
        except BulkWriteError as error:
            there = set(only_duplicates(error))
        deltas: Deltas = Counter(
            (job.submitter, job.function.partition("/")[0], job.state.value)
            for at, job in enumerate(jobs)
            if at not in there
        )
        if not await self._counts.settle(self._shared.jobs, taken, deltas):
            await self._write_again(
                {job.id: taken.first + at for at, job in enumerate(jobs) if at not in there}
            )

    async def _apply(self, transitions: Sequence[Transition], *, owing: bool) -> list[Outcome]:
        outcomes: dict[int, Outcome] = {}
        left = dict(enumerate(transitions))
        for _ in range(TRIES):
            if not left:
                return [outcomes[at] for at in range(len(transitions))]
            ids = list({transition.id for transition in left.values()})
            taken, read = await asyncio.gather(
                self._shared.jobs.take(len(left)),
                self._jobs.find({"_id": {"$in": ids}}, READ).to_list(None),
            )
            standing = {doc["_id"]: Standing(doc) for doc in read}
            planned: dict[int, Outcome] = {}
            for place, (at, transition) in enumerate(left.items(), taken.first):
                job = standing.get(transition.id)
                if job is None:
                    planned[at] = Outcome(transition.id, False, None)
                else:
                    planned[at] = job.apply(transition, place, owing=owing)
            landed = await self._write(taken, [job for job in standing.values() if job.positions])
            for at, outcome in planned.items():
                job = standing.get(outcome.id)
                if job is None or not job.positions or job.id in landed:
                    outcomes[at] = outcome
                    del left[at]
            self.counters["jobs_contended"] += len(left)
        if left:
            raise StoreUnavailable("too many others change the same jobs.")
        return [outcomes[at] for at in range(len(transitions))]

    async def _write(self, taken: Taken, jobs: list[Standing]) -> set[str]:
        """Write what is planned and count it; the jobs whose write landed."""
        for job in jobs:
            if job.parked is not None:
                await chunks.park(self._chunks, job.id, *job.parked, at=micros(self._clock.now()))
        landed = jobs
        if jobs:
            self._check_fresh(taken)
            result = await self._jobs.bulk_write([job.write() for job in jobs], ordered=False)
            if result.matched_count < len(jobs):
                trails = await self._trails([job.id for job in jobs])
                landed = [job for job in jobs if job.positions[-1] in trails.get(job.id, ())]
        deltas: Deltas = Counter()
        for job in landed:
            owners = (job.now["submitter"], job.now["namespace"])
            deltas[*owners, job.state_before] -= 1
            deltas[*owners, job.state.value] += 1
        ends = [end for job in landed for end in job.ends]
        if not await self._counts.settle(self._shared.jobs, taken, deltas, ends):
            await self._write_again({job.id: job.positions[-1] for job in landed})
        dropped = [job.dropped for job in landed if job.dropped]
        used = [job.used or (job.parked[0] if job.parked else "") for job in landed]
        await chunks.settle(self._chunks, dropped=dropped, used=[each for each in used if each])
        return {job.id for job in landed}

    async def _trails(self, ids: Sequence[str]) -> dict[str, list[int]]:
        found = self._jobs.find({"_id": {"$in": list(ids)}}, {"trail": 1})
        return {doc["_id"]: doc.get("trail", []) async for doc in found}

    async def _write_again(self, places: dict[str, int]) -> None:
        """Give jobs new positions: readers may have passed the old ones before they were written."""
        while places:
            self.counters["positions_late"] += len(places)
            taken = await self._shared.jobs.take(len(places))
            new = dict(zip(places, range(taken.first, taken.first + len(places)), strict=True))
            await self._jobs.bulk_write(
                [
                    UpdateOne({"_id": job, "changed": old}, {"$set": {"changed": new[job]}})
                    for job, old in places.items()
                ],
                ordered=False,
            )
            if await self._shared.jobs.settle(taken):
                return
            places = new

    def _check_fresh(self, taken: Taken) -> None:
        """Write nothing under numbers that were taken long ago: this process stood still."""
        if not taken.is_fresh():
            raise StoreUnavailable("this process stood still for too long; nothing was written.")


def _share(fraction: float) -> float:
    return min(max(fraction, 0.0), 1.0) if fraction == fraction else 0.0


def _parts(jobs: Sequence[Job]) -> list[list[Job]]:
    """The jobs in pieces whose arguments fit into one write."""
    parts: list[list[Job]] = []
    size = INSERT_BYTES
    for job in jobs:
        if size >= INSERT_BYTES:
            parts.append([])
            size = 0
        parts[-1].append(job)
        size += len(job.args) + len(job.kwargs)
    return parts
