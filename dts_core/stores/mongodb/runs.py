"""Hosts of fan-outs in the MongoDB store: a document each, by job and host."""

from collections.abc import Sequence

from dts_core.model import HostRun
from dts_core.stores.limits import RUNS_MAX
from dts_core.stores.mongodb.base import Part
from dts_core.stores.mongodb.driver import (
    ASCENDING,
    VERSION,
    BulkWriteError,
    Doc,
    UpdateOne,
    deadlined,
    only_duplicates,
)
from dts_core.stores.runs import asked_hosts, packed, run_of, stands

_TRIES = 2
"""An end that met another's begin just as that was made finds it when it is tried again."""


class Runs(Part):
    """The RunStore."""

    @deadlined
    async def save_runs(self, runs: Sequence[HostRun]) -> list[bool]:
        """See RunStore."""
        left = list(runs)
        for _ in range(_TRIES):
            if not left:
                break
            await self._save(left)
            left = [run for run in left if run.has_ended and not stands(run, await self._kept(run))]
        ids = {_id(run.job, run.host) for run in runs}
        found = self._in("outcomes").find({"_id": {"$in": list(ids)}}, {"epoch": 1, "state": 1})
        kept = {each["_id"]: (each["epoch"], each["state"]) async for each in found}
        return [stands(run, kept.get(_id(run.job, run.host))) for run in runs]

    async def _save(self, runs: Sequence[HostRun]) -> None:
        try:
            await self._in("outcomes").bulk_write([_write(run) for run in runs], ordered=False)
        except BulkWriteError as error:
            only_duplicates(error)  # it has ended, or a later epoch has it

    async def _kept(self, run: HostRun) -> tuple[int, str] | None:
        found = await self._in("outcomes").find_one(
            {"_id": _id(run.job, run.host)}, {"epoch": 1, "state": 1}
        )
        return None if found is None else (found["epoch"], found["state"])

    @deadlined
    async def show_runs(self, runs: Sequence[HostRun]) -> None:
        """See RunStore."""
        if runs:
            writes = [_show(run) for run in runs]
            await self._in("outcomes").bulk_write(writes, ordered=False)

    @deadlined
    async def runs(self, job: str, *, after: int = 0, limit: int = 1000) -> list[HostRun]:
        """See RunStore."""
        where = {"job": job, "seq": {"$gt": after}}
        found = self._in("outcomes").find(where, {"doc": 1}).sort("seq", ASCENDING)
        return [run_of(each["doc"]) async for each in found.limit(min(limit, RUNS_MAX))]

    @deadlined
    async def get_runs(
        self, job: str, hosts: Sequence[str], *, with_output: bool = False
    ) -> list[HostRun]:
        """See RunStore."""
        asked = asked_hosts(hosts, with_output=with_output)
        where = {"_id": {"$in": [_id(job, host) for host in asked]}}
        shown = {"doc": 1, "output": 1} if with_output else {"doc": 1}
        docs: list[Doc] = await self._in("outcomes").find(where, shown).to_list(None)
        kept = [run_of(each["doc"], each.get("output")) for each in docs]
        order = {host: at for at, host in enumerate(asked)}
        return sorted(kept, key=lambda run: order[run.host])

    @deadlined
    async def count_runs(self, job: str) -> dict[str, int]:
        """See RunStore."""
        found = self._in("outcomes").aggregate(
            [{"$match": {"job": job}}, {"$group": {"_id": "$state", "hosts": {"$sum": 1}}}]
        )
        return {each["_id"]: each["hosts"] async for each in found}


def _id(job: str, host: str) -> str:
    return f"{job}/{host}"


def _show(run: HostRun) -> UpdateOne:
    begun = {"_id": _id(run.job, run.host), "epoch": run.epoch, "has_ended": False}
    return UpdateOne(begun, {"$set": {"output": packed(run)[1]}})


def _write(run: HostRun) -> UpdateOne:
    doc, output = packed(run)
    document: Doc = {
        "v": VERSION,
        "job": run.job,
        "host": run.host,
        "seq": run.seq,
        "epoch": run.epoch,
        "state": run.state,
        "has_ended": run.has_ended,
        "doc": doc,
        "output": output,
    }
    key = {"_id": _id(run.job, run.host)}
    if not run.has_ended:
        return UpdateOne(key, {"$setOnInsert": document}, upsert=True)
    beginning = {"has_ended": False, "epoch": {"$lte": run.epoch}}
    # One that is there and does not match is left alone: making it anew is refused by its id.
    return UpdateOne(key | beginning, {"$set": document}, upsert=True)
