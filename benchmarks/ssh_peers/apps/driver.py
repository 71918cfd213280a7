"""What every peer's program does: connect and run once on all hosts, then again and again, then say how long it took.

`python -m benchmarks.ssh_peers.apps.NAME PLACE`, with a `Place` as JSON; the answer is one line of JSON.
"""

import json
import os
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

WARM_SECONDS = 1.0
"""How long rounds go on at least: of a round of a millisecond a few say little."""


class Place(NamedTuple):
    """Where the hosts are."""

    hosts: list[str]
    port: int
    user: str
    key: str
    trusted: str
    ssh_config: str
    rounds: int


def _cpu() -> float:
    own, others = (
        resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    ended = own.ru_utime + own.ru_stime + others.ru_utime + others.ru_stime
    return ended + sum(map(_living, _children()))


def _children() -> list[str]:
    return [
        pid
        for task in Path("/proc/self/task").glob("*/children")
        for pid in task.read_text().split()
    ]


def _living(pid: str) -> float:
    """Of a child that has not ended, such as ssh(1), which does the ciphers for some."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def drive(start: Callable[[Place], Callable[[], Any]]) -> None:
    """Measure one peer.

    Args:
        start: Connects, runs on each host once, and returns what runs on each once more.
    """
    place = Place(*json.loads(sys.argv[1]))
    began, spent = time.perf_counter(), _cpu()
    again = start(place)
    cold, cold_cpu = time.perf_counter() - began, _cpu() - spent
    began, spent, rounds = time.perf_counter(), _cpu(), 0
    while rounds < place.rounds or time.perf_counter() - began < WARM_SECONDS:
        again()
        rounds += 1
    told = {
        "cold_seconds": cold,
        "cold_cpu_seconds": cold_cpu,
        "warm_seconds": (time.perf_counter() - began) / rounds,
        "warm_cpu_seconds": (_cpu() - spent) / rounds,
    }
    print(json.dumps(told), flush=True)
