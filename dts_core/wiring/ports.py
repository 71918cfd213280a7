"""What services and daemons work on, whatever the engine, and what every engine needs before they start."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from dts_core.brokers.base import (
    HEARTBEATS,
    JOBS,
    LOGS,
    REQUESTS,
    RESULTS,
    Broker,
    QueueKind,
    QueueSpec,
)
from dts_core.clock import Clock
from dts_core.daemons.agents import Serve
from dts_core.daemons.base import Part
from dts_core.daemons.ear import Recorder
from dts_core.hosting.roundtrips import Trip
from dts_core.hosting.watchdog import Probe
from dts_core.private import read_private, write_private
from dts_core.services.claims import Claims
from dts_core.services.container import Services
from dts_core.services.listening import Judge
from dts_core.settings import (
    BrokerSettings,
    ConsumersSettings,
    NotifySettings,
    QueueNames,
    RetentionSettings,
)
from dts_core.stores.base import Store
from dts_core.stores.jobstore import Intake

__all__ = [
    "Control",
    "Engine",
    "Ports",
    "Waiting",
    "audit_key",
    "declare_queues",
    "plugin_folder",
]

KEY_FILE: Final = "audit.key"
KEY_BYTES: Final = 32


@dataclass(frozen=True)
class Ports:
    """An engine, open, and the settings of what runs on it."""

    store: Store
    intake: Intake
    broker: Broker
    """Under the names of `[broker.mq]`."""
    clock: Clock
    leases: Judge
    consumer: ConsumersSettings
    retention: RetentionSettings
    result_max: int
    notify: NotifySettings
    doubted: Callable[[], bool] = lambda: False
    """Whether messages may have come back although their holders live."""
    recorder: Recorder | None = None
    """Proves to whoever judges leases that results are recorded; None: it is in this process."""


@dataclass(frozen=True)
class Engine:
    """An engine of one process that does everything: how its workers come in, and what it says of itself."""

    name: str
    ports: Ports
    internal: Broker
    """The internal worker's broker."""
    internal_name: str
    is_asked: bool
    """Whether workers ask for their claims on the queue `requests`."""
    begin: Callable[[Claims], Awaitable[None]]
    """Let workers in, with claims granted by these."""
    components: Callable[[], Mapping[str, str]]
    broker: Trip
    stethoscope: Part
    parts: Mapping[str, Part]
    """Further parts that it needs."""
    serve: Serve | None = None
    """Serves the links of workers that were launched from here."""
    served_names: QueueNames = field(default_factory=QueueNames)
    """What the queues are called on those."""
    more: Callable[[Services], Awaitable[Mapping[str, Part]]] | None = None
    """And those that stand on the services."""


@dataclass(frozen=True)
class Control:
    """A server, open."""

    services: Services
    app: Any
    """ASGI."""
    parts: Mapping[str, Part]
    """Daemons and their like: to be run, each as a task, until cancelled. One that ends has failed."""
    probe: Probe
    """For the watchdog."""


@dataclass(frozen=True)
class Waiting:
    """For partners that are not there yet: what ends the wait, and who is told of it."""

    stop: asyncio.Event
    tell: Callable[[str], None] = lambda words: None


async def declare_queues(broker: Broker, limits: BrokerSettings) -> None:
    """The queues that are always there; those of hosts and of other names come with their first use."""
    for spec in (
        QueueSpec(RESULTS),
        QueueSpec(HEARTBEATS, QueueKind.BOUNDED, limits.heartbeats_limit),
        QueueSpec(LOGS, QueueKind.BOUNDED, limits.logs_limit),
        QueueSpec(REQUESTS, QueueKind.REQUEST),
        QueueSpec(f"{JOBS}default", claimed=True),
        QueueSpec(f"{JOBS}dts", claimed=True),
    ):
        await broker.declare(spec)


def audit_key(folder: Path) -> bytes:
    """The key of the hashes that stand for secrets in operations; made once a folder."""
    path = folder / KEY_FILE
    key = read_private(path)
    if key is None or len(key) != KEY_BYTES:
        key = secrets.token_bytes(KEY_BYTES)
        write_private(path, key)
    return key


def plugin_folder(given: str, data: Path) -> Path:
    """Where the administrator's plugins lie: where the settings say, else beside the other data."""
    return Path(given).expanduser() if given else data / "plugins"
