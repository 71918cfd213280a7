"""The only place that picks concrete adapters: the owner of a data folder with everything in it."""

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from dts_core.api.app import create_app
from dts_core.brokers.base import (
    HEARTBEATS,
    JOBS,
    LOGS,
    REQUESTS,
    RESULTS,
    Broker,
    Outgoing,
    QueueKind,
    QueueSpec,
)
from dts_core.brokers.embedded import EmbeddedBroker, PreparedPublish
from dts_core.brokers.link_server import LinkServer
from dts_core.brokers.naming import NamedBroker, Names
from dts_core.clock import Clock, SystemClock
from dts_core.daemons.base import Part
from dts_core.daemons.internal import HOST, WORKER, Internal
from dts_core.daemons.logtracer import Logtracer
from dts_core.daemons.porter import Porter
from dts_core.daemons.relay import Relay
from dts_core.daemons.requests import Requests
from dts_core.daemons.scheduler import Scheduler
from dts_core.daemons.stethoscope import Stethoscope
from dts_core.places import DATA_FILE, SOCKET
from dts_core.private import read_private, write_private
from dts_core.schema import MIGRATIONS, SCHEMA
from dts_core.services.builtins import Builtins
from dts_core.services.claims import Claims
from dts_core.services.container import Services, build_services
from dts_core.services.counters import Counters
from dts_core.services.leases import Leases
from dts_core.settings import QueueNames, ServerFile
from dts_core.sqlite import Database, prepare
from dts_core.stores.embedded import EmbeddedIntake, EmbeddedStore

__all__ = ["Owner", "open_owner"]

KEY_FILE: Final = "audit.key"
KEY_BYTES: Final = 32
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Owner:
    """The embedded engine of one data folder, open."""

    services: Services
    app: Any
    """ASGI."""
    parts: Mapping[str, Part]
    """Daemons and their like: to be run, each as a task, until cancelled. One that ends has failed."""


@dataclass(frozen=True)
class _Engine:
    folder: Path
    settings: ServerFile
    clock: Clock
    store: EmbeddedStore
    intake: EmbeddedIntake
    broker: Broker
    embedded: EmbeddedBroker
    leases: Leases


class _Shared(NamedBroker):
    """The embedded broker under configured names, for whoever writes messages with something else in one commit."""

    def __init__(self, broker: EmbeddedBroker, names: Names) -> None:
        super().__init__(broker, names)
        self._embedded = broker

    def prepare(self, items: Sequence[Outgoing]) -> PreparedPublish:
        """See EmbeddedBroker."""
        return self._embedded.prepare(self._names.outgoing(items))


@asynccontextmanager
async def open_owner(
    folder: Path, settings: ServerFile, *, clock: Clock | None = None
) -> AsyncIterator[Owner]:
    """Open a data folder whose OwnerLock this process holds, with everything that runs on it.

    Workers can link up as soon as it is open. Closing goes backwards: links, services, broker, file.

    Args:
        folder: Prepared, private.
        settings: server.toml.
        clock: The time; the machine's own when None.

    Raises:
        SchemaMismatch: Written by another version; the file is untouched.
        StoreError: The file cannot be opened.
        ConfigError: A setting that only shows when it is used.
    """
    async with AsyncExitStack() as stack:
        engine = await _open_engine(stack, folder, settings, clock or SystemClock())
        counters = Counters()
        key = await asyncio.to_thread(_audit_key, folder)
        plugins = _plugins(folder, settings)
        parts: dict[str, Part] = {}
        link = _link_server(engine, counters)

        def components() -> dict[str, str]:
            links = {f"link {host}": worker for host, worker in link.links}
            return {**dict.fromkeys(parts, "up"), **links}

        services = build_services(
            engine.store,
            engine.intake,
            engine.broker,
            engine.clock,
            settings.server,
            counters=counters,
            components=components,
            plugins=plugins,
            audit_key=key,
        )
        await services.start()
        stack.push_async_callback(services.stop)
        parts.update(_parts(engine, services, Builtins(plugins=plugins)))
        await link.start()
        stack.push_async_callback(link.close)
        yield Owner(services, create_app(services, settings.server), parts)


async def _open_engine(
    stack: AsyncExitStack, folder: Path, settings: ServerFile, clock: Clock
) -> _Engine:
    path = folder / DATA_FILE
    await asyncio.to_thread(prepare, path, SCHEMA, MIGRATIONS)
    await asyncio.to_thread(path.chmod, 0o600)
    database = Database(path, asyncio.get_running_loop())
    database.on_background_error = _tell_background_error
    store = EmbeddedStore(database, clock)
    stack.push_async_callback(store.close)
    embedded = EmbeddedBroker(database, clock=clock)
    await embedded.start()
    stack.push_async_callback(embedded.close)
    names = settings.broker.mq
    broker = embedded if names == QueueNames() else _Shared(embedded, Names(names))
    await _declare(broker, settings)
    intake = EmbeddedIntake(database, store, broker)
    lease = timedelta(seconds=settings.consumer.scheduler.lease_seconds)
    leases = Leases(clock, lease)
    return _Engine(folder, settings, clock, store, intake, broker, embedded, leases)


def _plugins(folder: Path, settings: ServerFile) -> Path:
    given = settings.server.plugins
    return Path(given).expanduser() if given else folder / "plugins"


def _tell_background_error(error: BaseException) -> None:
    _log.error("a write that nobody waits for failed: %s", error)


async def _declare(broker: Broker, settings: ServerFile) -> None:
    """The queues that are always there; those of hosts and of other names come with their first use."""
    limits = settings.broker
    for spec in (
        QueueSpec(RESULTS),
        QueueSpec(HEARTBEATS, QueueKind.BOUNDED, limits.heartbeats_limit),
        QueueSpec(LOGS, QueueKind.BOUNDED, limits.logs_limit),
        QueueSpec(REQUESTS, QueueKind.REQUEST),
        QueueSpec(f"{JOBS}default", claimed=True),
        QueueSpec(f"{JOBS}dts", claimed=True),
    ):
        await broker.declare(spec)


def _audit_key(folder: Path) -> bytes:
    """The key of the hashes that stand for secrets in operations; made once a folder."""
    path = folder / KEY_FILE
    key = read_private(path)
    if key is None or len(key) != KEY_BYTES:
        key = secrets.token_bytes(KEY_BYTES)
        write_private(path, key)
    return key


def _link_server(engine: _Engine, counters: Counters) -> LinkServer:
    def refused(host: str, worker: str, claims: list[tuple[str, int]]) -> None:
        counters.add("dts_results_refused_total", len(claims))

    return LinkServer(
        engine.embedded,
        engine.folder / SOCKET,
        names=engine.settings.broker.mq,
        on_refused=refused,
        doubted_pause=engine.leases.doubted_pause,
    )


def _parts(engine: _Engine, services: Services, builtins: Builtins) -> dict[str, Part]:
    settings, broker = engine.settings.consumer, engine.broker
    store, intake, clock = engine.store, engine.intake, engine.clock
    relay = Relay(services.bus)
    lease = timedelta(seconds=settings.scheduler.lease_seconds)
    engine.embedded.claims = Claims(
        store, clock, lease=lease, on_changes=relay.tell, leases=engine.leases
    )
    side = engine.embedded.attach(host=HOST, worker=WORKER)
    internal = Internal(
        NamedBroker(side, Names(engine.settings.broker.mq)),
        store,
        services,
        builtins,
        settings.internal,
        clock,
    )
    backoff, result_max = settings.scheduler.backoff_max_seconds, engine.settings.server.result_max
    porter = Porter(
        broker,
        store,
        intake,
        settings.porter,
        clock,
        backoff_max_seconds=backoff,
        result_max=result_max,
        on_refused=lambda: services.counters.add("dts_results_refused_total", 1),
    )
    retention = engine.settings.retention
    scheduler = Scheduler(
        broker,
        store,
        intake,
        settings.scheduler,
        retention,
        clock,
        leases=engine.leases,
        result_max=result_max,
    )
    return {
        "porter": porter.run,
        "stethoscope": Stethoscope(
            broker, store, settings.stethoscope, clock, on_unwritten=engine.leases.doubt
        ).run,
        "logtracer": Logtracer(broker, store, settings.logtracer, clock).run,
        "scheduler": scheduler.run,
        "requests": Requests(broker, store, clock, result_max=result_max).run,
        "internal": internal.run,
        "announcements": relay.run,
        "services": services.watch,
    }
