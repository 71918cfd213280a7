"""dts as a subject: through HTTP, a stored record behind each confirm, results in the embedded store."""

import asyncio
import os
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.distributed import Distributed
from benchmarks.peers.servers import Servers
from benchmarks.processes import Family
from dts_core import __version__
from dts_core.clients import AdminClient, submission

JOBS = {
    "noop": 'async def main(payload=""):\n    return 1\n',
    "io": 'import asyncio\n\n\nasync def main(payload=""):\n    await asyncio.sleep(0.01)\n    return 1\n',
}
BATCH = 500
SENDERS = 3


@dataclass
class Ours:
    """See Subject. The client is this process itself."""

    name: str
    servers: Servers
    folder: Path
    rabbitmq: str = ""
    worker: str = ""
    on_rabbitmq: bool = True
    jobs: int = 20_000
    version: str = __version__
    results: str = "SQLite, synced"

    async def open(self) -> None:
        self._url = self.servers.rabbit.vhost() if self.on_rabbitmq else ""
        self._stack = Distributed(self.folder, self._url, self.rabbitmq, self.worker)
        self._client: AdminClient = await self._stack.start_server()
        await self._client.namespaces.add("bench", description="")
        for name, source in JOBS.items():
            await self._client.functions.add(f"bench/{name}", source)
        # Once in the life of a queue its first message waits until RabbitMQ would find the queue again after a crash.
        first = await self._client.submit("bench/noop")
        await self._client.cancel(first.id)

    async def start_worker(self) -> None:
        await self._stack.start_worker()

    async def enqueue(self, job: str, count: int, size: int) -> float:
        left = iter(range(0, count, BATCH))
        arguments = {"payload": "x" * size} if size else {}

        async def sender() -> None:
            for begun in left:
                batch = min(BATCH, count - begun)
                await self._client.submit_many(
                    [submission(f"bench/{job}", kwargs=arguments)] * batch
                )

        started = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for _ in range(SENDERS):
                group.create_task(sender())
        return time.perf_counter() - started

    async def one(self, count: int) -> list[float]:
        times = []
        for _ in range(count):
            started = time.perf_counter()
            job = await self._client.submit("bench/noop", wait=10)
            times.append((time.perf_counter() - started) * 1e3)
            if job.state != "done":
                raise RuntimeError(f"job {job.id} is {job.state}")
        return times

    async def stored(self) -> int:
        return (await self._client.counts()).states.get("done", 0)

    def families(self) -> dict[str, Family]:
        found = self._stack.families()
        if self.on_rabbitmq:
            found |= self.servers.families(with_redis=False)
        return {"client": Family(os.getpid(), alone=True), **found}

    async def close(self) -> None:
        await self._client.close()
        await self._stack.stop()
        if self._url:
            self.servers.rabbit.drop(self._url)
