"""The owner of a data folder: one process with the embedded store and everything that runs on it, on either broker."""

import asyncio
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from dts_core.api.app import create_app
from dts_core.brokers.base import EVENTS
from dts_core.clock import Clock, SystemClock
from dts_core.daemons.base import Part
from dts_core.daemons.internal import WORKER
from dts_core.daemons.relay import Relay
from dts_core.hosting.roundtrips import RoundTrips, Trip
from dts_core.places import is_amqp
from dts_core.remote import Remotes
from dts_core.sealed import Opener
from dts_core.services.builtins import Builtins
from dts_core.services.claims import Claims
from dts_core.services.container import Services
from dts_core.services.counters import Counters
from dts_core.services.stream import LOG_STREAM
from dts_core.settings import ServerFile
from dts_core.signing import Signer
from dts_core.wiring import parts as daemons
from dts_core.wiring.arguments import owners_keys
from dts_core.wiring.embedded import open_embedded, open_store
from dts_core.wiring.gateway import Gateways, pool_of_agents, variables_of
from dts_core.wiring.ports import Control, Engine, Waiting, plugin_folder
from dts_core.wiring.serving import Keys, Process, open_services
from dts_core.wiring.signing import named_signer, owners_signer
from dts_core.wiring.vault import open_vault

__all__ = ["open_owner"]


@asynccontextmanager
async def open_owner(
    folder: Path,
    settings: ServerFile,
    *,
    clock: Clock | None = None,
    waiting: Waiting | None = None,
) -> AsyncIterator[Control]:
    """Open a data folder whose OwnerLock this process holds, with everything that runs on it.

    Workers can come as soon as it is open. Closing goes backwards: workers' links, services, broker, file.

    Args:
        folder: Prepared, private.
        settings: server.toml.
        clock: The time; the machine's own when None.
        waiting: For a RabbitMQ that is not there yet.

    Raises:
        SchemaMismatch: Written by another version; the file is untouched.
        StoreError: The file cannot be opened.
        ConfigError: A setting that only shows when it is used.
        Stopped: The process was asked to stop before the broker was there.
    """
    named = await asyncio.to_thread(named_signer, settings.signing)
    async with AsyncExitStack() as stack:
        counters, clock = Counters(), clock or SystemClock()
        vault = await asyncio.to_thread(open_vault, settings.vault, folder)
        engine = await _open_engine(stack, folder, settings, clock, waiting, counters)
        signer = await asyncio.to_thread(owners_signer, folder, named)
        sealer, opener = await asyncio.to_thread(owners_keys, folder, settings.arguments)
        parts: dict[str, Part] = {}
        agents: list[Gateways] = []
        keys = Keys(vault, signer, sealer)
        process = Process(engine.name, counters, lambda: _words(parts, engine, agents))
        services, remotes = await open_services(
            stack, folder, settings, engine.ports, keys, process
        )
        relay = Relay(services.bus)
        claims = daemons.claims_of(engine.ports, relay)
        builtins = Builtins(plugins=plugin_folder(settings.server.plugins, folder))
        sealing = (sealer.names, opener)
        parts.update(_parts(engine, services, remotes, builtins, relay, claims, *sealing))
        gateways = await _gateways(stack, engine, services, settings, signer)
        parts["gateway"] = gateways.part
        agents.append(gateways)
        if engine.more is not None:
            parts.update(await engine.more(services))
        await engine.begin(claims)
        probe = RoundTrips({"store": Trip(engine.ports.store.ping), "broker": engine.broker})
        yield Control(services, create_app(services, settings.server), parts, probe)


async def _open_engine(
    stack: AsyncExitStack,
    folder: Path,
    settings: ServerFile,
    clock: Clock,
    waiting: Waiting | None,
    counters: Counters,
) -> Engine:
    if not is_amqp(settings.broker.url):
        return await open_embedded(stack, folder, settings, clock, counters)
    waiting = waiting or Waiting(asyncio.Event())
    return await _open_on_rabbitmq(stack, folder, settings, clock, waiting)


def _words(
    parts: Mapping[str, Part], engine: Engine, agents: Sequence[Gateways]
) -> Mapping[str, str]:
    """Part -> its state, as it is now."""
    return {
        **dict.fromkeys(parts, "up"),
        **engine.components(),
        **{name: words for each in agents for name, words in each.words().items()},
    }


async def _gateways(
    stack: AsyncExitStack, engine: Engine, services: Services, settings: ServerFile, signer: Signer
) -> Gateways:
    """The gateway of an owner, with a pool of its own: a lost worker's connection is cut, whoever else is on it."""
    assert engine.serve is not None
    remotes = await stack.enter_async_context(Remotes(services, pool_of_agents(settings.ssh)))
    return Gateways(
        services,
        engine.ports.store,
        remotes,
        engine.serve,
        settings.gateway,
        variables_of(settings.gateway, engine.served_names),
        str(signer.public),
    )


async def _open_on_rabbitmq(
    stack: AsyncExitStack, folder: Path, settings: ServerFile, clock: Clock, waiting: Waiting
) -> Engine:
    from dts_core.wiring import rabbit  # the driver is slow to load

    _, store = await open_store(stack, folder, clock)
    # The file has one owner: whoever tells of changes and whoever hears of them is in this process.
    broker, line = await rabbit.open_rabbit(
        stack, settings.broker, store, waiting, indoors=(EVENTS, LOG_STREAM)
    )
    worker = f"{WORKER}-{os.getpid()}"
    internal = await rabbit.open_internal(stack, settings.broker, worker, waiting)
    ports, judging = rabbit.rabbit_ports(
        store, broker, line, clock, settings, settings.server.result_max
    )

    async def begin(claims: Claims) -> None:
        """Workers come by themselves, and ask."""

    async def more(services: Services) -> dict[str, Part]:
        taking = await rabbit.submissions(ports, services, settings.broker.rabbitmq)
        return {"submissions": taking}

    return Engine(
        name="RabbitMQ + embedded store",
        ports=ports,
        internal=internal,
        internal_name=worker,
        is_asked=True,
        begin=begin,
        components=lambda: {"broker line": line.words},
        broker=Trip(broker.stats, line.away),
        stethoscope=rabbit.stethoscope(ports),
        serve=rabbit.relay(settings.broker).serve_launched,
        parts={
            "leases": judging,
            "undertaker": rabbit.undertaker(ports, settings.broker.rabbitmq),
        },
        more=more,
    )


def _parts(
    engine: Engine,
    services: Services,
    remotes: Remotes,
    builtins: Builtins,
    relay: Relay,
    claims: Claims,
    sealing: list[str],
    opener: Opener,
) -> dict[str, Part]:
    ports = engine.ports
    return {
        "porter": daemons.porter(
            ports, on_refused=lambda: services.counters.add("dts_results_refused_total", 1)
        ),
        "stethoscope": engine.stethoscope,
        "logtracer": daemons.logtracer(ports),
        "scheduler": daemons.scheduler(ports),
        "requests": daemons.requests(
            ports,
            claims if engine.is_asked else None,
            signing=services.signing.show().key,
            sealing=sealing,
        ),
        "internal": daemons.internal(
            ports,
            engine.internal,
            services,
            remotes,
            builtins,
            worker=engine.internal_name,
            opener=opener,
        ),
        "announcements": relay.run,
        "services": services.watch,
        **engine.parts,
    }
