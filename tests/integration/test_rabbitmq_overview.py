"""What the figures of queues are worth on RabbitMQ, with and without its management API."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from dts_core.brokers.base import DEAD, Delivery, Message, Outgoing, QueueSpec
from dts_core.brokers.rabbitmq.broker import RabbitmqBroker
from dts_core.model import QueueStats
from dts_core.settings import BrokerSettings, RabbitSettings
from dts_core.testing import wait_until
from dts_core.wiring.ports import Waiting
from dts_core.wiring.rabbit import open_rabbit
from tests.contract.rabbitmq_backends import MemoryGraves
from tests.support.grants import Grants
from tests.support.rabbitmq import RabbitNode

QUEUE = "jobs.default"


@asynccontextmanager
async def broker(url: str, management: str) -> AsyncIterator[RabbitmqBroker]:
    """One with a queue."""
    settings = RabbitSettings(management=management, settle_seconds=0)
    made = await RabbitmqBroker.connect(url, settings=settings)
    try:
        await made.declare(QueueSpec(QUEUE))
        yield made
    finally:
        await made.close()


async def look(side: RabbitmqBroker) -> QueueStats:
    """At the queue."""
    return next(each for each in await side.stats() if each.name == QUEUE)


async def test_what_others_hold_is_told(rabbit: RabbitNode, tmp_path: Path) -> None:
    """A looker that neither publishes nor takes sees it all, by the rights of the control side's own user."""
    url = rabbit.vhost()
    granted = Grants(rabbit, url, tmp_path).control()
    taken: list[Delivery] = []
    async with broker(granted, rabbit.api) as looker, broker(granted, "") as other:
        await other.consume(QUEUE, taken.extend, prefetch=1)
        await other.publish([Outgoing(QUEUE, Message(b"x")) for _ in range(3)])

        async def all_is_told() -> bool:
            told = await look(looker)
            return (told.ready, told.unacked, told.published) == (2, 1, 3)

        await wait_until(all_is_told, what="the figures")
        told = await look(looker)
        assert not told.partial
        assert told.delivered == 1
    rabbit.drop(url)


async def test_what_is_not_told_is_marked(rabbit: RabbitNode) -> None:
    """Without an API, and with one that does not answer, the figures are partial and the rest is there."""
    url = rabbit.vhost()
    for management in ("", "http://127.0.0.1:1"):
        async with broker(url, management) as looker:
            told = await look(looker)
            assert told.partial
            assert told.ready == 0
    rabbit.drop(url)


async def test_a_process_without_the_undertaker_lists_the_dead_letters_too(
    rabbit: RabbitNode,
) -> None:
    """A server whose daemons run elsewhere shows the same queues as one that has them all."""
    url = rabbit.vhost()
    async with AsyncExitStack() as stack:
        server, _ = await open_rabbit(
            stack, BrokerSettings(url=url), MemoryGraves(), Waiting(asyncio.Event())
        )
        assert DEAD in {each.name for each in await server.stats()}
    rabbit.drop(url)
