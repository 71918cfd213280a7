"""FastStream: each answer is published to a durable result queue, confirmed, before the job is acked."""

import asyncio
from importlib.metadata import version

import uvloop
from faststream import FastStream
from faststream.rabbit import Channel, RabbitBroker, RabbitQueue

from benchmarks.peers.apps.many import many
from benchmarks.peers.apps.place import AMQP, IO_SECONDS

RESULTS = RabbitQueue("results", durable=True)
ASKED = RabbitQueue("asked", durable=True)
QUEUES = {job: RabbitQueue(job, durable=True) for job in ("noop", "io")}
broker = RabbitBroker(AMQP, default_channel=Channel(prefetch_count=100), logger=None)
app = FastStream(broker, logger=None)


async def noop(payload: str) -> int:
    return 1


async def io(payload: str) -> int:
    await asyncio.sleep(IO_SECONDS)
    return 1


async def asked(payload: str) -> int:
    return 1


stored = broker.publisher(RESULTS, persist=True)
stored(broker.subscriber(QUEUES["noop"])(noop))
stored(broker.subscriber(QUEUES["io"])(io))
broker.subscriber(ASKED)(asked)


class Client:
    """One asynchronous producer on one channel."""

    version = version("faststream")
    results = "queue results"

    def __init__(self) -> None:
        self.loop = uvloop.new_event_loop()
        self.loop.run_until_complete(self._open())

    async def _open(self) -> None:
        await broker.connect()
        for queue in (RESULTS, ASKED, *QUEUES.values()):
            await broker.declare_queue(queue)

    def enqueue(self, job: str, count: int, payload: str) -> None:
        queue = QUEUES[job]
        self.loop.run_until_complete(
            many(lambda: broker.publish(payload, queue, persist=True), count)
        )

    def one(self) -> None:
        self.loop.run_until_complete(broker.request("", ASKED, timeout=20))
