"""The dashboard's figures: counted beside each write of jobs, read in constant time, put right by recounts.

A process that dies between a write and its count, or has no answer in time, leaves figures that are a little off. The
sequence that gave the write its positions knows of it (`positions`); then, and only then, `mend` counts again.
`recount` compares the figures with the jobs; a difference that two looks in a row agree upon is no write under way, and
is made up for.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

from dts_core.states import JobState
from dts_core.stores.limits import BUCKET_SECONDS, TALLY_SECONDS
from dts_core.stores.mongodb.driver import Collection, DeleteMany, Doc, UpdateOne, upsert
from dts_core.stores.mongodb.positions import FIGURES, Positions, Taken

__all__ = ["FIGURES", "Counts", "Deltas", "End"]

Deltas = Counter[tuple[str, str, str]]
"""(submitter, namespace, state) -> how many more."""
End = tuple[str, JobState, int]
"""Namespace, state and instant in microseconds of a job that ended."""
Drift = Counter[tuple[str, str]]
"""(document, state) -> how many more jobs there are than are counted."""
LOOKS: Final = 4
"""Most looks at the jobs in a row."""
LOOK_PAUSE_SECONDS: Final = 0.5
"""Between two of them: a write that is under way is counted by then."""
REST: Final = 50
"""Looks that did not agree rest so many times as long as they took: each reads all jobs."""
_ALL: Final = "jobs"
_USER: Final = "user:"
_NAMESPACE: Final = "namespace:"
_BY_NAMESPACE: Final = "namespaces"
"""The document that says that jobs are counted by their namespace: databases of older versions have none."""
_TALLY: Final = "tally:"
_TALLIED: Final = {JobState.DONE: "done", JobState.FAILED: "failed", JobState.DEAD: "failed"}


class Counts:
    """Figures of one database."""

    def __init__(self, figures: Collection, jobs: Collection) -> None:
        self._figures = figures
        self._jobs = jobs
        self._last_drift: Drift = Counter()
        self._rest_until = 0.0

    async def settle(
        self,
        positions: Positions,
        taken: Taken,
        deltas: Deltas,
        ends: Iterable[End] = (),
    ) -> bool:
        """End what was taken and count; False: readers have passed the positions already."""
        increments: Counter[str] = Counter()
        owners: dict[str, Counter[str]] = {}
        for (user, namespace, state), delta in deltas.items():
            if delta:
                increments[f"n.{state}"] += delta
                owners.setdefault(_USER + user, Counter())[f"n.{state}"] += delta
                owners.setdefault(_NAMESPACE + namespace, Counter())[f"n.{state}"] += delta
        writes: list[UpdateOne | DeleteMany] = [
            UpdateOne({"_id": owner}, {"$inc": dict(states)}, upsert=True)
            for owner, states in owners.items()
        ]
        writes += _tallies(ends)
        counted = {name: delta for name, delta in increments.items() if delta}
        try:
            settled, _ = await asyncio.gather(
                positions.settle(taken, counted), upsert(self._figures, writes)
            )
        except BaseException:
            positions.doubt()  # one of both may be counted without the other
            raise
        return settled

    async def states(self, namespaces: Sequence[str] | None = None) -> dict[str, int]:
        """State -> jobs in it, or in these namespaces; never less than none, though the figures may be off."""
        names = [_ALL] if namespaces is None else [_NAMESPACE + name for name in sorted(namespaces)]
        counted = Counter({state.value: 0 for state in JobState})
        async for each in self._figures.find({"_id": {"$in": names}}, {"n": 1}):
            counted.update({state: max(count, 0) for state, count in _plain(each).items()})
        return dict(counted)

    async def of_user(self, user: str) -> dict[str, int]:
        """State -> jobs of theirs in it, without zeros."""
        found = await self._figures.find_one({"_id": _USER + user}, {"n": 1})
        return {state: count for state, count in _plain(found).items() if count > 0}

    async def tallies(
        self, after_bucket: int, namespaces: Sequence[str] | None = None
    ) -> list[tuple[int, int, int]]:
        """(bucket, done, failed) of each bucket above, or of these namespaces in it."""
        shown = ["done", "failed"]
        if namespaces is not None:
            shown = [_within(name) for name in sorted(namespaces)] or ["nothing"]
        found = self._figures.find(
            {"_id": {"$gt": _tally(after_bucket), "$lt": _TALLY + "~"}}, dict.fromkeys(shown, 1)
        )
        return [
            (
                int(each["_id"].removeprefix(_TALLY)),
                *_ended([each] if namespaces is None else each.get("by", {}).values()),
            )
            async for each in found
        ]

    async def mend(self, positions: Positions) -> int:
        """Count again what may not have been counted, if there is anything; how many jobs are counted right by that.

        Where writes go on all the time no two looks may agree: then it goes on with the next call.
        """
        lapsed, is_mended = await positions.uncounted()
        known = await self._figures.find_one({"_id": _BY_NAMESPACE}, {"_id": 1})
        if (is_mended and known) or time.monotonic() < self._rest_until:
            return 0
        corrected, took = 0, 0.0
        for _ in range(LOOKS):
            began = time.monotonic()
            corrected += await self.recount()
            took += time.monotonic() - began
            if not self._last_drift:
                await positions.mended(lapsed)
                await upsert(
                    self._figures,
                    [UpdateOne({"_id": _BY_NAMESPACE}, {"$set": {"counted": True}}, upsert=True)],
                )
                return corrected
            await asyncio.sleep(LOOK_PAUSE_SECONDS)
        self._rest_until = time.monotonic() + REST * took
        return corrected

    async def recount(self) -> int:
        """Look once; how many jobs were counted wrong and are counted right from now on."""
        counted: Drift = Counter()
        owners: list[Doc] = [
            {"_id": {"$gte": each, "$lt": each + "\U0010ffff"}} for each in (_USER, _NAMESPACE)
        ]
        kept: Doc = {"$or": [*owners, {"_id": _ALL}]}
        async for each in self._figures.find(kept, {"n": 1}):
            counted.update({(each["_id"], state): count for state, count in _plain(each).items()})
        stand: Drift = Counter()
        by: Doc = {"u": "$submitter", "n": "$namespace", "s": "$state"}
        group: Doc = {"_id": by, "jobs": {"$sum": 1}}
        async for each in self._jobs.aggregate([{"$group": group}]):
            key = each["_id"]
            for name in (_USER + key["u"], _NAMESPACE + key["n"], _ALL):
                stand[name, key["s"]] += each["jobs"]
        drift = {
            key: stand[key] - counted[key]
            for key in {*stand, *counted}
            if stand[key] != counted[key]
        }
        agreed = {key: by for key, by in drift.items() if self._last_drift[key] == by}
        self._last_drift = Counter({key: by for key, by in drift.items() if key not in agreed})
        await upsert(
            self._figures,
            [
                UpdateOne({"_id": name}, {"$inc": {f"n.{state}": by}}, upsert=True)
                for (name, state), by in agreed.items()
            ],
        )
        return sum(abs(by) for by in agreed.values())


def _plain(found: Doc | None) -> dict[str, int]:
    return {} if found is None else {str(state): int(n) for state, n in found.get("n", {}).items()}


def _tally(bucket: int) -> str:
    return f"{_TALLY}{bucket:012}"


def _within(namespace: str) -> str:
    """The field of a tally that is about a namespace; the names of fields have no dots."""
    return "by." + namespace.replace(".", "/")


def _ended(shown: Iterable[Doc]) -> tuple[int, int]:
    """Done and failed in all of these."""
    each = list(shown)
    return sum(one.get("done", 0) for one in each), sum(one.get("failed", 0) for one in each)


def _tallies(ends: Iterable[End]) -> list[UpdateOne | DeleteMany]:
    buckets: dict[int, Counter[str]] = {}
    for namespace, state, at in ends:
        if (name := _TALLIED.get(state)) is not None:
            ended = buckets.setdefault(at // (BUCKET_SECONDS * 1_000_000), Counter())
            ended[name] += 1
            ended[f"{_within(namespace)}.{name}"] += 1
    if not buckets:
        return []
    old = min(buckets) - TALLY_SECONDS // BUCKET_SECONDS
    return [
        *(
            UpdateOne({"_id": _tally(bucket)}, {"$inc": dict(ended)}, upsert=True)
            for bucket, ended in buckets.items()
        ),
        DeleteMany({"_id": {"$gte": _TALLY, "$lt": _tally(old)}}),
    ]
