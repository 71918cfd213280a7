"""The servers of a run: a RabbitMQ node and a redis of our own, and how many results they hold."""

import asyncio
import contextlib
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import aio_pika
from aio_pika.abc import AbstractConnection

from benchmarks.processes import Family
from tests.support.ports import free_ports
from tests.support.rabbitmq import RabbitNode, private_node

if TYPE_CHECKING:
    from aio_pika.abc import AbstractChannel

START_SECONDS = 10.0


@dataclass
class Redis:
    """A redis of our own, in memory alone."""

    port: int
    pid: int

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    async def size(self) -> int:
        """How many keys it holds."""
        return int((await self._call(b"DBSIZE"))[1:])

    async def empty(self) -> None:
        """Forget everything."""
        await self._call(b"FLUSHALL")

    async def _call(self, command: bytes) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(command + b"\r\n")
            return (await asyncio.wait_for(reader.readline(), START_SECONDS)).strip()
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


@dataclass
class Servers:
    """What peers and dts share."""

    rabbit: RabbitNode
    redis: Redis | None

    def families(self, *, with_redis: bool) -> dict[str, Family]:
        """The broker, and the store where it is used."""
        found = {"broker": Family(self.rabbit.pid)}
        if with_redis and self.redis is not None:
            found["store"] = Family(self.redis.pid)
        return found


@contextlib.contextmanager
def servers() -> Iterator[Servers]:
    """Both, for the length of a run; redis is None where the program is missing."""
    with private_node() as rabbit, _redis() as redis:
        yield Servers(rabbit, redis)


@contextlib.contextmanager
def _redis() -> Iterator[Redis | None]:
    program = shutil.which("redis-server")
    if program is None:
        yield None
        return
    (port,) = free_ports(1)
    with tempfile.TemporaryDirectory(prefix="dts-bench-redis-") as folder:
        process = subprocess.Popen(
            [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", folder],
            stdout=subprocess.DEVNULL,
        )
        redis = Redis(port, process.pid)
        try:
            asyncio.run(_ready(redis))
            yield redis
        finally:
            process.terminate()
            process.wait(START_SECONDS)


async def _ready(redis: Redis) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            await redis.size()
            return
        except (OSError, ValueError):
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.05)


class Counts:
    """How many results are stored, counted from outside of client and worker.

    Args:
        where: `queue NAME`, `redis`, or `gone NAME`: the queue that jobs leave, for a peer without results.
    """

    def __init__(self, connection: AbstractConnection, redis: Redis | None, where: str) -> None:
        self._connection = connection
        self._redis = redis
        self._kind, _, self._queue = where.partition(" ")
        self._expected = 0
        self._channel: AbstractChannel | None = None

    @classmethod
    async def open(cls, url: str, redis: Redis | None, where: str) -> "Counts":
        """Connect to where results are."""
        return cls(await aio_pika.connect(url), redis, where)

    def expect(self, count: int) -> None:
        """So many more are on their way."""
        self._expected += count

    async def stored(self) -> int:
        """Results so far."""
        if self._kind == "redis" and self._redis is not None:
            return await self._redis.size()
        waiting = await self._depth()
        return waiting if self._kind == "queue" else self._expected - waiting

    async def close(self) -> None:
        await self._connection.close()

    async def _depth(self) -> int:
        """Messages that are ready in the queue; 0 before it is there."""
        if self._channel is None or self._channel.is_closed:
            self._channel = await self._connection.channel()
        try:
            queue = await self._channel.declare_queue(self._queue, passive=True)
        except aio_pika.exceptions.ChannelNotFoundEntity:
            return 0
        return int(queue.declaration_result.message_count or 0)
