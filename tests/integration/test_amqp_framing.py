"""Our own AMQP framing with the real RabbitMQ: what a plane promises, and what the broker does to its clients."""

import asyncio
import re
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aio_pika
import pytest

from dts_core.brokers.base import Message
from dts_core.brokers.rabbitmq.framing import FramingPlane, open_plane
from dts_core.brokers.rabbitmq.plane import PlaneDelivery
from dts_core.errors import BrokerUnavailable, Forbidden, QueueNotFound
from dts_core.testing import wait_until
from tests.support.certificates import make_certificate
from tests.support.ports import free_ports
from tests.support.rabbitmq import RabbitNode, private_node, vhost_of

pytestmark = pytest.mark.external("rabbitmq")

DEADLINE_SECONDS = 60.0
KINDS: dict[str, dict[str, Any]] = {"classic": {}, "quorum": {"x-queue-type": "quorum"}}


class Road:
    """A virtual host with the queue `q`, and a plane to it.

    Attributes:
        got: What the consumer that `take` starts was handed.
        lists: The same, as it came.
    """

    def __init__(self, url: str, plane: FramingPlane) -> None:
        self.url = url
        self.plane = plane
        self.got: list[PlaneDelivery] = []
        self.lists: list[int] = []
        self.lost: list[str] = []
        plane.on_lost = self.lost.append

    def publish(self, message: Message, queue: str = "q", *, mandatory: bool = True) -> Any:
        return self.plane.publish("", queue, message, persistent=True, mandatory=mandatory)

    def _take(self, deliveries: list[PlaneDelivery]) -> None:
        self.lists.append(len(deliveries))
        self.got += deliveries

    async def take(self, *, prefetch: int = 0, no_ack: bool = False) -> str:
        return await self.plane.consume("q", self._take, prefetch=prefetch, no_ack=no_ack)

    async def until_got(self, count: int) -> list[PlaneDelivery]:
        await wait_until(lambda: len(self.got) >= count, what=f"{count} deliveries")
        return self.got


async def declare(url: str, **arguments: Any) -> None:
    """The queue `q`, by a client that is not ours."""
    connection = await aio_pika.connect(url)
    async with connection:
        channel = await connection.channel()
        await channel.declare_queue("q", durable=True, arguments=arguments or None)


@pytest.fixture(params=list(KINDS))
async def road(rabbit: RabbitNode, request: pytest.FixtureRequest) -> AsyncIterator[Road]:
    url = rabbit.vhost()
    await declare(url, **KINDS[request.param])
    plane = await open_plane(url, deadline_seconds=DEADLINE_SECONDS, name="test")
    yield Road(url, plane)
    await plane.close()
    rabbit.drop(url)


async def test_published_confirmed_taken_and_acked(road: Road) -> None:
    """Everything of a message arrives, in order; what was acked does not come again."""
    messages = [
        Message(
            f"body {number}".encode(), type="job", message_id=f"m{number}", correlation_id="c",
            reply_to="r", timestamp=1_700_000_000.25, content_encoding="zlib",
            headers={"number": number, "deep": {"list": [1, None, 2.5, "ä"]}},
        )
        for number in range(500)
    ]  # fmt: skip
    await asyncio.gather(*(road.publish(message) for message in messages))
    tag = await road.take(prefetch=100)
    acked = 0
    while acked < len(messages):
        await road.until_got(acked + 1)
        acked = len(road.got)
        road.plane.ack(road.got[-1].tag, multiple=True)
    assert [each.message for each in road.got] == messages
    assert {(each.routing_key, each.redelivered) for each in road.got} == {("q", False)}
    assert len(road.lists) < len(messages)  # several came with one read
    await road.plane.cancel(tag)
    await road.plane.cancel(tag)
    later = await open_plane(road.url, deadline_seconds=DEADLINE_SECONDS)
    await road.plane.close()
    again: list[PlaneDelivery] = []
    await later.publish("", "q", Message(b"last"), persistent=True, mandatory=True)
    await later.consume("q", again.extend, prefetch=0)
    await wait_until(lambda: bool(again))
    assert [each.message.body for each in again] == [b"last"]
    await later.close()


async def test_a_nack_brings_it_back(road: Road) -> None:
    """Requeued, it comes again and says so; refused, it does not."""
    await road.take(prefetch=1)
    await road.publish(Message(b"one"))
    first = (await road.until_got(1))[0]
    road.plane.nack(first.tag, requeue=True)
    second = (await road.until_got(2))[1]
    assert (second.message.body, first.redelivered, second.redelivered) == (b"one", False, True)
    assert second.message.headers == {}
    road.plane.nack(second.tag, requeue=False)
    await road.publish(Message(b"two"))
    assert (await road.until_got(3))[2].message.body == b"two"
    assert road.lost == []


async def test_unacked_go_back_when_the_plane_closes(road: Road) -> None:
    """A prefetch bounds what is out; another plane gets the rest at once and the unacked after the close."""
    await asyncio.gather(*(road.publish(Message(b"%d" % number)) for number in range(10)))
    await road.take(prefetch=4)
    await road.until_got(4)
    other = Road(road.url, await open_plane(road.url, deadline_seconds=DEADLINE_SECONDS))
    await other.take()
    await other.until_got(6)
    assert len(road.got) == 4
    await road.plane.close()
    await other.until_got(10)
    assert sorted(int(each.message.body) for each in other.got) == list(range(10))
    assert sum(each.redelivered for each in other.got) == 4
    assert (road.lost, other.lost) == ([], [])
    await other.plane.close()


async def test_returned_messages_are_told_apart(road: Road) -> None:
    """Those that no queue takes fail, those around them do not; without `mandatory` nobody is told."""
    waiting = [
        road.publish(Message(b"x", message_id=f"m{number}"), "q" if number % 3 else "nowhere")
        for number in range(60)
    ]
    found = await asyncio.gather(*waiting, return_exceptions=True)
    assert [isinstance(each, QueueNotFound) for each in found] == [
        number % 3 == 0 for number in range(60)
    ]
    assert await road.publish(Message(b"x"), "nowhere", mandatory=False) is None


@pytest.mark.parametrize("size", [0, 1, 131_064, 131_065, 1 << 20])
async def test_bodies_of_any_size(road: Road, size: int) -> None:
    """Whole, whatever number of frames it takes, with others around it."""
    body = bytes(range(256)) * (size // 256 + 1)
    bodies = [b"before", body[:size], b"after"]
    await road.take()
    await asyncio.gather(*(road.publish(Message(each)) for each in bodies))
    assert [each.message.body for each in await road.until_got(3)] == bodies


async def test_a_message_of_another_client(road: Road) -> None:
    """A plain script's message is read, with whatever properties and types it likes; and it reads ours."""
    connection = await aio_pika.connect(road.url)
    async with connection:
        channel = await connection.channel()
        theirs = aio_pika.Message(
            b"plain", message_id="m", expiration=60, priority=3, user_id="guest",
            headers={"f": 1.5, "big": 1 << 40, "table": {"a": [True]}, "bytes": bytearray(b"\xff")},
        )  # fmt: skip
        await channel.default_exchange.publish(theirs, routing_key="q")
        await road.take()
        message = (await road.until_got(1))[0].message
        assert (message.body, message.message_id, message.priority) == (b"plain", "m", 3)
        assert (message.app_id, message.content_type, message.user_id) == ("", "", "guest")
        assert message.headers["table"] == {"a": [True]}
        assert message.headers["big"] == 1 << 40
    assert road.lost == []


async def test_a_deleted_queue_ends_its_consumer(road: Road, rabbit: RabbitNode) -> None:
    """The owner hears of it; publishing to it is returned; the plane itself goes on."""
    ended: list[str] = []
    road.plane.on_cancelled = ended.append
    tag = await road.take()
    rabbit.delete_queue(vhost_of(road.url), "q")
    await wait_until(lambda: bool(ended))
    assert (ended, road.lost) == ([tag], [])
    with pytest.raises(QueueNotFound):
        await road.publish(Message(b"x"))


async def test_consuming_from_nowhere(road: Road) -> None:
    """It says so; the channel is lost with it, as AMQP has it."""
    with pytest.raises(QueueNotFound):
        await road.plane.consume("nowhere", lambda found: None, prefetch=1)
    assert len(road.lost) == 1
    with pytest.raises(BrokerUnavailable):
        await road.publish(Message(b"x"))


async def test_an_exchange_that_is_not_there(road: Road) -> None:
    """The broker ends the channel; the publication's outcome is unknown."""
    with pytest.raises(BrokerUnavailable, match="404"):
        await road.plane.publish("nowhere", "q", Message(b"x"), persistent=True, mandatory=True)
    assert len(road.lost) == 1


async def test_direct_reply_to(road: Road) -> None:
    """A question and its answer, without a queue of one's own."""
    answers: list[PlaneDelivery] = []
    reply = "amq.rabbitmq.reply-to"
    await road.plane.consume(reply, answers.extend, prefetch=0, no_ack=True)
    await road.take()
    await road.publish(Message(b"question", reply_to=reply, correlation_id="1"))
    question = (await road.until_got(1))[0].message
    assert question.reply_to.startswith(reply + ".")
    road.publish(Message(b"answer", correlation_id="1"), question.reply_to, mandatory=False)
    await wait_until(lambda: bool(answers))
    assert answers[0].message.body == b"answer"


async def test_the_broker_ends_the_connection(road: Road, rabbit: RabbitNode) -> None:
    """The owner is told once, with the broker's words; what is open ends."""
    vhost = vhost_of(road.url)
    await wait_until(lambda: bool(rabbit.connections(vhost)))
    for name in rabbit.connections(vhost):
        rabbit.end_connection(name)
    await wait_until(lambda: bool(road.lost))
    assert "320 CONNECTION_FORCED" in road.lost[0]
    with pytest.raises(BrokerUnavailable):
        await road.publish(Message(b"x"))
    assert len(road.lost) == 1


async def test_who_is_let_in(rabbit: RabbitNode) -> None:
    """A wrong password, a foreign virtual host, a queue without permission; no error holds a password."""
    url = rabbit.vhost()
    await declare(url)
    vhost = vhost_of(url)
    user = rabbit.add_user("ann", vhost, read="^$", write="", configure="", password="geheim")
    refused = [
        (rabbit.url(vhost, "ann", "falsch"), "refuses user 'ann'"),
        (rabbit.url("nowhere"), "nowhere"),
    ]
    for wrong, told in refused:
        with pytest.raises(BrokerUnavailable, match=re.escape(told)) as failed:
            await open_plane(wrong, deadline_seconds=DEADLINE_SECONDS)
        assert "falsch" not in str(failed.value)
    plane = await open_plane(user, deadline_seconds=DEADLINE_SECONDS)
    with pytest.raises(Forbidden):
        await plane.consume("q", lambda found: None, prefetch=1)
    await plane.close()
    rabbit.drop(url)


@pytest.mark.serial
@pytest.mark.slow
async def test_an_alarm_blocks_and_passes_over_tls(tmp_path: Path) -> None:
    """Memory alarm: the plane says it is blocked, nothing is lost, and what waited is confirmed. All of it over TLS."""
    cert, key = make_certificate(tmp_path)
    (port,) = free_ports(1)
    extra = (
        f"listeners.ssl.default = 127.0.0.1:{port}\nssl_options.cacertfile = {cert}\n"
        f"ssl_options.certfile = {cert}\nssl_options.keyfile = {key}\n"
    )
    with private_node(extra) as node:
        url = node.vhost()
        await declare(url)
        secure = url.replace("amqp:", "amqps:").replace(f":{node.port}/", f":{port}/")
        with pytest.raises(BrokerUnavailable, match="certificate"):
            await open_plane(secure, deadline_seconds=DEADLINE_SECONDS)
        context = ssl.create_default_context(cafile=str(cert))
        plane = await open_plane(
            secure, heartbeat_seconds=2, deadline_seconds=DEADLINE_SECONDS, tls=context
        )
        road = Road(url, plane)
        await road.publish(Message(bytes(1 << 20)))
        node.ctl("set_vm_memory_high_watermark", "absolute", "1MB")
        waiting = road.publish(Message(b"during"))

        def is_blocked() -> bool:
            nonlocal waiting
            if waiting.done():  # it came before the alarm, and only who publishes after it is told
                waiting = road.publish(Message(b"during"))
            return plane.is_blocked

        await wait_until(is_blocked, what="blocked")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(waiting), 5)  # longer than two heartbeats
        assert road.lost == []
        node.ctl("set_vm_memory_high_watermark", "0.4")
        await wait_until(lambda: not plane.is_blocked, what="free again")
        async with asyncio.timeout(60):
            await waiting
        await road.take()
        assert len((await road.until_got(2))[0].message.body) == 1 << 20
        node.kill()
        await wait_until(lambda: bool(road.lost))
        await plane.close()
