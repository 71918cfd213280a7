"""Job messages in the hands of a program that knows nothing of dts: looked at, taken away, altered, put back."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import aio_pika
import msgspec
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage

from dts_core import codec
from dts_core.model import JobMessage

ANSWER_SECONDS = 60.0
T = TypeVar("T")


def on_channel(url: str, use: Callable[[AbstractChannel], Awaitable[T]]) -> T:
    """What is done on a channel of a connection of its own, with a deadline."""

    async def run() -> T:
        async with asyncio.timeout(ANSWER_SECONDS), await aio_pika.connect(url) as connection:
            return await use(await connection.channel())

    return asyncio.run(run())


def take(url: str, queue: str, *, keep: bool = False) -> AbstractIncomingMessage | None:
    """The next message of a queue, away from whoever waits for it; with `keep` it stays there."""

    async def use(channel: AbstractChannel) -> AbstractIncomingMessage | None:
        found = await (await channel.get_queue(queue, ensure=False)).get(fail=False)
        if found is not None:
            await (found.nack(requeue=True) if keep else found.ack())
        return found

    return on_channel(url, use)


def put(url: str, queue: str, message: AbstractIncomingMessage, **changes: Any) -> None:
    """A message that was taken, with its properties, into a queue; with these fields of its job altered."""
    body = message.body
    if changes:
        body = codec.encode(msgspec.structs.replace(job_in(message), **changes))
    copy = aio_pika.Message(
        body,
        headers=message.headers,
        type=message.type,
        message_id=message.message_id,
        priority=message.priority,
        timestamp=message.timestamp,
        delivery_mode=message.delivery_mode,
    )

    async def use(channel: AbstractChannel) -> None:
        await channel.default_exchange.publish(copy, routing_key=queue)

    on_channel(url, use)


def job_in(message: AbstractIncomingMessage) -> JobMessage:
    """What its body says."""
    return codec.decode(message.body, JobMessage)
