"""Huey with SQLite, the embedded peer: enqueue, run, and both together, as it comes and with its fsync on."""

import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

JOBS = 20_000
TASKS = """
from huey import SqliteHuey
huey = SqliteHuey("bench", filename={file!r}, fsync={fsync!r}, results=True)

@huey.task()
def noop():
    return 1
"""


def _measure(folder: Path, jobs: int, *, fsync: bool) -> dict[str, float]:
    """Producer and consumer as processes of their own, as dts has them."""
    module = folder / "tasks.py"
    module.write_text(TASKS.format(file=str(folder / "huey.db"), fsync=fsync))
    sys.path.insert(0, str(folder))
    consumer = None
    try:
        namespace: dict[str, Any] = {"__name__": "tasks"}
        exec(compile(module.read_text(), str(module), "exec"), namespace)
        huey, noop = namespace["huey"], namespace["noop"]
        consumer = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "huey.bin.huey_consumer",
                "tasks.huey",
                "-w",
                "1",
                "-k",
                "thread",
                "-d",
                "0.01",
            ],
            cwd=folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        noop()(blocking=True, timeout=20)
        started = time.perf_counter()
        handles = [noop() for _ in range(jobs)]
        enqueued = time.perf_counter() - started
        while huey.result_count() < jobs:
            if time.perf_counter() - started > 180:
                raise RuntimeError(f"{huey.result_count()} of {jobs} results")
            time.sleep(0.05)
        ended = time.perf_counter() - started
        del handles
        waits = []
        for _ in range(200):
            begun = time.perf_counter()
            noop()(blocking=True, timeout=20, backoff=1, max_delay=0.001)
            waits.append((time.perf_counter() - begun) * 1000)
        waits.sort()
    finally:
        sys.path.remove(str(folder))
        if consumer is not None:
            consumer.terminate()
            consumer.wait(20)
    return {
        "enqueue_per_second": jobs / enqueued,
        "end_to_end_per_second": jobs / ended,
        "awaited_p50_ms": waits[len(waits) // 2],
        "awaited_p99_ms": waits[int(len(waits) * 0.99)],
    }


def run(*, quick: bool = False) -> dict[str, Any]:
    """Both ways of running Huey."""
    figures = {}
    for name, fsync in (("as_it_comes", False), ("fsync_on", True)):
        with tempfile.TemporaryDirectory(prefix="huey-bench-") as folder:
            figures[name] = _measure(Path(folder), 2_000 if quick else JOBS, fsync=fsync)
    return figures
