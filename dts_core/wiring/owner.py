"""The owner of a data folder: one process with the embedded store and everything that runs on it."""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from dts_core.api.app import create_app
from dts_core.brokers.base import Outgoing
from dts_core.brokers.embedded import EmbeddedBroker, PreparedPublish
from dts_core.brokers.link_server import LinkServer
from dts_core.brokers.naming import NamedBroker, Names
from dts_core.clock import Clock, SystemClock
from dts_core.daemons.base import Part
from dts_core.daemons.internal import HOST, WORKER
from dts_core.daemons.relay import Relay
from dts_core.daemons.requests import Requests
from dts_core.places import DATA_FILE, SOCKET
from dts_core.schema import MIGRATIONS, SCHEMA
from dts_core.services.builtins import Builtins
from dts_core.services.claims import Claims
from dts_core.services.container import Services, build_services
from dts_core.services.counters import Counters
from dts_core.services.leases import Leases
from dts_core.settings import QueueNames, ServerFile
from dts_core.sqlite import Database, prepare
from dts_core.stores.embedded import EmbeddedIntake, EmbeddedStore
from dts_core.wiring import parts as daemons
from dts_core.wiring.ports import Ports, audit_key, declare_queues, plugin_folder

__all__ = ["Owner", "open_owner"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Owner:
    """The control side of one process, open."""

    services: Services
    app: Any
    """ASGI."""
    parts: Mapping[str, Part]
    """Daemons and their like: to be run, each as a task, until cancelled. One that ends has failed."""


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
        ports, embedded = await _open_engine(stack, folder, settings, clock or SystemClock())
        counters = Counters()
        plugins = plugin_folder(settings.server.plugins, folder)
        parts: dict[str, Part] = {}
        link = _link_server(embedded, folder, settings, ports.leases, counters)

        def components() -> dict[str, str]:
            links = {f"link {host}": worker for host, worker in link.links}
            return {**dict.fromkeys(parts, "up"), **links}

        services = build_services(
            ports.store,
            ports.intake,
            ports.broker,
            ports.clock,
            settings.server,
            counters=counters,
            components=components,
            plugins=plugins,
            audit_key=await asyncio.to_thread(audit_key, folder),
            jobs_prefix=f"{settings.broker.mq.jobs}.",
        )
        await services.start()
        stack.push_async_callback(services.stop)
        parts.update(_parts(ports, embedded, settings, services, Builtins(plugins=plugins)))
        await link.start()
        stack.push_async_callback(link.close)
        yield Owner(services, create_app(services, settings.server), parts)


async def _open_engine(
    stack: AsyncExitStack, folder: Path, settings: ServerFile, clock: Clock
) -> tuple[Ports, EmbeddedBroker]:
    database, store = await open_store(stack, folder, clock)
    embedded = EmbeddedBroker(database, clock=clock)
    await embedded.start()
    stack.push_async_callback(embedded.close)
    names = settings.broker.mq
    broker = embedded if names == QueueNames() else _Shared(embedded, Names(names))
    await declare_queues(broker, settings.broker)
    intake = EmbeddedIntake(database, store, broker)
    lease = timedelta(seconds=settings.consumer.scheduler.lease_seconds)
    ports = Ports(
        store,
        intake,
        broker,
        clock,
        Leases(clock, lease),
        settings.consumer,
        settings.retention,
        settings.server.result_max,
    )
    return ports, embedded


async def open_store(
    stack: AsyncExitStack, folder: Path, clock: Clock
) -> tuple[Database, EmbeddedStore]:
    """The file of a data folder, brought to this version's form; closed by `stack`."""
    path = folder / DATA_FILE
    await asyncio.to_thread(prepare, path, SCHEMA, MIGRATIONS)
    await asyncio.to_thread(path.chmod, 0o600)
    database = Database(path, asyncio.get_running_loop())
    database.on_background_error = _tell_background_error
    store = EmbeddedStore(database, clock)
    stack.push_async_callback(store.close)
    return database, store


def _tell_background_error(error: BaseException) -> None:
    _log.error("a write that nobody waits for failed: %s", error)


def _link_server(
    embedded: EmbeddedBroker, folder: Path, settings: ServerFile, leases: Leases, counters: Counters
) -> LinkServer:
    def refused(host: str, worker: str, claims: list[tuple[str, int]]) -> None:
        counters.add("dts_results_refused_total", len(claims))

    return LinkServer(
        embedded,
        folder / SOCKET,
        names=settings.broker.mq,
        on_refused=refused,
        doubted_pause=leases.doubted_pause,
    )


def _parts(
    ports: Ports,
    embedded: EmbeddedBroker,
    settings: ServerFile,
    services: Services,
    builtins: Builtins,
) -> dict[str, Part]:
    relay = Relay(services.bus)
    lease = timedelta(seconds=ports.consumer.scheduler.lease_seconds)
    embedded.claims = Claims(
        ports.store, ports.clock, lease=lease, on_changes=relay.tell, leases=ports.leases
    )
    side = NamedBroker(embedded.attach(host=HOST, worker=WORKER), Names(settings.broker.mq))
    requests = Requests(ports.broker, ports.store, ports.clock, result_max=ports.result_max)
    return {
        "porter": daemons.porter(
            ports, on_refused=lambda: services.counters.add("dts_results_refused_total", 1)
        ),
        "stethoscope": daemons.stethoscope(ports),
        "logtracer": daemons.logtracer(ports),
        "scheduler": daemons.scheduler(ports),
        "requests": requests.run,
        "internal": daemons.internal(ports, side, services, builtins),
        "announcements": relay.run,
        "services": services.watch,
    }
