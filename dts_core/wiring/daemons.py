"""Daemons on RabbitMQ and MongoDB: any of them in one process, any of them on several hosts."""

import asyncio
import os
import platform
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Final

from dts_core.daemons.base import Part
from dts_core.daemons.internal import WORKER
from dts_core.daemons.leading import Leader, leading
from dts_core.daemons.relay import Relay
from dts_core.hosting.opening import named_opener
from dts_core.hosting.watchdog import Probe
from dts_core.names import new_id
from dts_core.places import server_data
from dts_core.remote import Remotes
from dts_core.services.building import ServiceOptions, build_services
from dts_core.services.builtins import Builtins
from dts_core.services.container import Services
from dts_core.services.counters import Counters
from dts_core.services.events import EventBus
from dts_core.settings import DaemonsFile, QueueNames, ServerSettings
from dts_core.wiring import parts as daemons
from dts_core.wiring.gateway import Gateways, pool_of_agents, variables_of
from dts_core.wiring.mongo import NAME, Shared, open_shared
from dts_core.wiring.ports import Waiting, plugin_folder
from dts_core.wiring.presence import Presence
from dts_core.wiring.rabbit import open_internal, relay, stethoscope, undertaker
from dts_core.wiring.vault import open_vault, secret_files

__all__ = ["LEADING", "NAMES", "Daemons", "open_daemons"]

NAMES: Final = (
    "porter", "stethoscope", "logtracer", "scheduler", "internal", "requests", "gateway",
)  # fmt: skip
LEADING: Final = frozenset({"stethoscope", "scheduler", "gateway"})
"""Of these one leads, and the others stand by."""

SERVED: Final = frozenset({"internal", "gateway"})
"""Who works by the services' rules."""
JUDGES: Final = frozenset({"scheduler", "requests"})
"""Who says when a lease is over."""


@dataclass(frozen=True)
class Daemons:
    """Some daemons, open."""

    parts: Mapping[str, Part]
    """To be run, each as a task, until cancelled. One that ends has failed."""
    probe: Probe


@asynccontextmanager
async def open_daemons(
    names: Sequence[str], settings: DaemonsFile, waiting: Waiting
) -> AsyncIterator[Daemons]:
    """Open them, once store and broker are there.

    Args:
        names: Of NAMES.
        settings: daemons.toml.
        waiting: Ends the wait.

    Raises:
        Stopped: The process was asked to stop meanwhile.
        ConfigError: See `open_shared`.
    """
    async with AsyncExitStack() as stack:
        shared = await open_shared(stack, settings, settings.result_max, waiting)
        presence = Presence(
            shared.ports.store, shared.ports.clock, names, lambda: shared.line.words
        )
        parts: dict[str, Part] = {"presence": presence.run}
        services: Services | None = None
        if SERVED & set(names):
            services = await _services(stack, settings, shared)
            parts["services"] = services.watch
        for name in names:
            if name == "internal":
                assert services is not None
                parts |= await _internal(stack, settings, shared, services, waiting)
            elif name == "gateway":
                assert services is not None
                gateways = await _gateways(stack, settings, shared, services)
                presence.others = gateways.words
                parts[name] = _led(name, gateways.part, shared, presence)
            elif name == "requests":
                parts |= _requests(shared)
            elif name in LEADING:
                parts[name] = _led(name, _anew(name, shared), shared, presence)
            else:
                parts[name] = _PLAIN[name](shared)
            if name == "porter":
                parts["undertaker"] = undertaker(shared.ports, settings.broker.rabbitmq)
            if name in JUDGES:
                parts["leases"] = shared.judging
        yield Daemons(parts, shared.probe)


def _anew(name: str, shared: Shared) -> Part:
    """The daemon, made anew each time that it is run: nothing of a former time is left in it."""

    async def part() -> None:
        await _PLAIN[name](shared)()

    return part


def _led(name: str, part: Part, shared: Shared, presence: Presence) -> Part:
    """The daemon whenever it leads."""
    presence.leads(name, on=False)
    leader = Leader(
        shared.ports.store, name, new_id(), on_change=lambda on: presence.leads(name, on=on)
    )
    return leading(part, leader)


_PLAIN: Final[Mapping[str, Callable[[Shared], Part]]] = {
    "porter": lambda shared: daemons.porter(shared.ports),
    "stethoscope": lambda shared: stethoscope(shared.ports),
    "logtracer": lambda shared: daemons.logtracer(shared.ports),
    "scheduler": lambda shared: daemons.scheduler(shared.ports),
}


def _requests(shared: Shared) -> dict[str, Part]:
    relay = Relay(EventBus(shared.ports.broker, Counters()))
    claims = daemons.claims_of(shared.ports, relay)
    return {
        "requests": daemons.requests(shared.ports, claims),
        "announcements": relay.run,
    }


async def _gateways(
    stack: AsyncExitStack, settings: DaemonsFile, shared: Shared, services: Services
) -> Gateways:
    remotes = await stack.enter_async_context(Remotes(services, pool_of_agents(settings.ssh)))
    return Gateways(
        services,
        shared.ports.store,
        remotes,
        relay(settings.broker).serve_launched,
        settings.gateway,
        variables_of(settings.gateway, QueueNames()),
    )


async def _services(stack: AsyncExitStack, settings: DaemonsFile, shared: Shared) -> Services:
    """The rules, for parts that work by them."""
    ports = shared.ports
    options = ServiceOptions(
        engine=NAME,
        plugins=plugin_folder(settings.plugins, server_data()),
        jobs_prefix=f"{settings.broker.mq.jobs}.",
        notify=settings.notify,
        vault=await asyncio.to_thread(open_vault, settings.vault, server_data(), is_shared=True),
        secret_files=secret_files(settings.vault),
        setup=settings.setup,
        link=settings.broker,
    )
    server = ServerSettings(result_max=settings.result_max)
    services = build_services(ports.store, ports.intake, ports.broker, ports.clock, server, options)
    await services.start()
    stack.push_async_callback(services.stop)
    return services


async def _internal(
    stack: AsyncExitStack,
    settings: DaemonsFile,
    shared: Shared,
    services: Services,
    waiting: Waiting,
) -> dict[str, Part]:
    worker = f"{WORKER}-{platform.node()}-{os.getpid()}"
    broker = await open_internal(stack, settings.broker, worker, waiting)
    ports = shared.ports
    plugins = plugin_folder(settings.plugins, server_data())
    remotes = await stack.enter_async_context(Remotes(services, settings.ssh))
    builtins = Builtins(plugins=plugins)
    opener = await asyncio.to_thread(named_opener, settings.arguments)
    part = daemons.internal(
        ports, broker, services, remotes, builtins, worker=worker, opener=opener
    )
    return {"internal": part}
