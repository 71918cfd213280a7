"""The daemons, each put together from an engine's ports; who runs which is the process's matter."""

from collections.abc import Callable

from dts_core.brokers.base import Broker
from dts_core.daemons.base import Part
from dts_core.daemons.internal import Internal
from dts_core.daemons.logtracer import Logtracer
from dts_core.daemons.porter import Porter
from dts_core.daemons.scheduler import Scheduler
from dts_core.daemons.stethoscope import Stethoscope
from dts_core.services.builtins import Builtins
from dts_core.services.container import Services
from dts_core.wiring.ports import Ports

__all__ = ["internal", "logtracer", "porter", "scheduler", "stethoscope"]


def porter(ports: Ports, on_refused: Callable[[], None] = lambda: None) -> Part:
    """Records results."""
    return Porter(
        ports.broker,
        ports.store,
        ports.intake,
        ports.consumer.porter,
        ports.clock,
        backoff_max_seconds=ports.consumer.scheduler.backoff_max_seconds,
        result_max=ports.result_max,
        on_refused=on_refused,
    ).run


def stethoscope(ports: Ports) -> Part:
    """Hears heartbeats."""
    settings = ports.consumer.stethoscope
    return Stethoscope(
        ports.broker, ports.store, settings, ports.clock, on_unwritten=ports.leases.doubt
    ).run


def logtracer(ports: Ports) -> Part:
    """Keeps logs."""
    return Logtracer(ports.broker, ports.store, ports.consumer.logtracer, ports.clock).run


def scheduler(ports: Ports) -> Part:
    """Sends what is due, reaps what has lapsed."""
    return Scheduler(
        ports.broker,
        ports.store,
        ports.intake,
        ports.consumer.scheduler,
        ports.retention,
        ports.clock,
        leases=ports.leases,
        result_max=ports.result_max,
    ).run


def internal(ports: Ports, broker: Broker, services: Services, builtins: Builtins) -> Part:
    """Runs the jobs of namespace `dts/`.

    Args:
        ports: The engine.
        broker: One whose deliveries are claimed for (internal.HOST, internal.WORKER).
        services: What the shipped functions may use.
        builtins: Where their sources lie.
    """
    settings = ports.consumer.internal
    return Internal(broker, ports.store, services, builtins, settings, ports.clock).run
