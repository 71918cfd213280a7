"""Jobs through the whole road: HTTP, record, queue, worker, child, result, record; nothing lost, nothing twice."""

import asyncio
import statistics
import time
from typing import Any

import apsw

from benchmarks.figures import percentile
from benchmarks.stack import Stack, running
from dts_core.clients import submission

JOBS = 20_000
BATCH = 500
SENDERS = 3
AWAITED = 300
NOOP = "async def main():\n    return None\n"
NOOP_SYNC = "def main():\n    return None\n"


async def throughput(
    stack: Stack, function: str, jobs: int = JOBS, batch: int = BATCH
) -> dict[str, Any]:
    """Submit `jobs` in batches and wait until every one has its result in the store."""
    before = stack.cpu_seconds()
    done_before = (await stack.client.counts()).states.get("done", 0)
    left = iter(range(0, jobs, batch))
    ids: list[str] = []
    started = time.perf_counter()

    async def sender() -> None:
        for _ in left:
            answer = await stack.client.submit_many([submission(function)] * batch)
            ids.extend(answer.ids)

    async with asyncio.TaskGroup() as group:
        for _ in range(SENDERS):
            group.create_task(sender())
    submitted = time.perf_counter() - started
    deadline = time.monotonic() + 120
    while (await stack.client.counts()).states.get("done", 0) - done_before < jobs:
        if time.monotonic() > deadline:
            raise RuntimeError(f"not all done: {(await stack.client.counts()).states}")
        await asyncio.sleep(0.02)
    ended = time.perf_counter() - started
    after = stack.cpu_seconds()
    return {
        "jobs": jobs,
        "submit_per_second": jobs / submitted,
        "end_to_end_per_second": jobs / ended,
        "owner_us_per_job": (after["owner"] - before["owner"]) / jobs * 1e6,
        "workers_us_per_job": (after["workers"] - before["workers"]) / jobs * 1e6,
        **_verdict(stack, ids),
    }


def _verdict(stack: Stack, ids: list[str]) -> dict[str, int]:
    """What the file itself says of the jobs: each there, done, claimed exactly once."""
    connection = apsw.Connection(str(stack.folder / "dts.db"), flags=apsw.SQLITE_OPEN_READONLY)
    with connection:
        rows = {
            row[0]: row[1:]
            for row in connection.execute("SELECT id, state, epoch, attempt FROM jobs")
        }
    connection.close()
    found = [rows[each] for each in ids if each in rows]
    return {
        "lost": len(ids) - sum(state == "done" for state, _, _ in found),
        "twice": sum(epoch != 1 or attempt != 1 for _, epoch, attempt in found)
        + len(ids)
        - len(set(ids)),
    }


async def awaited(stack: Stack, function: str, jobs: int = AWAITED) -> dict[str, float]:
    """One job at a time, from the request to its result in the same answer; milliseconds."""
    times = []
    for _ in range(20):
        await stack.client.submit(function, wait=10)
    for _ in range(jobs):
        started = time.perf_counter()
        job = await stack.client.submit(function, wait=10)
        times.append((time.perf_counter() - started) * 1000)
        if job.state != "done":
            raise RuntimeError(f"job {job.id} is {job.state}")
    return {"p50_ms": statistics.median(times), "p99_ms": percentile(times, 0.99)}


async def idle(stack: Stack, seconds: float) -> dict[str, float]:
    """Share of a core that the stack uses while nothing is asked of it."""
    await asyncio.sleep(2)
    before, started = stack.cpu_seconds(), time.monotonic()
    await asyncio.sleep(seconds)
    after, span = stack.cpu_seconds(), time.monotonic() - started
    return {f"{part}_share": (after[part] - before[part]) / span for part in before}


async def _run(*, quick: bool) -> dict[str, Any]:
    jobs = 2_000 if quick else JOBS
    async with running() as stack:
        await stack.client.namespaces.add("bench", description="")
        await stack.client.functions.add("bench/noop", NOOP)
        await stack.client.functions.add("bench/noop_sync", NOOP_SYNC)
        figures: dict[str, Any] = {"memory_at_start": stack.memory_bytes()}
        await throughput(stack, "bench/noop", jobs=1_000)
        figures["asynchronous"] = await throughput(stack, "bench/noop", jobs)
        figures["synchronous"] = await throughput(stack, "bench/noop_sync", jobs // 2)
        figures["awaited_asynchronous"] = await awaited(stack, "bench/noop")
        figures["awaited_synchronous"] = await awaited(stack, "bench/noop_sync")
        figures["memory_after"] = stack.memory_bytes()
        figures["idle_whole_stack"] = await idle(stack, 5 if quick else 15)
    async with running("--no-worker", workers=0) as stack:
        figures["idle_owner_alone"] = await idle(stack, 5 if quick else 15)
    return figures


def run(*, quick: bool = False) -> dict[str, Any]:
    """All figures of the whole road."""
    return asyncio.run(_run(quick=quick))
