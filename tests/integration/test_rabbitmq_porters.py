"""Several porters on RabbitMQ, one of which stands still: what it was sent is recorded late, and charged to nobody."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import pytest

from dts_core import codec
from dts_core.brokers.base import HEARTBEATS, RESULTS, Message, Outgoing, QueueKind, QueueSpec
from dts_core.brokers.naming import NamedBroker, Names
from dts_core.brokers.rabbitmq.broker import RabbitmqBroker
from dts_core.clock import SystemClock
from dts_core.daemons.ear import Ear, Recorder
from dts_core.daemons.porter import Porter
from dts_core.daemons.stethoscope import Stethoscope
from dts_core.model import Job, JobResult, JobResults, Outcome, Transition
from dts_core.services.claims import LEASE_SECONDS
from dts_core.services.listening import ToldLeases
from dts_core.settings import PorterSettings, QueueNames, RabbitSettings, StethoscopeSettings
from dts_core.states import JobEvent, JobState
from dts_core.stores.base import Store
from dts_core.stores.jobstore import JobStore
from dts_core.stores.outbox import OutboxIntake
from dts_core.testing import wait_until
from dts_core.wiring.rabbit import takers_of
from tests.contract.store_backends import embedded
from tests.support.jobs import job_in
from tests.support.proxy import Proxy
from tests.support.rabbitmq import RabbitNode

LENGTH = timedelta(seconds=LEASE_SECONDS)
BACK_SECONDS = 120.0


class Reach:
    """A porter's way to the store, which stands still with it."""

    def __init__(self, store: Store) -> None:
        self.moves = asyncio.Event()
        self.moves.set()
        self.late = 0
        """Calls that were made before it stood still and came after."""
        self._store = store

    async def apply(self, transitions: Sequence[Transition]) -> list[Outcome]:
        if not self.moves.is_set():
            self.late += 1
            await self.moves.wait()
        return await self._store.apply(transitions)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


class Post:
    """A porter with a connection of its own; frozen, it keeps what it was sent, and the broker hears nothing of it."""

    def __init__(self, porter: Porter, proxy: Proxy, reach: Reach) -> None:
        self.porter = porter
        self._proxy = proxy
        self._reach = reach

    def freeze(self) -> None:
        self._proxy.silence()
        self._reach.moves.clear()

    def thaw(self) -> None:
        self._reach.moves.set()
        self._proxy.resume()

    @property
    def late(self) -> int:
        return self._reach.late


class Hall:
    """A store, who judges leases over it, and porters."""

    def __init__(self, node: RabbitNode, store: Store, stack: AsyncExitStack) -> None:
        self.store = store
        self.clock = SystemClock()
        self.told = ToldLeases(store, self.clock, LENGTH)
        self._node = node
        self._url = node.vhost()
        self._stack = stack
        self._tasks: list[asyncio.Task[None]] = []

    async def open(self) -> None:
        """Hear everybody, and judge leases by it."""
        self.broker = broker = await self._line(self._url)
        ear = Ear(broker, self.store, self.clock, "s1")
        settings = StethoscopeSettings()
        self._run(Stethoscope(broker, self.store, settings, self.clock, ear=ear).run())
        self._run(self.told.run())

    async def post(self, name: str) -> Post:
        proxy = await self._stack.enter_async_context(Proxy(self._node.host, self._node.port))
        url = self._url.replace(f":{self._node.port}/", f":{proxy.port}/")
        broker, reach = await self._line(url), Reach(self.store)
        store = cast(JobStore, reach)
        porter = Porter(
            broker, store, OutboxIntake(self.store, broker, self.clock), PorterSettings(), self.clock,
            recorder=Recorder(broker, self.store, self.clock, name, takers=takers_of(broker)),
        )  # fmt: skip
        self._run(porter.run())
        return Post(porter, proxy, reach)

    async def hire(self, count: int) -> list[Job]:
        """Jobs that run, of workers that were heard a moment ago."""
        now = self.clock.now()
        jobs = [job_in(JobState.RUNNING, at=now) for _ in range(count)]
        await self.store.insert_jobs(jobs)
        return jobs

    async def report(self, jobs: Sequence[Job]) -> None:
        """They end: each result is published, and confirmed."""
        for job in jobs:
            done = JobResults(job.host, job.worker, [JobResult(job.id, 1, JobEvent.FINISH, b"1")])
            await self.broker.publish([Outgoing(RESULTS, Message(codec.encode(done)))])

    async def is_over(self, job: Job) -> bool:
        """Whether its worker is judged dead."""
        lapsed = await self.store.lapsed_jobs(self.told.horizon(), limit=1000)
        return job.id in {each.id for each in lapsed}

    async def all_are(self, jobs: Sequence[Job], state: JobState) -> bool:
        found = await self.store.get_jobs([job.id for job in jobs])
        return all(job.state is state for job in found)

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _run(self, work: Any) -> None:
        self._tasks.append(asyncio.create_task(work))

    async def _line(self, url: str) -> NamedBroker:
        settings = RabbitSettings(settle_seconds=0, deadline_seconds=2.0)
        broker = NamedBroker(
            await RabbitmqBroker.connect(url, settings=settings), Names(QueueNames())
        )
        self._stack.push_async_callback(broker.close)
        for spec in (QueueSpec(RESULTS), QueueSpec(HEARTBEATS, QueueKind.BOUNDED)):
            await broker.declare(spec)
        return broker


@pytest.fixture
async def hall(rabbit: RabbitNode, tmp_path: Path) -> AsyncIterator[Hall]:
    async with AsyncExitStack() as stack, embedded(tmp_path, SystemClock()) as engine:
        hall = Hall(rabbit, engine.store, stack)
        await hall.open()
        try:
            yield hall
        finally:
            await hall.close()
            await stack.aclose()


async def judges(hall: Hall) -> None:
    """Leases end as they should: that of a worker that says nothing does."""
    [dead] = await hall.hire(1)
    await wait_until(lambda: hall.is_over(dead), BACK_SECONDS, what="a lease ends")


async def never_over(hall: Hall, jobs: Sequence[Job], until: Callable[[], Awaitable[bool]]) -> None:
    """While waiting no lease of theirs is judged to be over."""

    async def is_so() -> bool:
        for job in jobs:
            assert not await hall.is_over(job), "a lease ended while its result waited"
        return await until()

    await wait_until(is_so, BACK_SECONDS, what="every result is recorded")


@pytest.mark.slow
async def test_what_a_frozen_porter_was_sent_ends_no_lease(hall: Hall) -> None:
    """The other one goes on; the broker gives the frozen one up, and what it wakes to do changes nothing."""
    frozen, other = await hall.post("p1"), await hall.post("p2")
    await judges(hall)
    early, late = await hall.hire(10), await hall.hire(20)
    frozen.freeze()
    await hall.report([*early, *late])

    async def half_is_done() -> bool:
        return other.porter.results_recorded >= 10

    await wait_until(half_is_done, BACK_SECONDS, what="the other one goes on")
    jobs = [*early, *late]
    assert not await hall.all_are(jobs, JobState.DONE)
    await never_over(hall, jobs, lambda: hall.all_are(jobs, JobState.DONE))
    frozen.thaw()
    await judges(hall)
    kept = await hall.store.get_jobs([job.id for job in jobs])
    assert {(job.state, job.epoch, job.losses) for job in kept} == {(JobState.DONE, 1, 0)}
    recorded = frozen.porter.results_recorded + other.porter.results_recorded
    assert recorded == len(jobs)


async def test_a_porter_that_ends_is_not_waited_for(hall: Hall) -> None:
    """Its connection goes with it, so leases are judged on by what the other one says."""
    first, _ = await hall.post("p1"), await hall.post("p2")
    await judges(hall)
    await first.porter.broker.close()
    await judges(hall)
