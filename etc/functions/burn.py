"""Keeps processor cores busy."""

import os
import subprocess
import sys
import time

from dts_core import job

# A helper process counts rounds until its time is up or its parent is gone.
_HELPER = """
import os, sys, time
end, parent, rounds = time.monotonic() + float(sys.argv[1]), os.getppid(), 0
while time.monotonic() < end and os.getppid() == parent:
    sum(range(20_000)); rounds += 1
print(rounds, time.process_time())
"""


def main(seconds: float = 5.0, cores: int = 1) -> dict[str, object]:
    """Compute for a while, to see load on the wall and to try cancel and timeout.

    Args:
        seconds: How long, above 0 and up to 3600.
        cores: How many cores to keep busy, 1 to the number this host has.

    Returns:
        `seconds` spent, `cores`, `rounds` of work, `cpu_seconds` over all cores, and `complete`,
        which is false when the job was cancelled on the way.
    """
    if not 0 < seconds <= 3600:
        raise ValueError(f"seconds is {seconds}; it must be above 0, up to 3600")
    available = os.cpu_count() or 1
    if not 1 <= cores <= available:
        raise ValueError(f"cores is {cores}; this host has 1 to {available}")
    start, cpu = time.monotonic(), time.process_time()
    helpers = [_start(seconds) for _ in range(cores - 1)]
    try:
        rounds = _work(start, seconds)
        cpu = time.process_time() - cpu
        for helper in helpers:
            if job.cancelled:
                helper.kill()
            words = helper.communicate()[0].split()
            if len(words) == 2:
                rounds += int(words[0])
                cpu += float(words[1])
    finally:
        for helper in helpers:
            helper.kill()
            helper.wait()
    return {
        "seconds": round(time.monotonic() - start, 3),
        "cores": cores,
        "rounds": rounds,
        "cpu_seconds": round(cpu, 3),
        "complete": not job.cancelled,
    }


def _start(seconds: float) -> subprocess.Popen[str]:
    command = [sys.executable, "-I", "-S", "-c", _HELPER, str(seconds)]
    return subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, encoding="ascii"
    )


def _work(start: float, seconds: float) -> int:
    rounds, told = 0, start
    while (now := time.monotonic()) < start + seconds and not job.cancelled:
        sum(range(20_000))
        rounds += 1
        if now - told >= 0.2:
            told = now
            job.progress((now - start) / seconds, f"{now - start:.1f} of {seconds:g} s")
    return rounds
