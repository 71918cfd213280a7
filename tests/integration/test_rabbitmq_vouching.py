"""RabbitMQ lets a worker's user leave its name out, and write any header: what the control side makes of it."""

import asyncio

import aio_pika
import pytest

from dts_core.brokers.base import DEAD, QueueSpec
from dts_core.brokers.rabbitmq.broker import RabbitmqBroker
from dts_core.brokers.rabbitmq.letters import letter_of
from dts_core.brokers.rabbitmq.topology import UP
from dts_core.brokers.rabbitmq.vouching import USER
from dts_core.brokers.senders import NOBODY
from dts_core.testing import START
from tests.support.rabbitmq import RabbitNode, vhost_of
from tests.support.taking import Taker

pytestmark = pytest.mark.serial
HOST = "dts.host.a"


async def test_whoever_is_not_named_is_nobody(rabbit: RabbitNode) -> None:
    """Neither as it comes nor as a dead letter is it the control side's word; a header is the host's own word."""
    url = await asyncio.to_thread(rabbit.vhost)
    control = await RabbitmqBroker.connect(url)
    try:
        await control.declare(QueueSpec("results"))
        worker = await asyncio.to_thread(
            lambda: rabbit.add_user(
                HOST, vhost_of(url), write="^dts\\.up$", configure="^$", read="^$"
            )
        )
        connection = await aio_pika.connect(worker)
        async with connection:
            channel = await connection.channel()
            up = await channel.get_exchange(UP, ensure=False)
            for user in (None, HOST):
                message = aio_pika.Message(b"x", user_id=user, headers={USER: "dts.control"})
                await up.publish(message, routing_key="results")
        taker = await (await Taker.on(control, "results")).has(2)
        assert [each.message.user_id for each in taker.deliveries] == [NOBODY, HOST]
        assert [each.message.headers for each in taker.deliveries] == [{}, {}]
        taker.nack(requeue=False, reason="forged")
        dead = await (await Taker.on(control, DEAD)).has(2)
        letters = [letter_of(each.message, now=START)[1] for each in dead.deliveries]
        assert sorted(each.message.user_id for each in letters) == sorted([NOBODY, HOST])
        assert {each.queue for each in letters} == {"results"}
    finally:
        await control.close()
