"""MongoDB for the control side, and the ports that stand on it and on RabbitMQ."""

from contextlib import AsyncExitStack
from dataclasses import dataclass

from dts_core.clock import Clock, SystemClock
from dts_core.daemons.base import Part
from dts_core.hosting.roundtrips import RoundTrips, Trip
from dts_core.hosting.waiting import patiently
from dts_core.settings import DaemonsFile, ServerFile
from dts_core.stores.mongodb import open_store
from dts_core.wiring.lines import Line
from dts_core.wiring.ports import Ports, Waiting
from dts_core.wiring.rabbit import open_rabbit, rabbit_ports

__all__ = ["NAME", "Shared", "open_shared"]

NAME = "RabbitMQ + MongoDB"


@dataclass(frozen=True)
class Shared:
    """What every process of a distributed control side has."""

    ports: Ports
    line: Line
    probe: RoundTrips
    judging: Part
    """Keeps the judgement of leases up to date; for scheduler and requests."""


async def open_shared(
    stack: AsyncExitStack,
    settings: ServerFile | DaemonsFile,
    result_max: int,
    waiting: Waiting,
) -> Shared:
    """Store and broker, waited for as long as it takes; closed by `stack`.

    Args:
        stack: Closes them.
        settings: With `[broker]`, `[store]` and the consumers.
        result_max: Largest result of a job, in bytes.
        waiting: Ends the wait.

    Raises:
        Stopped: The process was asked to stop meanwhile.
        ConfigError: The store cannot keep what it promises, or the URL is wrong.
        SchemaMismatch: The database was made by something else.
    """
    clock: Clock = SystemClock()
    store = await patiently(
        "the store", lambda: open_store(settings.store, clock), waiting.stop, tell=waiting.tell
    )
    stack.push_async_callback(store.close)
    broker, line = await open_rabbit(stack, settings.broker, store, waiting)
    ports, judging = rabbit_ports(store, broker, line, clock, settings, result_max)
    probe = RoundTrips({"store": Trip(store.ping), "broker": Trip(broker.stats, line.away)})
    return Shared(ports, line, probe, judging)
