"""The RabbitMQ adapter by itself, over each plane and on each kind of queue, and the bare plane beside it.

Floors: 12,000 confirmed publications a second; 10,000 a second through one process with confirmed results; round trip
p50 0.9 ms and p99 2.5 ms on a classic queue.
"""

import asyncio
import contextlib
import os
import sys
import time
from collections.abc import AsyncIterator
from typing import Any

import uvloop

from benchmarks.broker import BODY, DEADLINE_SECONDS, enqueue
from benchmarks.figures import percentile
from benchmarks.processes import CpuMark, Family
from benchmarks.rabbitmq_far import QUEUE, settings
from dts_core.brokers.base import RESULTS, Delivery, Message, Outgoing, QueueSpec
from dts_core.brokers.rabbitmq.broker import RabbitmqBroker
from dts_core.brokers.rabbitmq.framing.opening import open_plane
from dts_core.brokers.rabbitmq.plane import PlaneDelivery
from dts_core.logs import log_to
from dts_core.names import new_id
from dts_core.settings import LoggingSettings
from tests.support.rabbitmq import RabbitNode, private_node

KINDS = ("classic", "quorum")
PLANES = ("aio-pika", "framing")
BATCHES = (1, 100)
WINDOW = 1_000


class Bench:
    """One broker of ours in a virtual host of its own."""

    def __init__(self, broker: RabbitmqBroker, url: str, node: RabbitNode) -> None:
        self.broker = broker
        self.url = url
        self.families = {
            "client": Family(os.getpid(), alone=True),
            "broker": Family(node.pid),
        }
        self.results = 0
        self.expected = 0
        self.all_there = asyncio.Event()

    def take(self, deliveries: list[Delivery]) -> None:
        """Count results."""
        self.results += sum(each.message.headers["count"] for each in deliveries)
        self._consumption.ack([each.tag for each in deliveries])
        if self.results >= self.expected:
            self.all_there.set()

    async def listen(self) -> None:
        """Consume results from now on."""
        self._consumption = await self.broker.consume(RESULTS, self.take, prefetch=500)

    async def wait_for(self, count: int) -> None:
        """Until so many results have come in all."""
        self.expected = count
        if self.results < count:
            self.all_there.clear()
            async with asyncio.timeout(DEADLINE_SECONDS):
                await self.all_there.wait()


@contextlib.asynccontextmanager
async def opened(node: RabbitNode, kind: str, plane: str) -> AsyncIterator[Bench]:
    """A broker with its queues, and nothing in them."""
    url = node.vhost()
    broker = await RabbitmqBroker.connect(url, settings=settings(kind, plane))
    try:
        for spec in (QueueSpec(QUEUE, claimed=True), QueueSpec("jobs.x", claimed=True)):
            await broker.declare(spec)
        await broker.declare(QueueSpec(RESULTS))
        yield Bench(broker, url, node)
    finally:
        await broker.close()
        await asyncio.to_thread(node.drop, url)


@contextlib.asynccontextmanager
async def far_end(url: str, kind: str, plane: str) -> AsyncIterator[Family]:
    """The consuming process."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.rabbitmq_far", url, kind, plane),
        stdin=asyncio.subprocess.PIPE,
    )
    try:
        yield Family(process.pid)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        await asyncio.wait_for(process.wait(), 20)


async def adapter(
    node: RabbitNode, kind: str, plane: str, total: int, turns: int
) -> dict[str, Any]:
    """All figures of one kind of queue over one plane."""
    figures: dict[str, Any] = {}
    async with opened(node, kind, plane) as bench:
        for batch in BATCHES:
            mark = CpuMark(bench.families)
            rate = await enqueue(bench.broker, total, batch)
            figures[f"enqueue_batch_{batch}"] = {"per_second": rate, **mark.us_each(total)}
        figures["consume_ack"] = await consume(bench, total)
    async with opened(node, kind, plane) as bench:
        await bench.listen()
        figures["worker"] = await through_worker(bench, kind, plane, total)
        async with far_end(bench.url, kind, plane):
            figures["round_trip"] = await round_trips(bench, turns)
    return figures


async def consume(bench: Bench, total: int) -> dict[str, float]:
    """Deliveries taken and acked, nothing done with them."""
    over = asyncio.Event()
    count = 0

    def take(deliveries: list[Delivery]) -> None:
        nonlocal count
        count += len(deliveries)
        consumption.ack([each.tag for each in deliveries])
        if count >= total:
            over.set()

    mark, started = CpuMark(bench.families), time.perf_counter()
    consumption = await bench.broker.consume("jobs.x", take, prefetch=500)
    async with asyncio.timeout(DEADLINE_SECONDS):
        await over.wait()
    figures = {"per_second": total / (time.perf_counter() - started), **mark.us_each(total)}
    await consumption.close()
    return figures


async def through_worker(bench: Bench, kind: str, plane: str, total: int) -> dict[str, float]:
    """`total` messages that wait for one process, until the last of its confirmed results is here."""
    items = [Outgoing(QUEUE, Message(BODY, message_id=new_id())) for _ in range(total)]
    for start in range(0, total, WINDOW):
        await bench.broker.publish(items[start : start + WINDOW])
    async with far_end(bench.url, kind, plane) as far:
        await bench.wait_for(1)
        before, started = bench.results, time.perf_counter()
        mark = CpuMark({**bench.families, "worker": far})
        await bench.wait_for(total)
        done = max(total - before, 1)
        took = time.perf_counter() - started
        return {"per_second": done / took, **mark.us_each(done), "pss_mib": far.pss() / (1 << 20)}


async def round_trips(bench: Bench, turns: int) -> dict[str, float]:
    """One message at a time, from the publication to its result here; milliseconds."""
    times = []
    for turn in range(turns + 20):
        started = time.perf_counter()
        due = bench.results + 1
        await bench.broker.publish([Outgoing(QUEUE, Message(BODY, message_id=new_id()))])
        await bench.wait_for(due)
        if turn >= 20:
            times.append((time.perf_counter() - started) * 1e3)
    return {"p50_ms": percentile(times, 0.5), "p99_ms": percentile(times, 0.99)}


async def ceiling(node: RabbitNode, kind: str, total: int) -> dict[str, Any]:
    """Our own framing with nothing above it: what this broker gives to one client."""
    async with opened(node, kind, "framing") as bench:
        plane = await open_plane(bench.url)
        queue = "jobs.x"
        message = Message(BODY)
        mark, started = CpuMark(bench.families), time.perf_counter()
        for start in range(0, total, WINDOW):
            await asyncio.gather(
                *(
                    plane.publish("", queue, message, persistent=True, mandatory=True)
                    for _ in range(min(WINDOW, total - start))
                )
            )
        publish = {"per_second": total / (time.perf_counter() - started), **mark.us_each(total)}
        over = asyncio.Event()
        count = 0

        def take(deliveries: list[PlaneDelivery]) -> None:
            nonlocal count
            count += len(deliveries)
            plane.ack(deliveries[-1].tag, multiple=True)
            if count >= total:
                over.set()

        mark, started = CpuMark(bench.families), time.perf_counter()
        await plane.consume(queue, take, prefetch=1_000)
        async with asyncio.timeout(DEADLINE_SECONDS):
            await over.wait()
        taken = {"per_second": total / (time.perf_counter() - started), **mark.us_each(total)}
        await plane.close()
    return {"publish": publish, "consume_ack": taken}


def run(*, quick: bool = False) -> dict[str, Any]:
    """Measure everything on a node of our own."""
    total, turns = (2_000, 50) if quick else (40_000, 500)
    figures: dict[str, Any] = {}
    with log_to(LoggingSettings(level="warning")), private_node() as node:
        for kind in KINDS:
            for plane in PLANES:
                name = f"{plane}_{kind}".replace("-", "")
                figures[name] = uvloop.run(adapter(node, kind, plane, total, turns))
            figures[f"ceiling_{kind}"] = uvloop.run(ceiling(node, kind, total))
    return figures
