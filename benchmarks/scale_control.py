"""The control side of the simulation: the real stethoscope, logtracer and porter over RabbitMQ and the embedded store.

python -m benchmarks.scale_control URL FOLDER HOSTS JOBS

Prints one JSON line when it listens (with the jobs that stand claimed), and one with its counters once its standard
input closes.
"""

import asyncio
import json
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import uvloop

from dts_core.brokers.base import HEARTBEATS, LOGS, RESULTS, ClaimRequest, QueueKind, QueueSpec
from dts_core.brokers.consumer import Consumer
from dts_core.brokers.rabbitmq.broker import RabbitmqBroker
from dts_core.clock import SystemClock
from dts_core.daemons.base import running
from dts_core.daemons.fleet import HostState
from dts_core.daemons.logtracer import Logtracer
from dts_core.daemons.porter import Porter
from dts_core.daemons.stethoscope import Stethoscope
from dts_core.logs import log_to
from dts_core.model import Job
from dts_core.names import new_id
from dts_core.schema import MIGRATIONS, SCHEMA
from dts_core.services.claims import Claims
from dts_core.settings import (
    LoggingSettings,
    LogtracerSettings,
    PorterSettings,
    RabbitSettings,
    StethoscopeSettings,
)
from dts_core.sqlite import Database, prepare
from dts_core.states import JobState
from dts_core.stores.embedded import EmbeddedStore
from dts_core.stores.outbox import OutboxIntake

BULK = 1_000
LEASE = timedelta(hours=1)


def host_name(number: int) -> str:
    """Of a simulated host; its one worker is called `<host>-1`."""
    return f"host-{number:05}"


async def claimed_jobs(store: EmbeddedStore, hosts: int, count: int) -> list[str]:
    """Jobs that run already, each at the host of its number."""
    clock = SystemClock()
    claims = Claims(store, clock, lease=LEASE)
    ids = []
    for start in range(0, count, BULK):
        jobs = [
            Job(
                id=new_id(),
                function="sample/nothing",
                version="0" * 64,
                state=JobState.QUEUED,
                created_at=clock.now(),
            )
            for _ in range(min(BULK, count - start))
        ]
        await store.insert_jobs(jobs)
        names = [host_name((start + at) % hosts) for at in range(len(jobs))]
        await claims.grant(
            [ClaimRequest(job.id, name, f"{name}-1") for job, name in zip(jobs, names, strict=True)]
        )
        ids += [job.id for job in jobs]
    return ids


async def run(url: str, folder: Path, hosts: int, jobs: int) -> None:
    """Listen until standard input closes."""
    path, clock = folder / "dts.db", SystemClock()
    prepare(path, SCHEMA, MIGRATIONS)
    database = Database(path, asyncio.get_running_loop())
    store = EmbeddedStore(database, clock)
    broker = await RabbitmqBroker.connect(url, settings=RabbitSettings(plane="framing"))
    limit = max(2_000, 2 * hosts)
    for spec in (
        QueueSpec(RESULTS),
        QueueSpec(HEARTBEATS, QueueKind.BOUNDED, limit),
        QueueSpec(LOGS, QueueKind.BOUNDED, limit),
    ):
        await broker.declare(spec)
    stethoscope = Stethoscope(broker, store, StethoscopeSettings(), clock)
    logtracer = Logtracer(broker, store, LogtracerSettings(), clock)
    intake = OutboxIntake(store, broker, clock)
    porter = Porter(broker, store, intake, PorterSettings(), clock)
    ids = await claimed_jobs(store, hosts, jobs)
    parts: dict[str, Consumer[Any]] = {
        "stethoscope": stethoscope,
        "logtracer": logtracer,
        "porter": porter,
    }
    async with running({name: part.run for name, part in parts.items()}):
        print(json.dumps(ids), flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    told = {name: part.counters["done"] for name, part in parts.items()}
    states = [host.state for host in stethoscope.fleet.hosts.values()]
    print(json.dumps({**told, "hosts": len(states), "up": states.count(HostState.UP)}), flush=True)
    await broker.close()
    await store.close()


if __name__ == "__main__":
    with log_to(LoggingSettings(level="warning")):
        uvloop.run(run(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])))
