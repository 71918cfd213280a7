"""A long, even load: do memory and open files of every process stay flat?

    make soak
    SOAK_ENGINE=mongodb SOAK_MINUTES=10 SOAK_JOBS=6000 make soak

SOAK_ENGINE: rabbitmq (with the embedded store), mongodb (RabbitMQ with MongoDB, here a stand-in), embedded.
SOAK_MINUTES and SOAK_JOBS: how long, and how many jobs in that time. Samples go to benchmarks/out/soak-<engine>.json.
Exit status 1 when something of dts grows, or a job is not finished at the end.
"""

import asyncio
import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

import msgspec

from benchmarks.distributed import Distributed
from benchmarks.processes import Family
from dts_core.clients import AdminClient, submission
from tests.support.mongodb import mongodb_address
from tests.support.rabbitmq import RabbitNode, private_node
from tools.soak_verdict import Sample, Verdict, judge

ENGINES: Final = ("rabbitmq", "mongodb", "embedded")
SAMPLE_SECONDS: Final = 5.0
STEP_SECONDS: Final = 0.5
DRAIN_SECONDS: Final = 120.0
OPEN_MAX: Final = {"rabbitmq": 5_000, "embedded": 5_000, "mongodb": 500}
KEPT_DAYS: Final = {"rabbitmq": 30.0, "embedded": 30.0, "mongodb": 0.001}
"""The stand-in reads every document that fits, so finished jobs must not pile up in it."""
BROKER: Final = "rabbitmq"
"""Shown, and not judged: its memory rises for many minutes until its own collector settles."""
OUT: Final = Path(__file__).parents[1] / "benchmarks" / "out"
SOURCES: Final = {
    "quick": "async def main(payload=''):\n    return payload\n",
    "blocking": "def main(payload=''):\n    return payload\n",
    "talking": "async def main(payload=''):\n    print('working on', len(payload))\n    return 1\n",
    "failing": "async def main(payload=''):\n    raise ValueError('as it should')\n",
}
MIX: Final = ("quick",) * 90 + ("blocking",) * 5 + ("talking",) * 3 + ("failing",) * 2


class Plan(msgspec.Struct, frozen=True):
    """What is asked for by the environment."""

    engine: str
    minutes: float
    jobs: int

    @classmethod
    def from_environment(cls) -> "Plan":
        """SOAK_ENGINE, SOAK_MINUTES, SOAK_JOBS."""
        engine = os.environ.get("SOAK_ENGINE", "rabbitmq")
        if engine not in ENGINES:
            sys.exit(f"SOAK_ENGINE is one of {', '.join(ENGINES)}, not {engine!r}")
        small = engine == "mongodb"
        return cls(
            engine=engine,
            minutes=float(os.environ.get("SOAK_MINUTES", "10" if small else "30")),
            jobs=int(os.environ.get("SOAK_JOBS", "6000" if small else "1000000")),
        )


class Soak:
    """One run over a stack that has started."""

    def __init__(self, plan: Plan, stack: Distributed, client: AdminClient) -> None:
        self.plan = plan
        self.samples: list[Sample] = []
        self.submitted = 0
        self._stack = stack
        self._client = client
        self._started = time.monotonic()

    async def run(self, node: RabbitNode | None) -> int:
        """Load it, sample it; how many jobs were not finished at the end."""
        await self._client.namespaces.add("soak", description="")
        for name, source in SOURCES.items():
            await self._client.functions.add(f"soak/{name}", source)
        await self._stack.start_worker()
        families = self._stack.families()
        if node is not None:
            families[BROKER] = Family(node.pid)
        async with asyncio.TaskGroup() as group:
            sampling = group.create_task(self._sample(families))
            await self._load()
            left = await self._drain()
            sampling.cancel()
        return left

    async def _load(self) -> None:
        seconds = self.plan.minutes * 60
        began = time.monotonic()
        while (passed := time.monotonic() - began) < seconds:
            due = int(self.plan.jobs * passed / seconds) - self.submitted
            room = OPEN_MAX[self.plan.engine] - await self._open()
            if (count := min(due, room, 1_000)) > 0:
                await self._submit(count)
            await asyncio.sleep(STEP_SECONDS if due < 1_000 else 0.05)
        while (rest := self.plan.jobs - self.submitted) > 0:  # what a slow minute has left over
            if (room := OPEN_MAX[self.plan.engine] - await self._open()) > 0:
                await self._submit(min(rest, room, 1_000))
            await asyncio.sleep(0.05)

    async def _submit(self, count: int) -> None:
        kinds = (MIX[(self.submitted + at) % len(MIX)] for at in range(count))
        items = [submission(f"soak/{kind}", kwargs={"payload": "x" * 100}) for kind in kinds]
        await self._client.submit_many(items)
        self.submitted += count

    async def _open(self) -> int:
        states = (await self._client.counts()).states
        finished = ("done", "failed", "cancelled", "expired", "dead")
        return sum(count for state, count in states.items() if state not in finished)

    async def _drain(self) -> int:
        deadline = time.monotonic() + DRAIN_SECONDS
        left = await self._open()
        while left and time.monotonic() < deadline:
            await asyncio.sleep(STEP_SECONDS)
            left = await self._open()
        return left + self.plan.jobs - self.submitted

    async def _sample(self, families: dict[str, Family]) -> None:
        told = time.monotonic()
        while True:
            minutes = (time.monotonic() - self._started) / 60
            for part, family in families.items():
                self.samples.append(
                    Sample(part, minutes, family.rss(), family.anonymous(), family.descriptors())
                )
            if time.monotonic() - told >= 60:
                told = time.monotonic()
                print(f"  {minutes:5.1f} min, {self.submitted:,} jobs", flush=True)
            await asyncio.sleep(SAMPLE_SECONDS)


async def soak(plan: Plan, folder: Path, url: str, store: str, node: RabbitNode | None) -> int:
    """Run it; the process's exit status."""
    stack = Distributed(folder, url, store=store, jobs_days=KEPT_DAYS[plan.engine])
    try:
        client = await stack.start_server()
        run = Soak(plan, stack, client)
        left = await run.run(node)
        await client.close()
    finally:
        await stack.stop()
    verdicts = judge(run.samples)
    OUT.mkdir(exist_ok=True)
    report = {"plan": plan, "left": left, "verdicts": verdicts, "samples": run.samples}
    (OUT / f"soak-{plan.engine}.json").write_bytes(msgspec.json.encode(report))
    return tell(plan, left, verdicts)


def tell(plan: Plan, left: int, verdicts: list[Verdict]) -> int:
    """Print the figures and the closing line; 1 when something grows or is left."""
    print(f"\n{'':<14}{'':<10}{'start':>10}{'middle':>10}{'end':>10}{'growth':>10}{'allowed':>10}")
    for each in verdicts:
        figures = (each.first, each.middle, each.last, each.growth, each.allowed)
        shown = "".join(f"{value:>10,.1f}" for value in figures)
        print(f"{each.part:<14}{each.what:<10}{shown}  {'flat' if each.is_flat else 'GROWS'}")
    flat = all(each.is_flat for each in verdicts if each.part != BROKER)
    print(
        f"\nengine={plan.engine} minutes={plan.minutes:g} jobs={plan.jobs} unfinished={left} "
        f"flat={'yes' if flat else 'no'}"
    )
    return 0 if flat and not left else 1


@contextmanager
def servers(plan: Plan, folder: Path) -> Iterator[tuple[str, str, RabbitNode | None]]:
    """What the engine stands on: the broker's URL, the store's, the node."""
    with ExitStack() as stack:
        if plan.engine == "embedded":
            yield "", "", None
            return
        node = stack.enter_context(private_node())
        store = ""
        if plan.engine == "mongodb":
            store = stack.enter_context(mongodb_address(folder)).fresh()
        yield node.vhost(), store, node


def main() -> int:
    """Run what the environment asks for."""
    plan = Plan.from_environment()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that what was started is stopped
    print(f"soak: {plan.jobs:,} jobs in {plan.minutes:g} min on {plan.engine}", flush=True)
    with tempfile.TemporaryDirectory(prefix="dts-soak-") as name:
        folder = Path(name)
        with servers(plan, folder) as (url, store, node):
            return asyncio.run(soak(plan, folder, url, store, node))


if __name__ == "__main__":
    sys.exit(main())
