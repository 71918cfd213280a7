"""The embedded engine of a data folder: one file with jobs and messages, a socket for workers; or its store alone."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path

from dts_core.brokers.base import Outgoing
from dts_core.brokers.embedded import EmbeddedBroker, PreparedPublish
from dts_core.brokers.link_server import LinkServer
from dts_core.brokers.naming import NamedBroker, Names
from dts_core.clock import Clock
from dts_core.daemons.internal import HOST, WORKER
from dts_core.hosting.roundtrips import Trip
from dts_core.places import DATA_FILE, SOCKET
from dts_core.schema import MIGRATIONS, SCHEMA
from dts_core.services.claims import Claims
from dts_core.services.counters import Counters
from dts_core.services.leases import Leases
from dts_core.settings import QueueNames, ServerFile
from dts_core.sqlite import Database, prepare
from dts_core.stores.embedded import EmbeddedIntake, EmbeddedStore
from dts_core.wiring import parts as daemons
from dts_core.wiring.ports import Engine, Ports, declare_queues

__all__ = ["open_embedded", "open_store"]

_log = logging.getLogger(__name__)


class _Shared(NamedBroker):
    """The embedded broker under configured names, for whoever writes messages with something else in one commit."""

    def __init__(self, broker: EmbeddedBroker, names: Names) -> None:
        super().__init__(broker, names)
        self._embedded = broker

    def prepare(self, items: Sequence[Outgoing]) -> PreparedPublish:
        """See EmbeddedBroker."""
        return self._embedded.prepare(self._names.outgoing(items))


async def open_embedded(
    stack: AsyncExitStack, folder: Path, settings: ServerFile, clock: Clock, counters: Counters
) -> Engine:
    """The whole engine; closed by `stack`, links first.

    Raises:
        SchemaMismatch: Written by another version; the file is untouched.
        StoreError: The file cannot be opened.
    """
    database, store = await open_store(stack, folder, clock)
    embedded = EmbeddedBroker(database, clock=clock)
    await embedded.start()
    stack.push_async_callback(embedded.close)
    names = Names(settings.broker.mq)
    broker = embedded if settings.broker.mq == QueueNames() else _Shared(embedded, names)
    await declare_queues(broker, settings.broker)
    leases = Leases(clock, timedelta(seconds=settings.consumer.scheduler.lease_seconds))
    ports = Ports(
        store,
        EmbeddedIntake(database, store, broker),
        broker,
        clock,
        leases,
        settings.consumer,
        settings.retention,
        settings.server.result_max,
        settings.notify,
    )
    link = _link_server(embedded, folder, settings, leases, counters)

    async def begin(claims: Claims) -> None:
        embedded.claims = claims
        await link.start()
        stack.push_async_callback(link.close)

    def components() -> Mapping[str, str]:
        workers: dict[str, list[str]] = {}
        for host, worker in sorted(link.links):
            workers.setdefault(f"link {host}", []).append(worker)
        return {name: ", ".join(linked) for name, linked in workers.items()}

    side = NamedBroker(embedded.attach(host=HOST, worker=WORKER), names)
    return Engine(
        name="embedded",
        ports=ports,
        internal=side,
        internal_name=WORKER,
        is_asked=False,
        begin=begin,
        components=components,
        broker=Trip(broker.stats),
        parts={},
        stethoscope=daemons.stethoscope(ports, on_unwritten=leases.doubt),
        serve=link.serve_launched,
        served_names=settings.broker.mq,
    )


async def open_store(
    stack: AsyncExitStack, folder: Path, clock: Clock
) -> tuple[Database, EmbeddedStore]:
    """The file of a data folder, brought to this version's form; closed by `stack`.

    Raises:
        SchemaMismatch: Written by another version; the file is untouched.
        StoreError: The file cannot be opened.
    """
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
