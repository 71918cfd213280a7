"""Heartbeats for tests, and an opened engine to listen with."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from dts_core.brokers.base import HEARTBEATS, LOGS, QueueKind, QueueSpec
from dts_core.brokers.embedded import EmbeddedBroker
from dts_core.clock import Clock
from dts_core.model import Disk, Heartbeat
from dts_core.schema import MIGRATIONS, SCHEMA
from dts_core.sqlite import Database, prepare
from dts_core.stores.embedded import EmbeddedStore
from dts_core.testing import START

GIB = 1 << 30


def make_beat(
    host: str = "alpha", *, sequence: int = 1, at: datetime = START, **fields: Any
) -> Heartbeat:
    """A heartbeat of a healthy host with two slots, a fifth of everything used."""
    given: dict[str, Any] = {
        "host": host,
        "worker": f"{host}-1",
        "boot_id": f"boot of {host}",
        "sequence": sequence,
        "at": at,
        "interval_seconds": 2.0,
        "cpu": 0.2,
        "cpu_cores": [0.2, 0.2],
        "memory_total": 10 * GIB,
        "memory_available": 8 * GIB,
        "disks": [Disk(mount="/", total=100 * GIB, used=20 * GIB)],
        "uptime_seconds": 1000.0,
        "slots": 2,
    }
    return Heartbeat(**(given | fields))


class Ears:
    """A real broker and store over one file."""

    def __init__(self, broker: EmbeddedBroker, store: EmbeddedStore) -> None:
        self.broker = broker
        self.store = store


@asynccontextmanager
async def open_ears(folder: Path, clock: Clock) -> AsyncIterator[Ears]:
    """The embedded engine with the queues that heartbeats and logs go to."""
    path = folder / "dts.db"
    prepare(path, SCHEMA, MIGRATIONS)
    database = Database(path, asyncio.get_running_loop())
    broker = EmbeddedBroker(database, clock=clock)
    store = EmbeddedStore(database, clock)
    try:
        await broker.start()
        for name in (HEARTBEATS, LOGS):
            await broker.declare(QueueSpec(name, QueueKind.BOUNDED, limit=5000))
        yield Ears(broker, store)
    finally:
        await broker.close()
        await store.close()
