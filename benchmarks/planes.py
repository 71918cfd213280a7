"""The planes beside each other: our own framing, aio-pika's parted stream, aiormq's and aio-pika's as they come.

One connection, one queue, 200 bytes persistent and confirmed, then consumed and acked; nothing of the broker adapter.
`aiormq_plain` is its channel with `wait=False`; `parted` is the shipped plane "aio-pika". The figure to compare
is the client's processor time a message: the wall rates are the broker's, which shares the machine.
"""

import asyncio
import contextlib
import json
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, Final, Protocol

import aio_pika
import aiormq
import uvloop
from aiormq.abc import DeliveredMessage
from pamqp.commands import Basic

from benchmarks.broker import BODY, DEADLINE_SECONDS
from benchmarks.figures import medians, spread
from benchmarks.processes import CpuMark, Family
from dts_core.brokers.base import Message
from dts_core.brokers.rabbitmq.aiopika_plane import AioPikaPlane
from dts_core.brokers.rabbitmq.connecting import Connection
from dts_core.brokers.rabbitmq.framing import open_plane
from dts_core.brokers.rabbitmq.framing.address import address_of
from dts_core.brokers.rabbitmq.plane import Plane, PlaneDelivery
from dts_core.names import new_id
from tests.support.rabbitmq import RabbitNode, private_node

QUEUE: Final = "bench"
KINDS: Final[dict[str, dict[str, Any]]] = {"classic": {}, "quorum": {"x-queue-type": "quorum"}}
WINDOW: Final = 1_000
"""Publications open at a time, and the prefetch."""
ACK_EACH: Final = 100


class Client(Protocol):
    """One way to speak to the broker."""

    async def publish(self, messages: Sequence[Message]) -> None:
        """Until the last is confirmed."""
        ...

    async def consume(self, total: int) -> None:
        """Take and ack so many."""
        ...


class OverPlane:
    """A Plane; acks with `multiple`, once for each list of deliveries."""

    def __init__(self, plane: Plane) -> None:
        self._plane = plane

    async def publish(self, messages: Sequence[Message]) -> None:
        await asyncio.wait(
            [
                self._plane.publish("", QUEUE, each, persistent=True, mandatory=True)
                for each in messages
            ]
        )

    async def consume(self, total: int) -> None:
        over = asyncio.Event()
        count = 0

        def take(deliveries: list[PlaneDelivery]) -> None:
            nonlocal count
            count += len(deliveries)
            self._plane.ack(deliveries[-1].tag, multiple=True)
            if count >= total:
                over.set()

        tag = await self._plane.consume(QUEUE, take, prefetch=WINDOW)
        await over.wait()
        await self._plane.cancel(tag)


def properties_of(message: Message) -> Basic.Properties:
    """As aiormq takes them."""
    return Basic.Properties(
        message_id=message.message_id, message_type=message.type, app_id=message.app_id or None,
        content_type=message.content_type, delivery_mode=2,
    )  # fmt: skip


class OverAiormq:
    """aiormq's own channel, wait=False; acks with `multiple`, once for every ACK_EACH deliveries."""

    def __init__(self, channel: Any) -> None:
        self._channel = channel

    async def publish(self, messages: Sequence[Message]) -> None:
        await asyncio.gather(*(self._publish(each) for each in messages))

    async def _publish(self, message: Message) -> None:
        confirm = await self._channel.basic_publish(
            message.body, routing_key=QUEUE, properties=properties_of(message),
            mandatory=True, wait=False,
        )  # fmt: skip
        assert isinstance(confirm, Basic.Ack)

    async def consume(self, total: int) -> None:
        over = asyncio.Event()
        count = 0

        async def take(delivered: DeliveredMessage) -> None:
            nonlocal count
            count += 1
            if count % ACK_EACH == 0 or count >= total:
                await self._channel.basic_ack(
                    delivered.delivery_tag or 0, multiple=True, wait=False
                )
            if count >= total:
                over.set()

        await self._channel.basic_qos(prefetch_count=WINDOW)
        answer = await self._channel.basic_consume(QUEUE, take)
        await over.wait()
        await self._channel.basic_cancel(answer.consumer_tag)


class OverAioPika:
    """aio-pika as its documentation has it: an exchange, a queue, an ack a message."""

    def __init__(self, channel: Any) -> None:
        self._channel = channel

    async def publish(self, messages: Sequence[Message]) -> None:
        publish = self._channel.default_exchange.publish
        await asyncio.gather(
            *(
                publish(
                    aio_pika.Message(
                        each.body, message_id=each.message_id, type=each.type, app_id=each.app_id,
                        content_type=each.content_type,
                        delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
                    ),
                    QUEUE,
                )
                for each in messages
            )
        )  # fmt: skip

    async def consume(self, total: int) -> None:
        over = asyncio.Event()
        count = 0

        async def take(message: aio_pika.abc.AbstractIncomingMessage) -> None:
            nonlocal count
            count += 1
            await message.ack()
            if count >= total:
                over.set()

        await self._channel.set_qos(prefetch_count=WINDOW)
        queue = await self._channel.get_queue(QUEUE, ensure=False)
        tag = await queue.consume(take)
        await over.wait()
        await queue.cancel(tag)


@contextlib.asynccontextmanager
async def framing(url: str) -> AsyncIterator[Client]:
    plane = await open_plane(url)
    yield OverPlane(plane)
    await plane.close()


@contextlib.asynccontextmanager
async def parted(url: str) -> AsyncIterator[Client]:
    connection = Connection(address_of(url), heartbeat_seconds=60, name="bench", context=None)
    await connection.connect()
    plane = await AioPikaPlane.open(connection, deadline_seconds=DEADLINE_SECONDS)
    yield OverPlane(plane)
    await plane.close()
    await connection.end()


@contextlib.asynccontextmanager
async def aiormq_plain(url: str) -> AsyncIterator[Client]:
    connection = await aiormq.connect(url)
    yield OverAiormq(await connection.channel())
    await connection.close()


@contextlib.asynccontextmanager
async def aio_pika_plain(url: str) -> AsyncIterator[Client]:
    async with await aio_pika.connect(url) as connection:
        yield OverAioPika(await connection.channel())


CLIENTS: Final[dict[str, Callable[[str], contextlib.AbstractAsyncContextManager[Client]]]] = {
    "framing": framing,
    "parted": parted,
    "aiormq_plain": aiormq_plain,
    "aio_pika_plain": aio_pika_plain,
}


def messages(count: int) -> list[Message]:
    return [Message(BODY, type="job", message_id=new_id()) for _ in range(count)]


async def timed(
    families: dict[str, Family], total: int, work: Callable[[], Awaitable[None]]
) -> dict[str, float]:
    """Rate and processor time a message."""
    mark, own, started = CpuMark(families), time.process_time(), time.perf_counter()
    async with asyncio.timeout(DEADLINE_SECONDS):
        await work()
    return {
        "per_second": total / (time.perf_counter() - started),
        "client_us": (time.process_time() - own) / total * 1e6,
        **mark.us_each(total),
    }


async def measure(node: RabbitNode, client: str, kind: str, total: int) -> dict[str, Any]:
    """One client on one kind of queue, in a virtual host of its own."""
    url = node.vhost()
    families = {"broker": Family(node.pid)}
    async with await aio_pika.connect(url) as connection:
        channel = await connection.channel()
        await channel.declare_queue(QUEUE, durable=True, arguments=KINDS[kind])
    windows = [messages(min(WINDOW, total - at)) for at in range(0, total, WINDOW)]

    async def publish() -> None:
        for window in windows:
            await it.publish(window)

    async with CLIENTS[client](url) as it:
        figures = {
            "publish_confirm": await timed(families, total, publish),
            "consume_ack": await timed(families, total, lambda: it.consume(total)),
        }
    await asyncio.to_thread(node.drop, url)
    return figures


def once(node: RabbitNode, total: int) -> dict[str, Any]:
    """Every client on every kind of queue."""
    return {
        client: {kind: uvloop.run(measure(node, client, kind, total)) for kind in KINDS}
        for client in CLIENTS
    }


def ratios(figures: dict[str, Any]) -> dict[str, float]:
    """How many times the framing layer's processor time each other client takes."""
    return {
        f"{client}_{kind}_{way}": figures[client][kind][way]["client_us"]
        / figures["framing"][kind][way]["client_us"]
        for client in CLIENTS
        if client != "framing"
        for kind in KINDS
        for way in ("publish_confirm", "consume_ack")
    }


def run(*, quick: bool = False) -> dict[str, Any]:
    """Measure on a node of our own: medians of several repetitions, in turns."""
    total, times = (2_000, 1) if quick else (20_000, 3)
    with private_node() as node:
        repetitions = [once(node, total) for _ in range(times)]
    figures = medians(repetitions)
    for client in CLIENTS:
        for kind in KINDS:
            for way in ("publish_confirm", "consume_ack"):
                low, high = spread(repetitions, client, kind, way, "client_us")
                figures[client][kind][way] |= {"client_us_low": low, "client_us_high": high}
    return {**figures, "times_the_framing_cpu": ratios(figures)}


if __name__ == "__main__":
    print(json.dumps(run(quick="--quick" in sys.argv), indent=1))
