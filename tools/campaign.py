"""Faults at random under load: every accepted job ends once, whatever is killed or frozen meanwhile.

    .venv/bin/python tools/campaign.py [--seconds N] [--seed S] [--workers N] [--only TEXT] [--keep DIR]

An owner (`dts up --no-worker`) and workers of their own, on free ports and in a folder of their own. Load: quick
asynchronous jobs, synchronous ones of 0.2 s, failing ones with retries, and ones that are cancelled. Faults: SIGKILL,
SIGTERM and SIGSTOP/SIGCONT of owner, workers and their children. At the end everything is stopped and the data file is
read. Exit status 0 when nothing was lost or doubled and no process is left over; the seed repeats the order of faults.
"""

import argparse
import contextlib
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).parents[1]))

from dts_core.errors import DtsError
from tools.campaign_faults import Faults
from tools.campaign_load import FINAL_STATES, SOURCES, Load
from tools.campaign_stack import Stack
from tools.campaign_verdict import judge, story

SETTLE_SECONDS: Final = 90.0


def _patiently(act: Callable[[], Any], seconds: float) -> Any:
    deadline = time.monotonic() + seconds
    while True:
        try:
            return act()
        except DtsError:
            if time.monotonic() > deadline:
                raise
        time.sleep(0.2)


def _prepare(stack: Stack) -> None:
    with _patiently(stack.client, 40) as client:
        _patiently(client.session, 40)
        client.namespaces.add("test")
        for name, source in SOURCES.items():
            client.functions.add(f"test/{name}", source)


def _settle(stack: Stack, load: Load) -> list[str]:
    """Wait until everything has ended; a message of a job that came twice is dropped a lease later at the latest."""
    deadline = time.monotonic() + SETTLE_SECONDS
    left: dict[str, int] = {"unknown": 1}
    with stack.client() as client:
        while left and time.monotonic() < deadline:
            stack.tend()
            with contextlib.suppress(DtsError):
                load.cancel_rest(client)
                states = client.counts().states
                left = {s: n for s, n in states.items() if n and s not in FINAL_STATES}
                queues = client.queues().items
                left |= {q.name: q.ready + q.unacked for q in queues if q.ready + q.unacked}
            time.sleep(0.5)
    return [f"not ended within {SETTLE_SECONDS:g} s: {left}"] if left else []


def campaign(seconds: float, seed: int, workers: int, only: str, folder: Path) -> list[str]:
    """Run one; what went wrong."""
    stack = Stack(folder, workers)
    marks = folder / "marks"
    load, faults = Load(stack, seed, marks), Faults(stack, seed, only)
    found: list[str] = []
    try:
        stack.tend()
        _prepare(stack)
        load.start()
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            time.sleep(faults.pause())
            stack.look()
            print(f"{deadline - time.monotonic():6.1f}  {faults.one()}", flush=True)
            stack.tend()
        load.stop()
        found += _settle(stack, load)
    finally:
        found += stack.stop()
        found += stack.left_over()
    path = stack.data / "dts.db"
    found += [*stack.statuses, *load.moved, *judge(load, path, marks, faults.hurt)]
    for output in stack.outputs:
        said = output.read_text("utf-8", "replace")
        found += [f"{output.name}: {line}" for line in said.splitlines() if "Traceback" in line]
    print(story(load, faults.counts, path))
    return found


def main() -> int:
    """Run what the command line says."""
    parser = argparse.ArgumentParser(description="Faults at random under load.")
    parser.add_argument("--seconds", type=float, default=120.0, help="of faults (120)")
    parser.add_argument("--seed", type=int, default=0, help="0: by the dice")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--only", default="", help="faults whose name has this text")
    parser.add_argument("--keep", type=Path, help="folder that stays when something went wrong")
    options = parser.parse_args()
    seed = options.seed or random.SystemRandom().randrange(1, 1 << 31)
    print(f"seed {seed}, {options.seconds:g} seconds", flush=True)
    folder = Path(tempfile.mkdtemp(prefix="dts-campaign-"))
    found = campaign(options.seconds, seed, options.workers, options.only, folder)
    for line in found[:50]:
        print(line)
    print(
        f"{len(found)} findings; repeat with --seed {seed}"
        if found
        else "nothing lost, nothing doubled"
    )
    if found and options.keep:
        shutil.move(folder, options.keep)
    else:
        shutil.rmtree(folder, ignore_errors=True)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
