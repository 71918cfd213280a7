"""The far end of the adapter's measurement: takes messages, runs a no-op for each, publishes what came of them, acks.

python -m benchmarks.rabbitmq_far URL KIND PLANE
"""

import asyncio
import sys

import msgspec
import uvloop

from dts_core.brokers.base import RESULTS, Delivery, Message, Outgoing
from dts_core.brokers.rabbitmq.broker import RabbitmqBroker
from dts_core.settings import RabbitSettings

QUEUE = "jobs.bench"
PREFETCH = 500
TOGETHER = 64
"""Results in one message, as the worker sends them."""


def settings(kind: str, plane: str) -> RabbitSettings:
    """Every work queue of one kind, over one plane."""
    return msgspec.convert({"kinds": {"*": kind}, "plane": plane}, RabbitSettings)


async def noop() -> int:
    """The job."""
    return 1


async def run(url: str, kind: str, plane: str) -> None:
    """Work until standard input closes."""
    broker = await RabbitmqBroker.connect(url, settings=settings(kind, plane))
    waiting: asyncio.Queue[list[Delivery]] = asyncio.Queue()
    consumption = await broker.consume(QUEUE, waiting.put_nowait, prefetch=PREFETCH)
    sending: set[asyncio.Task[None]] = set()

    async def answer(deliveries: list[Delivery]) -> None:
        body = b"".join(b"%-200s" % each.message.message_id.encode() for each in deliveries)
        headers = {"count": len(deliveries)}
        await broker.publish([Outgoing(RESULTS, Message(body, headers=headers))])
        consumption.ack([each.tag for each in deliveries])

    async def work() -> None:
        while True:
            batch = await waiting.get()
            while not waiting.empty():
                batch = batch + waiting.get_nowait()
            for _ in batch:
                await noop()
            for start in range(0, len(batch), TOGETHER):
                task = asyncio.create_task(answer(batch[start : start + TOGETHER]))
                sending.add(task)
                task.add_done_callback(sending.discard)

    working = asyncio.create_task(work())
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    working.cancel()
    await broker.close()


if __name__ == "__main__":
    uvloop.run(run(*sys.argv[1:4]))
