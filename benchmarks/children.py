"""Warm child processes by themselves: calls per second, one awaited call, a cold start."""

import asyncio
import hashlib
import statistics
import time
from typing import Any

from dts_core import loops
from dts_core.children import Call, Children, ChildrenSettings, Ended, EndKind
from dts_core.names import new_id

SOURCES = {
    "asynchronous": b"async def main():\n    return None\n",
    "synchronous": b"def main():\n    return None\n",
}


def _call(kind: str) -> Call:
    source = SOURCES[kind]
    return Call(
        id=new_id(),
        function="bench/noop",
        hash=hashlib.sha256(source).hexdigest(),
        source=source,
        is_async=kind == "asynchronous",
    )


async def _many(children: Children, kind: str, calls: int, at_once: int) -> float:
    """Calls per second with so many in flight."""
    gate = asyncio.Semaphore(at_once)
    ended = asyncio.Event()
    failed: list[Ended] = []
    left = calls

    def on_end(_: Call, end: Ended) -> None:
        nonlocal left
        left -= 1
        gate.release()
        if end.kind is not EndKind.RETURNED:
            failed.append(end)
        if left == 0:
            ended.set()

    started = time.perf_counter()
    for _ in range(calls):
        await gate.acquire()
        children.start(_call(kind), on_end)
    await asyncio.wait_for(ended.wait(), 120)
    if failed:
        raise RuntimeError(f"{len(failed)} calls failed: {failed[0]}")
    return calls / (time.perf_counter() - started)


async def _one(children: Children, kind: str, calls: int) -> dict[str, float]:
    """One call at a time, milliseconds."""
    times = []
    for _ in range(calls):
        started = time.perf_counter()
        await children.run(_call(kind))
        times.append((time.perf_counter() - started) * 1000)
    times.sort()
    return {"p50_ms": statistics.median(times), "p99_ms": times[int(len(times) * 0.99)]}


async def _measure(calls: int) -> dict[str, Any]:
    figures: dict[str, Any] = {}
    started = time.perf_counter()
    async with Children(ChildrenSettings(slots=2)) as children:
        await children.run(_call("synchronous"))
        figures["cold_start_ms"] = (time.perf_counter() - started) * 1000
        for kind in SOURCES:
            await _many(children, kind, 500, 50)
            figures[kind] = {
                "calls_per_second": await _many(children, kind, calls, 100),
                **await _one(children, kind, 500),
            }
    return figures


def run(*, quick: bool = False) -> dict[str, Any]:
    """Measure with the loop that a worker uses."""
    return loops.run(lambda: _measure(2_000 if quick else 20_000))
