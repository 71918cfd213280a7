"""The embedded broker by itself: enqueue, claim-run-ack, the same through a link to another process, wake-up, idle.

python -m benchmarks.broker
"""

import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import uvloop

from dts_core.brokers.base import (
    Broker,
    ClaimAnswer,
    ClaimRequest,
    ClaimVerdict,
    Delivery,
    Message,
    Outgoing,
    QueueKind,
    QueueSpec,
)
from dts_core.brokers.embedded import EmbeddedBroker
from dts_core.brokers.link import LinkBroker, unix_stream
from dts_core.brokers.link_server import LinkServer
from dts_core.clock import SystemClock
from dts_core.model import Job
from dts_core.names import new_id
from dts_core.schema import MIGRATIONS, SCHEMA
from dts_core.services.claims import Claims
from dts_core.sqlite import Database, prepare
from dts_core.states import JobState
from dts_core.stores.embedded import EmbeddedIntake, EmbeddedStore

BODY = b"x" * 200
BATCHES = (1, 10, 100)
OUTSTANDING = 2_000
"""Messages published and not confirmed yet, as of many callers at a time."""
DEADLINE_SECONDS = 120.0


class Grant:
    """A claim desk that says yes."""

    async def grant(self, requests: Sequence[ClaimRequest]) -> list[ClaimAnswer]:
        return [ClaimAnswer(ClaimVerdict.GRANTED, 1, 1)] * len(requests)

    async def give_back(self, claims: Sequence[tuple[str, int]], reason: str) -> None:
        return None

    async def lose(self, claims: Sequence[tuple[str, int]], reason: str) -> list[str]:
        return []

    async def bury(self, jobs: Sequence[str], reason: str) -> None:
        return None

    async def unheld(self, worker: str, claims: Sequence[tuple[str, int]]) -> list[tuple[str, int]]:
        return []

    async def held(self, worker: str, claims: Sequence[tuple[str, int]]) -> list[bool]:
        return [False] * len(claims)


class Owner:
    """A data folder of its own with its broker."""

    def __init__(self, folder: Path, name: str) -> None:
        self.path = folder / f"{name}.db"
        prepare(self.path, SCHEMA, MIGRATIONS)
        self.database = Database(self.path, asyncio.get_running_loop())
        self.broker = EmbeddedBroker(self.database, claims=Grant())

    async def __aenter__(self) -> "Owner":
        await self.broker.start()
        await self.broker.declare(QueueSpec("jobs.x", claimed=True))
        await self.broker.declare(QueueSpec("done", QueueKind.BOUNDED))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.broker.close()
        await self.database.close()


def messages(count: int) -> list[Outgoing]:
    return [Outgoing("jobs.x", Message(BODY, message_id=new_id())) for _ in range(count)]


async def enqueue(broker: Broker, total: int, batch: int) -> float:
    """Durable publications per second by many callers, each waiting for its confirm."""
    callers = max(OUTSTANDING // batch, 1)
    rounds = max(total // (batch * callers), 1)
    items = [messages(batch) for _ in range(callers)]

    async def caller(mine: list[Outgoing]) -> None:
        for _ in range(rounds):
            await broker.publish(mine)

    started = time.perf_counter()
    await asyncio.gather(*(caller(mine) for mine in items))
    return callers * rounds * batch / (time.perf_counter() - started)


async def consume(broker: Any, prefetch: int, total: int) -> float:
    """Deliveries claimed, run (nothing) and acked per second, `prefetch` at a time."""
    over = asyncio.Event()
    count = 0

    def take(deliveries: list[Delivery]) -> None:
        nonlocal count
        count += len(deliveries)
        consumption.ack([delivery.tag for delivery in deliveries])
        if count >= total:
            over.set()

    consumption = await broker.consume("jobs.x", take, prefetch=0)
    started = time.perf_counter()
    consumption.grant(prefetch)
    async with asyncio.timeout(DEADLINE_SECONDS):
        await over.wait()
        while (await broker.stats())[1].unacked:
            await asyncio.sleep(0)
    rate = total / (time.perf_counter() - started)
    await consumption.close()
    return rate


async def stored(owner: Owner, total: int) -> None:
    """Jobs with their messages, and the real claim desk over them."""
    store = EmbeddedStore(owner.database, SystemClock())
    intake = EmbeddedIntake(owner.database, store, owner.broker)
    owner.broker.claims = Claims(store, SystemClock())
    for _ in range(total // 1000):
        jobs = [
            Job(
                id=new_id(), function="sample/nothing", version="0" * 64, state=JobState.QUEUED,
                created_at=datetime.now(UTC),
            )
            for _ in range(1000)
        ]  # fmt: skip
        await intake.accept(
            jobs, [Outgoing("jobs.x", Message(BODY, message_id=job.id)) for job in jobs]
        )


async def local(folder: Path, total: int) -> dict[str, Any]:
    """Within one process."""
    figures: dict[str, Any] = {"enqueue_per_second": {}, "claim_run_ack_per_second": {}}
    for batch in BATCHES:
        async with Owner(folder, f"enqueue{batch}") as owner:
            rate = await enqueue(owner.broker, total, batch)
            figures["enqueue_per_second"][f"batch_{batch}"] = rate
    for prefetch in (10, 100):
        async with Owner(folder, f"ack{prefetch}") as owner:
            await owner.broker.publish(messages(total))
            rate = await consume(owner.broker, prefetch, total)
            figures["claim_run_ack_per_second"][f"batch_{prefetch}"] = rate
    for prefetch in (10, 100):
        async with Owner(folder, f"stored{prefetch}") as owner:
            await stored(owner, total)
            rate = await consume(owner.broker, prefetch, total)
            figures["claim_run_ack_per_second"][f"stored_jobs_batch_{prefetch}"] = rate
    return figures


# --- another process at the end of a link


async def far_end(socket: Path) -> None:
    """Acks what comes and tells how long each message was on its way (a message that begins with a digit)."""
    broker = await LinkBroker.connect(unix_stream(socket), host="bench", worker="bench-1")
    ended = asyncio.Event()
    answers: asyncio.Queue[Outgoing] = asyncio.Queue()

    def take(deliveries: list[Delivery]) -> None:
        now = time.monotonic_ns()
        for delivery in deliveries:
            if delivery.message.type == "timed":
                late = str(now - int(delivery.message.body)).encode()
                answers.put_nowait(Outgoing("done", Message(late)))
        consumption.ack([delivery.tag for delivery in deliveries])

    consumption = await broker.consume("jobs.x", take, prefetch=256)
    broker.on_state = lambda connected, why: None if connected else ended.set()

    async def answer() -> None:
        while True:
            await broker.publish([await answers.get()])

    answering = asyncio.ensure_future(answer())
    await ended.wait()
    answering.cancel()
    await broker.close()


async def through_link(folder: Path, total: int, turns: int, idle_seconds: float) -> dict[str, Any]:
    """The same with the consumer in another process; then one message at a time, then nothing at all."""
    async with Owner(folder, "link") as owner:
        await owner.broker.publish(messages(total))
        server = LinkServer(owner.broker, folder / "link.sock", role="admin")
        await server.start()
        started = time.perf_counter()
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "benchmarks.broker", "--far-end", str(folder / "link.sock")
        )
        async with asyncio.timeout(DEADLINE_SECONDS):
            while not (await owner.broker.stats())[1].acked:
                await asyncio.sleep(0.001)
            started, before = time.perf_counter(), (await owner.broker.stats())[1].acked
            while (await owner.broker.stats())[1].acked < total:
                await asyncio.sleep(0.001)
        rate = (total - before) / (time.perf_counter() - started)
        wakes = await wake_ups(owner.broker, turns)
        used = time.process_time()
        await asyncio.sleep(idle_seconds)
        idle = (time.process_time() - used) / idle_seconds
        await server.close()
        child.terminate()
        await child.wait()
    return {
        "link_claim_run_ack_per_second": rate,
        "link_wake_up_p50_ms": statistics.median(wakes) * 1e3,
        "link_wake_up_p99_ms": wakes[int(len(wakes) * 0.99)] * 1e3,
        "owner_idle_cpu_percent": idle * 100,
    }


async def wake_ups(broker: EmbeddedBroker, turns: int) -> list[float]:
    """Seconds from the call of a durable publish to the far process's callback, sorted."""
    answers: asyncio.Queue[Delivery] = asyncio.Queue()

    def take(deliveries: list[Delivery]) -> None:
        for delivery in deliveries:
            answers.put_nowait(delivery)
        consumption.ack([delivery.tag for delivery in deliveries])

    consumption = await broker.consume("done", take, prefetch=10)
    wakes: list[float] = []
    for _ in range(turns):
        now = str(time.monotonic_ns()).encode()
        message = Message(now, type="timed", message_id=new_id())
        await broker.publish([Outgoing("jobs.x", message)])
        async with asyncio.timeout(DEADLINE_SECONDS):
            wakes.append(int((await answers.get()).message.body) / 1e9)
        await asyncio.sleep(0.002)
    await consumption.close()
    return sorted(wakes)


async def measure(*, quick: bool) -> dict[str, Any]:
    """All figures."""
    total = 10_000 if quick else 60_000
    with tempfile.TemporaryDirectory() as name:
        figures = await local(Path(name), total)
        linked = await through_link(Path(name), total, 50 if quick else 500, 2 if quick else 10)
    return {**figures, **linked}


def run(*, quick: bool = False) -> dict[str, Any]:
    """Measure; floors are 30,000 enqueues/s, 17,000 claim-run-acks/s, wake-up p50 1 ms, idle 0.5 %."""
    return uvloop.run(measure(quick=quick))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--far-end"]:
        uvloop.run(far_end(Path(sys.argv[2])))
    else:
        print(json.dumps(run(quick="--quick" in sys.argv), indent=1))
