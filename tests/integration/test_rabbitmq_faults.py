"""What becomes of a broker's promises when RabbitMQ stops, dies, refuses or forgets; on a node of its own."""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, cast

import pytest

from dts_core.brokers.base import Message, Outgoing, QueueSpec
from dts_core.brokers.rabbitmq.aiopika_plane import AioPikaPlane
from dts_core.brokers.rabbitmq.broker import RabbitmqBroker
from dts_core.deadline import answer_within
from dts_core.errors import BrokerError, BrokerUnavailable, QueueNotFound
from dts_core.settings import RabbitSettings
from dts_core.testing import wait_until
from tests.support.rabbitmq import RabbitNode, vhost_of
from tests.support.taking import Taker, outgoing, until_stands

WORK = QueueSpec("work")
BACK_SECONDS = 60.0
"""How long a node may take to be there again on a busy machine."""
PLANES = ["aio-pika", "framing"]


class Place:
    """A virtual host on the node, and the brokers on it."""

    def __init__(self, node: RabbitNode, plane: Any) -> None:
        self.node = node
        self.url = node.vhost()
        self.plane = plane
        self.brokers: list[RabbitmqBroker] = []
        self.states: list[tuple[bool, str]] = []

    async def broker(self, *, watch_seconds: float = 10.0, **settings: Any) -> RabbitmqBroker:
        """One with the queue declared; what it tells of its connection goes to `states`."""
        broker = await RabbitmqBroker.connect(
            self.url, settings=RabbitSettings(plane=self.plane, **settings),
            watch_seconds=watch_seconds,
        )  # fmt: skip
        broker.on_state = lambda connected, why: self.states.append((connected, why))
        self.brokers.append(broker)
        await broker.declare(WORK)
        return broker

    async def close(self) -> None:
        for broker in self.brokers:
            await broker.close()
        self.node.drop(self.url)


@pytest.fixture(params=PLANES)
async def place(request: pytest.FixtureRequest, private_rabbit: RabbitNode) -> AsyncIterator[Place]:
    place = Place(private_rabbit, request.param)
    yield place
    await place.close()


async def publishes_again(broker: RabbitmqBroker, name: str) -> None:
    """Try until it is taken, as every caller of ours does."""

    async def is_published() -> bool:
        try:
            await broker.publish(outgoing("work", [name]))
        except BrokerUnavailable:
            return False
        return True

    await wait_until(is_published, BACK_SECONDS, what=f"{name} is published")


async def back(broker: RabbitmqBroker) -> None:
    await wait_until(lambda: broker.is_connected, BACK_SECONDS, what="connected again")


async def in_thread(act: Callable[[], object]) -> None:
    await asyncio.to_thread(act)


async def test_a_stop_of_the_application_is_survived(place: Place) -> None:
    """Unacked and waiting messages come again after it, and a publication during it ends in time."""
    broker = await place.broker(deadline_seconds=1.0)
    await broker.publish(outgoing("work", ["a", "b", "c"]))
    taker = await (await Taker.on(broker, "work", prefetch=2)).has(2)
    taker.ack("a")
    await taker.has(3)
    await until_stands(broker, "work", 0, 2)
    await in_thread(place.node.stop_app)
    with pytest.raises(BrokerUnavailable):
        await broker.publish(outgoing("work", ["lost"]))
    assert not broker.is_connected
    assert broker.state.startswith(("away", "connecting"))
    taker.ack()  # tags of the lost connection: nobody's
    await in_thread(place.node.start_app)
    await back(broker)
    await wait_until(lambda: len(taker.deliveries) >= 5, BACK_SECONDS)
    again = taker.deliveries[3:5]
    assert sorted(each.message.message_id for each in again) == ["b", "c"]
    assert all(each.redelivered for each in again)
    assert min(each.tag for each in again) > max(each.tag for each in taker.deliveries[:3])
    assert [connected for connected, _ in place.states[:2]] == [False, True]
    await publishes_again(broker, "after")
    taker.ack()
    await wait_until(lambda: "after" in taker.ids, BACK_SECONDS)


@pytest.mark.parametrize("kind", ["quorum", "classic"])
async def test_a_killed_broker_loses_nothing_confirmed(place: Place, kind: str) -> None:
    """kill -9 right after the confirms: everything is there afterwards, and consumed on by who consumed before."""
    broker = await place.broker(deadline_seconds=2.0, kinds={"*": kind})
    taker = await Taker.on(broker, "work", prefetch=1000)
    names = [f"m{number}" for number in range(200)]
    await broker.publish(outgoing("work", names))
    await in_thread(place.node.kill)
    await wait_until(lambda: not broker.is_connected, BACK_SECONDS)
    taker.deliveries.clear()
    await in_thread(place.node.start)
    await back(broker)
    await wait_until(lambda: len(set(taker.ids)) >= 200, BACK_SECONDS)
    assert set(taker.ids) == set(names)
    await publishes_again(broker, "after")
    await wait_until(lambda: "after" in taker.ids, BACK_SECONDS)


async def test_a_queue_that_is_deleted_is_made_again(place: Place) -> None:
    """The broker ends the consumer of a deleted queue (basic.cancel); it goes on with a new one of the same kind."""
    broker = await place.broker()
    taker = await Taker.on(broker, "work")
    await broker.publish(outgoing("work", ["a"]))
    await taker.has(1)
    await in_thread(lambda: place.node.delete_queue(vhost_of(place.url), "work"))

    async def is_back() -> bool:
        return (await broker.count("work"))[1] == 1

    await wait_until_made(is_back)
    await broker.publish(outgoing("work", ["b"]))
    await wait_until(lambda: taker.ids[-1] == "b", BACK_SECONDS)
    assert place.states == []


async def test_a_queue_that_is_deleted_before_its_consumer_begins_is_made_again(
    place: Place,
) -> None:
    """A process that has declared it, and consumes later, does not end over it."""
    broker = await place.broker()
    await in_thread(lambda: place.node.delete_queue(vhost_of(place.url), "work"))
    taker = await Taker.on(broker, "work")
    await broker.publish(outgoing("work", ["a"]))
    await taker.has(1)


async def wait_until_made(look: Callable[[], Awaitable[bool]]) -> None:
    """A queue that is not there yet is looked for on."""

    async def is_so() -> bool:
        try:
            return await look()
        except BrokerError:
            return False

    await wait_until(is_so, BACK_SECONDS)


async def test_a_connection_that_the_server_closes_comes_back(place: Place) -> None:
    """With every consumer, subscription and unacked delivery on it."""
    broker = await place.broker()
    heard: list[str] = []
    await broker.subscribe("control", lambda message: heard.append(message.message_id))
    taker = await Taker.on(broker, "work")
    await broker.publish(outgoing("work", ["a"]))
    await taker.has(1)
    vhost = vhost_of(place.url)

    def end_all() -> bool:
        for name in place.node.connections(vhost):
            place.node.end_connection(name)
        return bool(place.states)

    async def is_lost() -> bool:
        return await asyncio.to_thread(end_all)

    await wait_until(is_lost, BACK_SECONDS, what="the connection is closed")
    await wait_until(lambda: broker.is_connected and place.states[-1][0], BACK_SECONDS)
    await wait_until(lambda: taker.ids.count("a") >= 2, BACK_SECONDS)

    async def is_heard() -> bool:
        await broker.fanout("control", Message(b"", message_id="again"))
        return "again" in heard

    await wait_until_made(is_heard)
    await publishes_again(broker, "b")


async def test_a_connection_that_is_given_up_leaves_no_consumer_behind(place: Place) -> None:
    """It may still be alive: what was out on it is handed out again, and a new message comes to who takes now."""
    broker = await place.broker()
    taker = await Taker.on(broker, "work", prefetch=1)
    await broker.publish(outgoing("work", ["a", "b"]))
    await taker.has(1)
    cast("Any", broker)._supervisor.doubt("the broker refused a message")
    await wait_until(lambda: taker.ids.count("a") >= 2, BACK_SECONDS, what="it comes again")
    taker.consumption.ack([taker.deliveries[-1].tag])  # type: ignore[union-attr]
    await wait_until(lambda: "b" in taker.ids, BACK_SECONDS)
    vhost, own = vhost_of(place.url), 3 if place.plane == "framing" else 1

    async def is_gone() -> bool:
        return len(await asyncio.to_thread(place.node.connections, vhost)) == own

    await wait_until(is_gone, BACK_SECONDS, what="the old connections are gone")


@pytest.mark.parametrize("place", ["aio-pika"], indirect=True)
async def test_whoever_has_little_time_left_takes_nobody_s_answer_away(place: Place) -> None:
    """The driver closes a channel on which a question is cut short; the one for declarations is everybody's."""
    broker = await place.broker(watch_seconds=0.05)
    await Taker.on(broker, "work")
    for number in range(300):
        with contextlib.suppress(BrokerUnavailable), answer_within(number % 30 * 1e-4):
            await broker.stats()
        await asyncio.sleep(0.002)
    assert place.states == []


@pytest.mark.parametrize("place", ["aio-pika"], indirect=True)
async def test_a_queue_that_is_not_there_takes_nobody_s_answer_away(place: Place) -> None:
    """RabbitMQ closes the channel on which it is asked for one: who asks at the same time asks on the next."""
    broker = await place.broker(watch_seconds=0.05)
    await Taker.on(broker, "work")
    for _ in range(100):
        one, *others = await asyncio.gather(
            broker.publish(outgoing("nowhere", ["m"])), broker.count("work"), broker.count("work"),
            return_exceptions=True,
        )  # fmt: skip
        assert isinstance(one, QueueNotFound)
        assert others == [(0, 1), (0, 1)]
    assert place.states == []


@pytest.mark.parametrize("place", ["aio-pika"], indirect=True)
async def test_a_channel_that_is_closed_while_acks_go_out_takes_no_other_with_it(
    place: Place,
) -> None:
    """Acks that come behind the answer to its end would end the connection: CHANNEL_ERROR."""
    broker = await place.broker()
    await broker.publish(outgoing("work", [f"m{number}" for number in range(500)]))
    connection = broker._supervisor.connection
    assert connection is not None
    plane = await AioPikaPlane.open(connection, deadline_seconds=BACK_SECONDS)
    came: list[int] = []
    lost: list[str] = []
    plane.on_lost = lost.append
    await plane.consume("work", lambda found: came.extend(each.tag for each in found), prefetch=0)
    await wait_until(lambda: len(came) == 500, BACK_SECONDS, what="everything came")
    plane.ack(1_000_000)  # RabbitMQ closes a channel that acks what was never delivered
    for tag in itertools.chain(came, itertools.repeat(0)):
        if lost:
            break
        if tag:
            plane.ack(tag)
        await asyncio.sleep(0)
    await broker.publish(outgoing("work", ["after"]))
    assert "unknown delivery tag" in lost[0]
    assert place.states == []
    assert broker._supervisor.connection is connection


async def test_a_memory_alarm_ends_publications_in_time(place: Place) -> None:
    """A broker that is out of memory takes nothing: the caller hears so within the deadline, and goes on after it."""
    broker = await place.broker(deadline_seconds=1.0)
    await broker.publish(outgoing("work", ["before"]))
    await in_thread(lambda: place.node.ctl("set_vm_memory_high_watermark", "0.0000001"))
    try:
        refused: list[str] = []

        async def is_refused() -> bool:
            try:
                await broker.publish(outgoing("work", ["during"]))
            except BrokerUnavailable as error:
                refused.append(str(error))
            return bool(refused)

        await wait_until(is_refused, BACK_SECONDS, what="a publication is refused")
    finally:
        await in_thread(lambda: place.node.ctl("set_vm_memory_high_watermark", "0.6"))
    await publishes_again(broker, "after")
    taker = await Taker.on(broker, "work")
    await wait_until(lambda: "after" in taker.ids, BACK_SECONDS)
    assert taker.ids[0] == "before"


async def test_a_consumer_that_is_gone_is_noticed(place: Place) -> None:
    """Neither side says a word, but the broker has no consumer: the watchdog starts it anew."""
    broker = await place.broker(watch_seconds=0.3)
    taker = await Taker.on(broker, "work")
    consumption: Any = taker.consumption
    source = consumption.bands[0].sources[0]
    if place.plane == "aio-pika":
        await source.plane._channel.basic_cancel(source.consumer_tag)
    else:
        await source.plane.cancel(source.consumer_tag)
    await broker.publish(outgoing("work", ["a"]))
    await wait_until(lambda: taker.ids == ["a"], BACK_SECONDS)
    assert place.states == []


async def test_a_node_that_is_not_there_is_named(place: Place) -> None:
    """Who starts before the broker is told where it looked, without the password."""
    with pytest.raises(BrokerUnavailable) as refused:
        await RabbitmqBroker.connect(
            "amqp://me:hush@127.0.0.1:1/none", timeout_seconds=0.5,
            settings=RabbitSettings(deadline_seconds=0.5),
        )  # fmt: skip
    assert "127.0.0.1:1" in str(refused.value)
    assert "hush" not in str(refused.value)


async def test_a_refused_login_is_told(place: Place) -> None:
    """A wrong password is not an outage: the advice says where it stands."""
    url = place.node.url(vhost_of(place.url), "nobody", "hush")
    with pytest.raises(BrokerUnavailable) as refused:
        await RabbitmqBroker.connect(url, timeout_seconds=2)
    assert "login" in str(refused.value)
    assert "hush" not in str(refused.value)


async def test_each_message_names_its_user(place: Place) -> None:
    """RabbitMQ vouches for who published, and the control side can rely on it."""
    url = place.node.add_user(
        "dts.host.a", vhost_of(place.url), write="^dts\\.up$", configure="^$", read="^$"
    )
    control = await place.broker()
    await control.declare(QueueSpec("results"))
    worker = await RabbitmqBroker.connect(url, role="worker", host="a")
    place.brokers.append(worker)
    claimed = Message(b"x", message_id="r", user_id="guest")
    await worker.publish([Outgoing("results", claimed)])
    taker = await (await Taker.on(control, "results")).has(1)
    assert taker.deliveries[0].message.user_id == "dts.host.a"
