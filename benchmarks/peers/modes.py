"""The measurements that every subject goes through, in this order."""

import asyncio
import time
from typing import Any

from benchmarks.figures import percentile
from benchmarks.peers.subject import Subject
from benchmarks.processes import CpuMark, Family, pss

POLL_SECONDS = 0.02
START_SECONDS = 30.0
DEADLINE_SECONDS = 240.0
IDLE_SECONDS = 3.0
KIB = 1024
MIB = 1 << 20


async def measure(subject: Subject, scale: float) -> dict[str, Any]:
    """One repetition: `scale` times the subject's jobs."""
    count = max(int(subject.jobs * scale), 50)
    await subject.open()
    try:
        return {
            "version": subject.version,
            "results": subject.results,
            "jobs": count,
            "enqueue": await enqueue(subject, count),
            "burn_down": await burn_down(subject, count),
            "idle": await idle(subject),
            "sustained": await sustained(subject, "noop", count, 0),
            "payload_1_kib": await sustained(subject, "noop", count // 2, KIB),
            "io_10_ms": await sustained(subject, "io", max(count // 10, 50), 0),
            "one_at_a_time": await one_at_a_time(subject, max(int(400 * scale), 20)),
        }
    finally:
        await subject.close()


async def enqueue(subject: Subject, count: int) -> dict[str, float]:
    """Submissions with nobody who takes them."""
    mark = CpuMark(subject.families())
    seconds = await subject.enqueue("noop", count, 0)
    return {"per_second": count / seconds, **mark.us_each(count)}


async def burn_down(subject: Subject, count: int) -> dict[str, float]:
    """A worker that finds `count` jobs waiting, from the first stored results to the last one."""
    await subject.start_worker()
    peak = Peak(subject.families()["worker"])
    before = 0
    deadline = time.monotonic() + START_SECONDS
    while not before:
        before = await subject.stored()
        if time.monotonic() > deadline:
            raise TimeoutError(f"{subject.name}: no result of {count} jobs")
        await asyncio.sleep(POLL_SECONDS if not before else 0)
        peak.look()
    started = time.perf_counter()
    mark = CpuMark(subject.families())
    await until_stored(subject, count, peak)
    done = max(count - before, 1)
    took = time.perf_counter() - started
    return {"per_second": done / took, **mark.us_each(done), "busy_pss_mib": peak.pss / MIB}


async def sustained(subject: Subject, job: str, count: int, size: int) -> dict[str, float]:
    """Client and worker at the same time, from the first submission to the last stored result."""
    before = await subject.stored()
    mark, started = CpuMark(subject.families()), time.perf_counter()
    await subject.enqueue(job, count, size)
    await until_stored(subject, before + count)
    return {"per_second": count / (time.perf_counter() - started), **mark.us_each(count)}


async def one_at_a_time(subject: Subject, count: int) -> dict[str, float]:
    """An idle system, one job after the other."""
    await subject.one(10)
    times = await subject.one(count)
    return {"p50_ms": percentile(times, 0.5), "p99_ms": percentile(times, 0.99)}


async def idle(subject: Subject) -> dict[str, float]:
    """The worker after its jobs, with nothing to do."""
    await asyncio.sleep(IDLE_SECONDS)
    worker = subject.families()["worker"]
    used, started = worker.cpu_seconds(), time.perf_counter()
    await asyncio.sleep(IDLE_SECONDS)
    share = (worker.cpu_seconds() - used) / (time.perf_counter() - started)
    head, *children = worker.members()
    return {
        "head_rss_mib": head.memory_info().rss / MIB,
        "largest_child_pss_mib": max((pss(each) for each in children), default=0) / MIB,
        "rss_mib": worker.rss() / MIB,
        "pss_mib": worker.pss() / MIB,
        "processes": float(len(worker.members())),
        "cpu_percent": share * 100,
    }


class Peak:
    """The most memory that was seen."""

    def __init__(self, family: Family) -> None:
        self._family = family
        self._next = 0.0
        self.pss = 0

    def look(self) -> None:
        """Looks at most four times a second: telling shared pages apart is work."""
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + 0.25
            self.pss = max(self.pss, self._family.pss())


async def until_stored(subject: Subject, count: int, peak: Peak | None = None) -> None:
    """Wait for so many results.

    Raises:
        TimeoutError: They did not come.
    """
    deadline = time.monotonic() + DEADLINE_SECONDS
    while (found := await subject.stored()) < count:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{subject.name}: {found} of {count} results")
        if peak is not None:
            peak.look()
        await asyncio.sleep(POLL_SECONDS)
