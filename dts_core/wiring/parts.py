"""The daemons, each put together from an engine's ports; who runs which is the process's matter."""

from collections.abc import Callable, Sequence
from datetime import timedelta

from dts_core.brokers.base import Broker
from dts_core.brokers.claiming import ClaimingBroker
from dts_core.daemons.base import Part
from dts_core.daemons.ear import Ear
from dts_core.daemons.internal import WORKER, Internal
from dts_core.daemons.logtracer import Logtracer
from dts_core.daemons.porter import Porter
from dts_core.daemons.relay import Relay
from dts_core.daemons.requests import Requests
from dts_core.daemons.scheduler import Scheduler
from dts_core.daemons.stethoscope import Stethoscope
from dts_core.remote import Remotes
from dts_core.sealed import Opener
from dts_core.services.builtins import Builtins
from dts_core.services.claims import Claims
from dts_core.services.container import Services
from dts_core.wiring.ports import Ports
from dts_core.wiring.telling import notifier, told

__all__ = [
    "claims_of",
    "internal",
    "logtracer",
    "porter",
    "requests",
    "scheduler",
    "stethoscope",
]


def porter(ports: Ports, on_refused: Callable[[], None] = lambda: None) -> Part:
    """Records results."""
    part = Porter(
        ports.broker,
        ports.store,
        ports.intake,
        ports.consumer.porter,
        ports.clock,
        backoff_max_seconds=ports.consumer.scheduler.backoff_max_seconds,
        result_max=ports.result_max,
        on_refused=on_refused,
        recorder=ports.recorder,
    ).run
    return told(ports, "porter", ports.consumer.porter.notify, part)


def stethoscope(
    ports: Ports, *, on_unwritten: Callable[[], None] = lambda: None, ear: Ear | None = None
) -> Part:
    """Hears heartbeats.

    Args:
        ports: The engine.
        on_unwritten: Told when what was heard could not be written.
        ear: Proves to other processes that it hears.
    """
    settings = ports.consumer.stethoscope
    part = Stethoscope(
        ports.broker,
        ports.store,
        settings,
        ports.clock,
        on_unwritten=on_unwritten,
        ear=ear,
        notifier=notifier(ports, "stethoscope", settings.notify),
    ).run
    return told(ports, "stethoscope", settings.notify, part)


def logtracer(ports: Ports) -> Part:
    """Keeps logs."""
    settings = ports.consumer.logtracer
    part = Logtracer(ports.broker, ports.store, settings, ports.clock).run
    return told(ports, "logtracer", settings.notify, part)


def scheduler(ports: Ports) -> Part:
    """Sends what is due, reaps what has lapsed."""
    part = Scheduler(
        ports.broker,
        ports.store,
        ports.intake,
        ports.consumer.scheduler,
        ports.retention,
        ports.clock,
        leases=ports.leases,
        result_max=ports.result_max,
    ).run
    return told(ports, "scheduler", ports.consumer.scheduler.notify, part)


def internal(
    ports: Ports,
    broker: Broker,
    services: Services,
    remotes: Remotes,
    builtins: Builtins,
    *,
    worker: str = WORKER,
    opener: Opener | None = None,
) -> Part:
    """Runs the jobs of namespace `dts/`.

    Args:
        ports: The engine.
        broker: One whose deliveries are claimed for (internal.HOST, `worker`).
        services: What the shipped functions may use.
        remotes: Their sessions with virtual hosts.
        builtins: Where their sources lie.
        worker: Its name.
        opener: Opens secret arguments of plugins; None: no key is there.
    """
    settings = ports.consumer.internal
    made = Internal(
        broker, ports.store, services, remotes, builtins, settings, ports.clock,
        worker=worker, opener=opener,
    )  # fmt: skip
    if isinstance(broker, ClaimingBroker):
        broker.holding, broker.on_resumed = made.held, made.on_resumed
    return told(ports, "internal", settings.notify, made.run)


def requests(
    ports: Ports,
    claims: Claims | None = None,
    *,
    signing: str = "",
    sealing: Sequence[str] = (),
) -> Part:
    """Answers the questions of workers.

    Args:
        ports: The engine.
        claims: Grants claims, where workers have to ask for them.
        signing: Id of the key that the server of this process signs with.
        sealing: The keys that it seals secret arguments to.
    """
    return Requests(
        ports.broker,
        ports.store,
        ports.clock,
        result_max=ports.result_max,
        claims=claims,
        signing=signing,
        sealing=sealing,
    ).run


def claims_of(ports: Ports, relay: Relay) -> Claims:
    """Grants claims, and announces what changes by it."""
    lease = timedelta(seconds=ports.consumer.scheduler.lease_seconds)
    return Claims(
        ports.store,
        ports.clock,
        lease=lease,
        on_changes=relay.tell,
        leases=ports.leases,
        doubted=ports.doubted,
    )
