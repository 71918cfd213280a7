"""A flood of logins beside other calls, and what the time of an answer tells of a user.

One `dts up` without a worker. The flood is wrong passwords of users that are there and names that nobody has, from many
addresses, some of which have tried too often already. Both figures are ratios or gaps within one run, bounded in time.
"""

import asyncio
import json
import statistics
import sys
import time
from collections import Counter
from itertools import count
from typing import Any

import httpx

from benchmarks.figures import percentile
from benchmarks.login_flood import USERS, addresses, client
from benchmarks.stack import Stack, running

CALLS = ("/session", "/jobs?limit=20", "/status", "/admin/users?limit=20")
PAUSE_SECONDS = 0.005
CHANGES = 3
"""How often calls alone and calls in the flood are measured, in turns."""


async def other_calls(stack: Stack, seconds: float) -> list[float]:
    """Seconds that each of the reads took, on one connection."""
    took: list[float] = []
    stop = time.monotonic() + seconds
    async with httpx.AsyncClient(base_url=stack.client.url, timeout=30) as http:
        http.headers["Authorization"] = f"Bearer {stack.client.token}"
        for number in count():
            if time.monotonic() >= stop:
                return took
            started = time.perf_counter()
            answer = await http.get(CALLS[number % len(CALLS)])
            took.append(time.perf_counter() - started)
            answer.raise_for_status()
            await asyncio.sleep(PAUSE_SECONDS)
    return took


async def in_flood(stack: Stack, seconds: float) -> tuple[list[float], Counter[str]]:
    """The same while logins pour in, and what became of those."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.login_flood", stack.client.url, str(seconds + 1)),
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        await asyncio.sleep(1)  # until it has begun
        took = await other_calls(stack, seconds)
        told, _ = await asyncio.wait_for(process.communicate(), 90)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return took, Counter(json.loads(told))


async def answers(stack: Stack, rounds: int) -> dict[str, Any]:
    """Milliseconds of a refused login by whether its user is there, in turns; and whether the bytes tell them apart."""
    took: dict[str, list[float]] = {"known": [], "unknown": []}
    bodies: set[bytes] = set()
    fresh = addresses()
    for number in range(rounds):
        names = {"known": f"user_{number % USERS}", "unknown": f"nobody_{number}"}
        async with client(stack.client.url, next(fresh)) as http:
            await http.get("/health/live")  # the connection is no part of it
            for kind in sorted(names, reverse=bool(number % 2)):
                body = {"user": names[kind], "secret": "wrong secret"}
                started = time.perf_counter()
                answer = await http.post(
                    "/session", json=body, headers={"X-Request-Id": "the-same"}
                )
                took[kind].append((time.perf_counter() - started) * 1000)
                bodies.add(bytes([answer.status_code // 2]) + answer.content)
    known, unknown = statistics.median(took["known"]), statistics.median(took["unknown"])
    return {
        "known_ms_median": known,
        "unknown_ms_median": unknown,
        "gap_ms": abs(known - unknown),
        "same_bytes": len(bodies) == 1,
    }


async def measure(*, quick: bool) -> dict[str, Any]:
    """Everything, on one stack."""
    seconds = 1.0 if quick else 6.0
    async with running("--no-worker", workers=0) as stack:
        for number in range(USERS):
            await stack.client.users.add(f"user_{number}", role="viewer", secret="a right secret")
        told = await answers(stack, USERS if quick else 6 * USERS)
        await other_calls(stack, 1.0)
        alone: list[float] = []
        flooded: list[float] = []
        statuses: Counter[str] = Counter()
        for _ in range(CHANGES):
            alone += await other_calls(stack, seconds)
            took, answered = await in_flood(stack, seconds)
            flooded += took
            statuses += answered
    figures: dict[str, Any] = {"refused_login": told}
    for name, values in (("alone", alone), ("in_flood", flooded)):
        figures[name] = {
            "calls": len(values),
            "p50_ms": percentile(values, 0.5) * 1000,
            "p99_ms": percentile(values, 0.99) * 1000,
        }
    figures["flood"] = {
        "logins": sum(statuses.values()),
        "per_second": sum(statuses.values()) / (CHANGES * (seconds + 1)),
        "by_status": dict(statuses),
    }
    figures["p99_ratio"] = figures["in_flood"]["p99_ms"] / figures["alone"]["p99_ms"]
    figures["p50_ratio"] = figures["in_flood"]["p50_ms"] / figures["alone"]["p50_ms"]
    return figures


def run(*, quick: bool = False) -> dict[str, Any]:
    """Measure."""
    return asyncio.run(measure(quick=quick))
