"""Fanouts that stay in the process, whatever the broker."""

from typing import cast

from dts_core.brokers.base import CONTROL, EVENTS, Broker, Message
from dts_core.brokers.indoors import IndoorBroker
from dts_core.brokers.naming import Names
from dts_core.errors import BrokerUnavailable
from dts_core.settings import QueueNames
from dts_core.testing import wait_until
from tests.support.brokers import RecordingBroker

PLAIN = Names(QueueNames())


class Away(RecordingBroker):
    """No fanout goes out."""

    async def fanout(self, exchange: str, message: Message) -> None:
        raise BrokerUnavailable("away")


async def test_what_is_indoors_reaches_its_hearers_while_the_broker_is_away() -> None:
    """In order, each of them, until it closes; the broker below is not asked."""
    broker = IndoorBroker(cast("Broker", Away()), PLAIN, [EVENTS])
    heard: list[list[bytes]] = [[], []]
    first = await broker.subscribe(EVENTS, lambda message: heard[0].append(message.body))
    await broker.subscribe(EVENTS, lambda message: heard[1].append(message.body))
    for body in (b"1", b"2"):
        await broker.fanout(EVENTS, Message(body))

    await wait_until(lambda: heard == [[b"1", b"2"]] * 2)
    await first.close()
    await broker.fanout(EVENTS, Message(b"3"))

    await wait_until(lambda: heard[1] == [b"1", b"2", b"3"])
    assert heard[0] == [b"1", b"2"]


async def test_a_slow_hearer_loses_its_oldest_and_knows_how_many() -> None:
    """As on every broker: whoever hears of a loss looks at the store."""
    broker = IndoorBroker(cast("Broker", Away()), PLAIN, [EVENTS])
    heard: list[bytes] = []
    hearer = await broker.subscribe(EVENTS, lambda message: heard.append(message.body), limit=2)
    for body in (b"1", b"2", b"3"):
        await broker.fanout(EVENTS, Message(body))

    await wait_until(lambda: heard == [b"2", b"3"])
    assert hearer.dropped == 1


async def test_every_other_fanout_goes_out() -> None:
    """Workers hear `control` over the broker."""
    below = RecordingBroker()
    broker = IndoorBroker(cast("Broker", below), PLAIN, [EVENTS])
    await broker.fanout(CONTROL, Message(b"stop"))
    assert [(name, message.body) for name, message in below.fanouts] == [(CONTROL, b"stop")]
