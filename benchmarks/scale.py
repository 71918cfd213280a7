"""How many hosts one control side carries: heartbeats, logs and results of N simulated hosts into the real daemons.

Each host beats every 2 s, sends a batch of 5 log records every 10 s and finishes a job every 10 s. First each kind of
load alone, for what one event costs; then all of it, for 100, 1,000 and 10,000 hosts.
"""

import asyncio
import contextlib
import json
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import uvloop

from benchmarks.figures import percentile
from benchmarks.processes import CpuMark, Family
from benchmarks.scale_control import host_name
from dts_core import codec
from dts_core.brokers.base import (
    CONTROL,
    EVENTS,
    HEARTBEATS,
    JOBS,
    LOGS,
    RESULTS,
    Message,
    Outgoing,
    QueueSpec,
)
from dts_core.brokers.rabbitmq.broker import RabbitmqBroker
from dts_core.logs import log_to
from dts_core.model import Changes, JobResult, JobResults, LogBatch, LogRecord
from dts_core.settings import LoggingSettings, RabbitSettings
from dts_core.states import JobEvent
from tests.support.beats import make_beat
from tests.support.rabbitmq import RabbitNode, private_node

BEAT_SECONDS = 2.0
LOG_SECONDS = 10.0
JOB_SECONDS = 10.0
RECORDS = 5
TICK_SECONDS = 0.02
WARM_SECONDS = 4.0
CONNECTIONS = 50
ALONE = 4_000
"""Hosts of the runs with one kind of load."""
LINE_MAX = 1 << 26
LOADS = ("beats", "logs", "results")
MIB = 1 << 20


class Fleet:
    """N hosts that send what workers send."""

    def __init__(self, broker: RabbitmqBroker, hosts: int, loads: tuple[str, ...]) -> None:
        self._broker = broker
        self._hosts = hosts
        self._loads = loads
        self._sequence = 0
        self.jobs: list[str] = []
        self.sent = dict.fromkeys(LOADS, 0)
        self._due = dict.fromkeys(LOADS, 0.0)
        self._beaten: dict[str, float] = {}
        self.delays: list[float] = []
        self.worst_lag = 0.0

    def hear(self, message: Message) -> None:
        """A change of a host: how long after its beat it was written and told."""
        now = time.monotonic()
        for change in codec.decode(message.body, Changes).items:
            if change.topic == "hosts" and (beaten := self._beaten.pop(change.id, None)):
                self.delays.append(now - beaten)

    async def send(self, seconds: float) -> None:
        """Send for so long, evenly."""
        rates = {
            "beats": self._hosts / BEAT_SECONDS,
            "logs": self._hosts / LOG_SECONDS,
            "results": self._hosts / JOB_SECONDS,
        }
        makers = {"beats": self._beat, "logs": self._log, "results": self._result}
        began = last = time.monotonic()
        while (now := time.monotonic()) - began < seconds:
            items: list[Outgoing] = []
            for load in self._loads:
                self._due[load] += (now - last) * rates[load]
                count, self._due[load] = int(self._due[load]), self._due[load] % 1
                items += [makers[load](self.sent[load] + at) for at in range(count)]
                self.sent[load] += count
            last = now
            if items:
                await self._broker.publish(items)
            self.worst_lag = max(self.worst_lag, time.monotonic() - now)
            await asyncio.sleep(TICK_SECONDS)

    def _beat(self, number: int) -> Outgoing:
        name = host_name(number % self._hosts)
        beat = make_beat(name, sequence=number // self._hosts + 1, at=datetime.now(UTC))
        self._beaten.setdefault(name, time.monotonic())
        return Outgoing(HEARTBEATS, Message(codec.encode(beat), type="Heartbeat"))

    def _log(self, number: int) -> Outgoing:
        name = host_name(number % self._hosts)
        at = datetime.now(UTC)
        records = [
            LogRecord(
                at=at, host=name, source="/var/log/app.log", level=30, text=f"line {number} {i}"
            )
            for i in range(RECORDS)
        ]
        batch = LogBatch(host=name, worker=f"{name}-1", records=records)
        return Outgoing(LOGS, Message(codec.encode(batch), type="LogBatch"))

    def _result(self, number: int) -> Outgoing:
        name = host_name(number % self._hosts)
        result = JobResult(id=self.jobs[number], epoch=1, event=JobEvent.FINISH, result=b"1")
        body = codec.encode(JobResults(host=name, worker=f"{name}-1", results=[result]))
        return Outgoing(RESULTS, Message(body, type="JobResults"))


class Control:
    """The control side as a process of its own."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.family = Family(process.pid)

    async def answer(self) -> Any:
        """Its next line."""
        assert self._process.stdout is not None
        line = await asyncio.wait_for(self._process.stdout.readline(), 120)
        return json.loads(line)

    async def finish(self) -> Any:
        """Its counters at the end."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        return await self.answer()


@contextlib.asynccontextmanager
async def control(url: str, hosts: int, jobs: int) -> AsyncIterator[Control]:
    """A control side with a data folder of its own."""
    with tempfile.TemporaryDirectory(prefix="dts-scale-") as folder:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "benchmarks.scale_control", url, folder, str(hosts), str(jobs)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=LINE_MAX,
        )
        try:
            yield Control(process)
        finally:
            if process.returncode is None:
                assert process.stdin is not None
                process.stdin.close()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(process.wait(), 20)
            if process.returncode is None:
                process.kill()
                await process.wait()


async def carry(
    node: RabbitNode, hosts: int, loads: tuple[str, ...], seconds: float
) -> dict[str, float]:
    """Figures of one number of hosts under these loads."""
    url = node.vhost()
    jobs = int((seconds + WARM_SECONDS + 5) * hosts / JOB_SECONDS) if "results" in loads else 0
    async with control(url, hosts, jobs) as side:
        ids = await side.answer()
        broker = await RabbitmqBroker.connect(url, settings=RabbitSettings(plane="framing"))
        fleet = Fleet(broker, hosts, loads)
        fleet.jobs = ids
        await broker.subscribe(EVENTS, fleet.hear, limit=10_000)
        await fleet.send(WARM_SECONDS)
        fleet.delays.clear()
        fleet.worst_lag = 0.0
        before = dict(fleet.sent)
        mark = CpuMark({"control": side.family, "broker": Family(node.pid)})
        started = time.monotonic()
        await fleet.send(seconds)
        took = time.monotonic() - started
        events = sum(fleet.sent[load] - before[load] for load in LOADS)
        used = mark.us_each(max(events, 1))
        figures = {
            "events_per_second": events / took,
            "control_us_per_event": used["control_us"],
            "broker_us_per_event": used["broker_us"],
            "control_cores": used["control_us"] * events / took / 1e6,
            "broker_cores": used["broker_us"] * events / took / 1e6,
            "control_rss_mib": side.family.rss() / MIB,
            "sender_worst_pause_ms": fleet.worst_lag * 1e3,
        }
        if fleet.delays:
            figures["beat_written_p50_ms"] = percentile(fleet.delays, 0.5) * 1e3
            figures["beat_written_p99_ms"] = percentile(fleet.delays, 0.99) * 1e3
        await asyncio.sleep(1)  # what is on its way arrives
        figures["left_in_queues"] = sum(each.ready for each in await broker.stats())
        await broker.close()
        told = await side.finish()
    parts = {"beats": "stethoscope", "logs": "logtracer", "results": "porter"}
    for load in loads:
        figures[f"{load}_missed"] = fleet.sent[load] - told[parts[load]]
    figures |= {"hosts_known": told["hosts"], "hosts_up": told["up"]}
    await asyncio.to_thread(node.drop, url)
    return figures


async def connections(node: RabbitNode) -> dict[str, float]:
    """What a worker's connection costs the broker: its queues, consumers and subscription, idle."""
    url = node.vhost()
    family = Family(node.pid)
    await asyncio.sleep(3)
    before = family.pss()
    brokers = []
    for number in range(CONNECTIONS):
        name = host_name(number)
        settings = RabbitSettings(plane="framing")
        broker = await RabbitmqBroker.connect(url, host=name, worker=f"{name}-1", settings=settings)
        brokers.append(broker)
        await join(broker, name)
    await asyncio.sleep(3)
    mark, started = CpuMark({"broker": family}), time.monotonic()
    grown = family.pss() - before
    await asyncio.sleep(5)
    used = mark.us_each(CONNECTIONS)["broker_us"] / (time.monotonic() - started)
    for broker in brokers:
        await broker.close()
    await asyncio.to_thread(node.drop, url)
    return {"kib_each": grown / CONNECTIONS / 1024, "idle_us_per_second_each": used}


async def join(broker: RabbitmqBroker, host: str) -> None:
    """What a worker declares and listens to."""
    for queue in (f"{JOBS}default", f"{JOBS}host.{host}"):
        await broker.declare(QueueSpec(queue, claimed=True))
        await broker.consume(queue, lambda deliveries: None, prefetch=10)
    await broker.subscribe(CONTROL, lambda message: None)


async def measure(*, quick: bool) -> dict[str, Any]:
    """All figures."""
    seconds = 3.0 if quick else 15.0
    figures: dict[str, Any] = {}
    with private_node() as node:
        figures["worker_at_broker"] = await connections(node)
        for load in LOADS:
            figures[f"{load}_alone"] = await carry(node, ALONE, (load,), seconds)
        for hosts in (100, 1_000, 10_000):
            figures[f"all_of_{hosts}_hosts"] = await carry(node, hosts, LOADS, seconds)
    return figures


def run(*, quick: bool = False) -> dict[str, Any]:
    """Measure; see docs/scale.md."""
    with log_to(LoggingSettings(level="warning")):
        return uvloop.run(measure(quick=quick))
