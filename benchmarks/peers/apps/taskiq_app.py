"""Taskiq over taskiq-aio-pika; with BENCH_RESULTS=redis each result is stored there."""

import asyncio
import os
from importlib.metadata import version
from typing import Any

import uvloop
from taskiq_aio_pika import AioPikaBroker
from taskiq_redis import RedisAsyncResultBackend

from benchmarks.peers.apps.many import many
from benchmarks.peers.apps.place import AMQP, IO_SECONDS, REDIS

STORED = os.environ.get("BENCH_RESULTS") == "redis"
POLL_SECONDS = 0.001
broker = AioPikaBroker(AMQP, qos=100)
if STORED:
    broker = broker.with_result_backend(RedisAsyncResultBackend(REDIS, result_ex_time=600))


async def _noop(payload: str = "") -> int:
    return 1


async def _io(payload: str = "") -> int:
    await asyncio.sleep(IO_SECONDS)
    return 1


JOBS: dict[str, Any] = {
    "noop": broker.register_task(_noop, task_name="noop"),
    "io": broker.register_task(_io, task_name="io"),
}


class Client:
    """One asynchronous producer on one channel."""

    version = version("taskiq")
    results = "redis" if STORED else "gone taskiq"

    def __init__(self) -> None:
        self.loop = uvloop.new_event_loop()
        self.loop.run_until_complete(broker.startup())

    def enqueue(self, job: str, count: int, payload: str) -> None:
        task = JOBS[job]
        self.loop.run_until_complete(many(lambda: task.kiq(payload), count))

    def one(self) -> None:
        self.loop.run_until_complete(self._one())

    async def _one(self) -> None:
        handle = await JOBS["noop"].kiq("")
        await handle.wait_result(check_interval=POLL_SECONDS, timeout=20)
