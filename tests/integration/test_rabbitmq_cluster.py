"""A cluster of RabbitMQ, of which one node after the other dies and comes back while jobs run."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from dts_core.brokers.base import CONTROL, Delivery
from dts_core.brokers.claiming import ClaimingBroker
from dts_core.brokers.rabbitmq.broker import RabbitmqBroker
from dts_core.errors import BrokerError, BrokerUnavailable
from dts_core.settings import RabbitSettings
from dts_core.states import JobState
from dts_core.testing import wait_until
from tests.support.jobs import LEASE
from tests.support.plain_control import QUEUE, Control, finish
from tests.support.processes import eventually
from tests.support.rabbitmq_cluster import Cluster, private_cluster
from tests.support.taking import Taker

BACK_SECONDS = 120.0
JOBS = 20
"""Between two faults."""


class Side:
    """A worker that holds each job for a moment and reports it done."""

    def __init__(self, name: str, url: str, settings: RabbitSettings) -> None:
        self.name = name
        self.rabbit = RabbitmqBroker(url, host=name, worker=name, role="worker", settings=settings)
        self.broker = ClaimingBroker(self.rabbit, host=name, worker=name, ack_after_seconds=600)
        self.rabbit.on_state = self.broker.on_link
        self.ran: list[str] = []
        self.taker: Taker
        self._task: asyncio.Task[None] | None = None

    async def begin(self) -> None:
        await self.rabbit.start()
        await self.broker.subscribe(CONTROL, lambda message: None)
        self.taker = await Taker.on(self.broker, QUEUE, prefetch=4)
        self._task = asyncio.create_task(self._work())

    async def end(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self.broker.close()

    async def _work(self) -> None:
        while True:
            await wait_until(lambda: bool(self.taker.deliveries), 10 * BACK_SECONDS)
            delivery = self.taker.deliveries.pop(0)
            self.ran.append(delivery.message.message_id)
            await asyncio.sleep(random.uniform(0.05, 0.3))
            await self._report(delivery)

    async def _report(self, delivery: Delivery) -> None:
        async def is_reported() -> bool:
            try:
                await finish(self, [delivery])
            except BrokerError:  # as a worker's outbox does: until it is confirmed
                return False
            return True

        await wait_until(is_reported, BACK_SECONDS)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with private_cluster() as found:
        yield found


@pytest.fixture(params=["aio-pika", "framing"])
async def control(
    request: pytest.FixtureRequest, cluster: Cluster, tmp_path: Path
) -> AsyncIterator[Control]:
    settings = RabbitSettings(
        kinds={"requests": "quorum", "*": "quorum"}, plane=request.param, deadline_seconds=3.0
    )
    url = cluster.vhost()
    control = Control(tmp_path / "dts.db", RabbitmqBroker(url, settings=settings))
    sides = [Side(name, url, settings) for name in ("w1", "w2")]
    control.sides = sides  # type: ignore[assignment]
    await control.start()
    for side in sides:
        await side.begin()
    yield control
    for side in sides:
        await side.end()
    control.sides = []
    await control.stop()


async def submitted(control: Control) -> list[Any]:
    """As the API does: stored first; a message that is not confirmed is sent again by the scheduler."""
    jobs = await control.submit(JOBS)
    return list(jobs)


async def all_done(control: Control, jobs: list[Any]) -> None:
    async def is_so() -> bool:
        found = await control.store.get_jobs([job.id for job in jobs])
        held = [(job.id, job.epoch) for job in found if job.state is JobState.RUNNING]
        await control.store.renew(held, control.clock.now() + 2 * LEASE)  # as heartbeats do
        control.clock.advance(0.1)
        with contextlib.suppress(
            BrokerUnavailable
        ):  # it is a chore of the scheduler's: tried again
            await control.scheduler.publish_pending()
        return all(job.state is JobState.DONE for job in found)

    await wait_until(is_so, BACK_SECONDS, what="every job is done")


@pytest.mark.serial
@pytest.mark.slow
@pytest.mark.parametrize("how", ["stop", "kill"])
async def test_one_node_after_the_other_is_away(
    cluster: Cluster, control: Control, how: str
) -> None:
    """What was accepted is done once, while the node is away and after it; nobody is charged."""
    jobs = await submitted(control)
    for node in cluster.nodes:
        await asyncio.to_thread(node.stop_app if how == "stop" else node.kill)
        jobs += await submitted(control)
        await all_done(control, jobs)
        jobs += await submitted(control)
        await asyncio.to_thread(node.start_app if how == "stop" else node.start)
        await asyncio.to_thread(whole, cluster)
        await all_done(control, jobs)
    kept = await control.store.get_jobs([job.id for job in jobs])
    assert {(job.state, job.losses) for job in kept} == {(JobState.DONE, 0)}
    ran = [name for side in control.sides for name in side.ran]  # type: ignore[attr-defined]
    assert sorted(ran) == sorted(job.id for job in jobs)


def whole(cluster: Cluster) -> None:
    eventually(cluster.is_whole, seconds=BACK_SECONDS, what="the cluster is whole")
