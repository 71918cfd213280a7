"""The control side on a broker whose queues of jobs know no claims: its daemons, over one file."""

import asyncio
import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from dts_core import codec
from dts_core.brokers.base import (
    REQUESTS,
    RESULTS,
    Delivery,
    Message,
    Outgoing,
    QueueKind,
    QueueSpec,
)
from dts_core.brokers.claiming import ClaimingBroker
from dts_core.brokers.embedded import EmbeddedBroker
from dts_core.daemons.porter import Porter
from dts_core.daemons.requests import Requests
from dts_core.daemons.scheduler import Scheduler
from dts_core.model import Job, JobResult, JobResults
from dts_core.schema import MIGRATIONS, SCHEMA
from dts_core.services.claims import Claims
from dts_core.services.messages import job_message
from dts_core.settings import PorterSettings, RetentionSettings, SchedulerSettings
from dts_core.sqlite import Database, prepare
from dts_core.states import JobEvent, JobState
from dts_core.stores.embedded import EmbeddedIntake, EmbeddedStore
from dts_core.stores.jobstore import Intake
from dts_core.stores.outbox import OutboxIntake
from dts_core.testing import START, ManualClock, wait_until
from tests.support.jobs import LEASE, make_job
from tests.support.plain_side import ClaimingSide
from tests.support.taking import Taker

if TYPE_CHECKING:
    from dts_core.brokers.rabbitmq.broker import RabbitmqBroker

QUEUE = "jobs.default"


class Control:
    """The control side on a broker whose queues of jobs know no claims: the file's own, or one that is given."""

    def __init__(self, path: Path, broker: "RabbitmqBroker | None" = None) -> None:
        prepare(path, SCHEMA, MIGRATIONS)
        self.clock = ManualClock()
        self.database = Database(path, asyncio.get_running_loop())
        self.store = EmbeddedStore(self.database, self.clock)
        self.broker: EmbeddedBroker | RabbitmqBroker
        self.intake: Intake
        if broker is None:
            self.broker = embedded = EmbeddedBroker(self.database, clock=self.clock)
            self.intake = EmbeddedIntake(self.database, self.store, embedded)
        else:
            self.broker = broker
            self.intake = OutboxIntake(self.store, broker, self.clock)
        self.is_doubtful = False
        claims = Claims(self.store, self.clock, doubted=lambda: self.is_doubtful)
        self.porter = Porter(self.broker, self.store, self.intake, PorterSettings(), self.clock)
        self.requests = Requests(self.broker, self.store, self.clock, claims=claims)
        self.scheduler = Scheduler(
            self.broker,
            self.store,
            self.intake,
            SchedulerSettings(),
            RetentionSettings(),
            self.clock,
        )
        self._running: list[asyncio.Task[None]] = []
        self.sides: list[ClaimingSide] = []

    async def start(self) -> None:
        await self.broker.start()
        for spec in (QueueSpec(QUEUE), QueueSpec(RESULTS), QueueSpec(REQUESTS, QueueKind.REQUEST)):
            await self.broker.declare(spec)
        self.listen()

    def listen(self, *daemons: "Porter | Requests") -> None:
        """Run these, or both."""
        chosen = daemons or (self.porter, self.requests)
        self._running += [asyncio.create_task(each.run()) for each in chosen]

    async def deafen(self) -> None:
        for task in self._running:
            task.cancel()
        for task in self._running:
            with contextlib.suppress(asyncio.CancelledError):
                await task
        self._running.clear()

    async def stop(self) -> None:
        for side in self.sides:
            await side.broker.close()
        await self.deafen()
        await self.broker.close()
        await self.store.close()

    async def submit(self, count: int = 1) -> list[Job]:
        jobs = [make_job(state=JobState.PENDING) for _ in range(count)]
        await self.intake.accept(jobs, [job_message(job, at=START) for job in jobs])
        return jobs

    async def side(self, name: str, prefetch: int = 10, **options: float) -> ClaimingSide:
        assert isinstance(self.broker, EmbeddedBroker)
        side = ClaimingSide(self.broker, name, self.clock, **options)
        self.sides.append(side)
        return await side.begin(prefetch)

    async def running(
        self, count: int = 1, prefetch: int = 10, **options: float
    ) -> tuple[list[Job], ClaimingSide]:
        """So many new jobs, and the side `w1`, which was handed as many of them as it takes."""
        jobs = await self.submit(count)
        side = await self.side("w1", prefetch, **options)
        await side.taker.has(min(count, prefetch))
        return jobs, side

    async def of(self, job: Job) -> tuple[str, int, int, str]:
        """state, epoch, losses, worker."""
        kept = await self.store.get_job(job.id)
        assert kept is not None
        return kept.state.value, kept.epoch, kept.losses, kept.worker

    async def is_in(self, jobs: list[Job], state: JobState) -> None:
        async def does() -> bool:
            found = await self.store.get_jobs([job.id for job in jobs])
            return all(job.state is state for job in found)

        await wait_until(does, what=f"all are {state}")

    async def renew(self, side: ClaimingSide) -> None:
        """As its heartbeats do."""
        held = [(each.message.message_id, each.epoch) for each in side.held]
        await self.store.renew(held, self.clock.now() + LEASE)


class Side(Protocol):
    """A worker's side of whichever broker."""

    name: str
    broker: ClaimingBroker
    taker: Taker


async def report(side: Side, deliveries: list[Delivery]) -> None:
    results = [JobResult(d.message.message_id, d.epoch, JobEvent.FINISH, b"1") for d in deliveries]
    body = codec.encode(JobResults(side.name, side.name, results))
    await side.broker.publish([Outgoing(RESULTS, Message(body, type="JobResults"))])


async def finish(side: Side, deliveries: list[Delivery]) -> None:
    await report(side, deliveries)
    assert side.taker.consumption is not None
    side.taker.consumption.ack([delivery.tag for delivery in deliveries])
