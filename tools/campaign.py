"""Faults at random under load: every accepted job ends once, whatever is killed, frozen, cut off or full meanwhile.

    .venv/bin/python tools/campaign.py [--engine embedded|distributed] [--jobs N] [--faults N] [--seed S]
                                       [--workers N] [--only TEXT]... [--first NAME]... [--longest FACTOR] [--keep DIR]

The first four also come from CAMPAIGN_ENGINE, CAMPAIGN_JOBS, CAMPAIGN_FAULTS and CAMPAIGN_SEED. Everything is private:
free ports, a folder of its own. Load: quick asynchronous jobs, synchronous ones of 0.2 s, long ones, failing ones with
retries, and ones that are cancelled; every operation goes into a history. At the end everything is stopped and the
store is read. The last line counts: lost, duplicate, stuck, and how long recovery took. Exit status 0 when the three
are 0 and nothing else broke a promise; the seed repeats the order of faults.
"""

import argparse
import contextlib
import os
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1]))

from dts_core.errors import DtsError
from tools.campaign_distributed import DistributedStack
from tools.campaign_embedded import EmbeddedFaults, EmbeddedStack
from tools.campaign_faults import Faults
from tools.campaign_load import SOURCES, History, Load
from tools.campaign_outages import DistributedFaults
from tools.campaign_recovery import Marks, Recoveries, p95
from tools.campaign_stack import Stack
from tools.campaign_verdict import Verdict, judge

SETTLE_SECONDS: Final = 120.0
SUBMIT_SECONDS: Final = 300.0
"""How long the rest of the load may take after the last fault."""
SAMPLES_MAX: Final = 60
"""Of each kind the longest are printed."""
ENGINES: Final[dict[str, tuple[type[Stack], type[Faults]]]] = {
    "distributed": (DistributedStack, DistributedFaults),
    "embedded": (EmbeddedStack, EmbeddedFaults),
}


class Options(NamedTuple):
    """What the command line or the environment says."""

    engine: str = "embedded"
    jobs: int = 2_000
    faults: int = 30
    seed: int = 0
    workers: int = 2
    only: Sequence[str] = ()
    longest: float = 1.0
    first: Sequence[str] = ()


class Outcome(NamedTuple):
    """Of one campaign."""

    jobs: int
    faults: int
    verdict: Verdict
    recoveries: Recoveries

    def line(self) -> str:
        """The closing line."""
        verdict, recoveries = self.verdict, self.recoveries
        return (
            f"jobs={self.jobs} faults={self.faults} lost={len(verdict.lost)} "
            f"duplicate={len(verdict.duplicate)} stuck={len(verdict.stuck)} "
            f"p95_worker_kill_s={p95(recoveries.worker_kill)} "
            f"p95_broker_back_s={p95(recoveries.broker_back)}"
        )


def _patiently(act: Callable[[], Any], seconds: float) -> Any:
    deadline = time.monotonic() + seconds
    while True:
        try:
            return act()
        except DtsError:
            if time.monotonic() > deadline:
                raise
        time.sleep(0.2)


@contextlib.contextmanager
def _told(what: str) -> Iterator[None]:
    """Print how long it took."""
    began = time.monotonic()
    yield
    print(f"      {what} ({time.monotonic() - began:.1f} s)", flush=True)


def _make_functions(stack: Stack) -> None:
    with _patiently(stack.client, 60) as client:
        _patiently(client.session, 60)
        client.namespaces.add("test")
        for name, source in SOURCES.items():
            client.functions.add(f"test/{name}", source)


def _befall(stack: Stack, load: Load, faults: Faults, count: int) -> None:
    """The faults, with the load spread over them."""
    for number in range(1, count + 1):
        load.allow(number / count)
        time.sleep(faults.pause())
        stack.look()
        began = time.monotonic()
        name = faults.one()
        print(f"{number:4d}  {name} ({time.monotonic() - began:.1f} s)", flush=True)
        stack.tend()
        stack.purge()


def _finish(stack: Stack, load: Load) -> None:
    """Let the rest of the load in."""
    load.allow(1.0)
    deadline = time.monotonic() + SUBMIT_SECONDS
    while not load.is_submitted and time.monotonic() < deadline:
        stack.tend()
        stack.purge()
        time.sleep(0.5)
    load.stop()


def _settle(stack: Stack, load: Load) -> list[str]:
    """Wait until everything has ended; a message of a job that came twice is dropped a lease later at the latest."""
    deadline = time.monotonic() + SETTLE_SECONDS
    left: dict[str, int] = {"unknown": 1}
    with stack.client() as client:
        while left and time.monotonic() < deadline:
            stack.tend()
            with contextlib.suppress(DtsError):
                load.cancel_rest(client)
                left = stack.unfinished(client)
                queues = client.queues().items
                left |= {q.name: q.ready + q.unacked for q in queues if q.ready + q.unacked}
            time.sleep(0.5)
    return [f"not ended within {SETTLE_SECONDS:g} s: {left}"] if left else []


def campaign(options: Options, folder: Path) -> Outcome:
    """Run one in an empty folder."""
    make_stack, make_faults = ENGINES[options.engine]
    stack = make_stack(folder, options.workers)
    marks = Marks(folder / "marks")
    history = History(folder / "history.jsonl")
    load = Load(stack, history, options.seed, marks.path, options.jobs)
    recoveries = Recoveries(marks, load.since, stack.acked, load.over)
    faults = make_faults(
        stack,
        recoveries,
        load.probe,
        options.seed,
        only=options.only,
        longest=options.longest,
        first=options.first,
    )
    found: list[str] = []
    try:
        with _told("servers started"):
            stack.build_clock()
            stack.prepare()
        with _told("processes started"):
            stack.tend()
            _make_functions(stack)
        load.start()
        _befall(stack, load, faults, options.faults)
        with _told("all submitted"):
            _finish(stack, load)
        with _told("all ended"):
            found += _settle(stack, load)
        with _told("processes stopped"):
            found += stack.stop()
        stack.running.clear()
        verdict = judge(load, stack.stored(), marks.all(), faults)
    finally:
        with _told("all stopped"):
            found += stack.stop()
            found += stack.left_over()
            stack.end()
            history.close()
    verdict.other.extend([*found, *stack.statuses, *faults.findings, *recoveries.findings])
    for output in stack.outputs:
        said = output.read_text("utf-8", "replace")
        verdict.other.extend(
            f"{output.name}: {line}" for line in said.splitlines() if "Traceback" in line
        )
    print("faults  " + ", ".join(f"{n} x {name}" for name, n in faults.counts.most_common()))
    print(f"history {dict(history.counts)}, {load.recovered} submissions sent again")
    for words, samples in (
        ("worker killed", recoveries.worker_kill),
        ("worker killed, deliveries acked before", recoveries.acked_kill),
        ("worker killed amid other faults", recoveries.troubled_kill),
        ("worker frozen", recoveries.frozen),
        ("worker cut off", recoveries.cut_off),
        ("broker back", recoveries.broker_back),
        ("answered while the database was away", recoveries.answers),
        ("backlog gone after the database's return", recoveries.backlog),
    ):
        print(f"{words}: {_all(samples)}")
    return Outcome(len(load.accepted), sum(faults.counts.values()), verdict, recoveries)


def _all(samples: list[float]) -> str:
    most = sorted(samples)[-SAMPLES_MAX:]
    told = " ".join(f"{sample:.2f}" for sample in most)
    return f"{told} ({len(samples)} samples)" if samples else "not measured"


def _options() -> tuple[Options, Path | None]:
    given = os.environ.get
    parser = argparse.ArgumentParser(description="Faults at random under load.")
    parser.add_argument("--engine", choices=ENGINES, default=given("CAMPAIGN_ENGINE") or "embedded")
    parser.add_argument("--jobs", type=int, default=int(given("CAMPAIGN_JOBS") or 2_000))
    parser.add_argument("--faults", type=int, default=int(given("CAMPAIGN_FAULTS") or 30))
    parser.add_argument(
        "--seed", type=int, default=int(given("CAMPAIGN_SEED") or 0), help="0: by the dice"
    )
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        help="faults whose name has one of these texts; repeatable",
    )
    parser.add_argument(
        "--first",
        action="append",
        default=[],
        help="a fault that comes before the dice; repeatable",
    )
    parser.add_argument("--longest", type=float, default=1.0, help="factor on how long they last")
    parser.add_argument(
        "--keep",
        type=Path,
        help="where the files of the run go (without it they stay where they are if something was found)",
    )
    found = parser.parse_args()
    keep: Path | None = found.keep
    seed = found.seed or random.SystemRandom().randrange(1, 1 << 31)
    fields = {name: getattr(found, name) for name in Options._fields} | {"seed": seed}
    return Options(**fields), keep


def _no_sockets(folder: str, names: list[str]) -> list[str]:
    return [
        name
        for name in names
        if not (Path(folder) / name).is_file() and not (Path(folder) / name).is_dir()
    ]


def main() -> int:
    """Run what the command line says."""
    options, keep = _options()
    print(f"engine {options.engine}, seed {options.seed}", flush=True)
    folder = Path(tempfile.mkdtemp(prefix="dts-campaign-"))
    found = ["it did not come to an end"]
    try:
        outcome = campaign(options, folder)
        found = [finding for group in outcome.verdict for finding in group]
        if keep:
            shutil.copytree(folder, keep, ignore=_no_sockets)
    finally:
        if found and not keep:
            print(f"the files of this run stay in {folder}", flush=True)
        else:
            shutil.rmtree(folder, ignore_errors=True)
    for line in found[:50]:
        print(line)
    if found:
        print(f"{len(found)} findings; repeat with CAMPAIGN_SEED={options.seed}")
    print(outcome.line(), flush=True)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
