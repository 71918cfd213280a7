"""RabbitMQ for the control side: its line, the parts that only it needs, and a line for the internal worker."""

from collections.abc import Awaitable, Callable, Collection
from contextlib import AsyncExitStack
from datetime import timedelta
from functools import partial

from dts_core.brokers.base import DEAD, HEARTBEATS, RESULTS, SUBMIT, Broker, QueueSpec
from dts_core.brokers.claiming import ClaimingBroker
from dts_core.brokers.indoors import IndoorBroker
from dts_core.brokers.link_policy import Pass
from dts_core.brokers.naming import NamedBroker, Names
from dts_core.brokers.rabbitmq import letters
from dts_core.brokers.rabbitmq.broker import RabbitmqBroker
from dts_core.brokers.rabbitmq.topology import is_reply
from dts_core.brokers.relay_server import RelayServer
from dts_core.clock import Clock
from dts_core.daemons.base import Part
from dts_core.daemons.ear import Ear, Recorder
from dts_core.daemons.internal import HOST
from dts_core.daemons.submissions import Submissions
from dts_core.daemons.undertaker import Undertaker
from dts_core.errors import BrokerUnavailable
from dts_core.names import new_id
from dts_core.services.container import Services
from dts_core.services.leases import Lately
from dts_core.services.listening import ToldLeases
from dts_core.settings import BrokerSettings, DaemonsFile, RabbitSettings, ServerFile
from dts_core.stores.base import DeadLetterStore, Store
from dts_core.stores.outbox import OutboxIntake
from dts_core.wiring import parts as daemons
from dts_core.wiring.lines import Line
from dts_core.wiring.ports import Ports, Waiting, declare_queues

__all__ = [
    "open_internal",
    "open_rabbit",
    "rabbit_ports",
    "relay",
    "stethoscope",
    "submissions",
    "takers_of",
    "undertaker",
]


async def open_rabbit(
    stack: AsyncExitStack,
    settings: BrokerSettings,
    graves: DeadLetterStore,
    waiting: Waiting,
    *,
    indoors: Collection[str] = (),
) -> tuple[NamedBroker, Line]:
    """The control side's broker under the configured names, with the queues that are always there.

    Args:
        stack: Closes it.
        settings: `[broker]`.
        graves: Where its dead letters are kept.
        waiting: For the broker.
        indoors: Fanouts that nobody but this process sends to and hears.

    Raises:
        Stopped: The process was asked to stop before the broker was there.
    """
    rabbit = _broker(settings, graves=graves)
    broker = IndoorBroker(rabbit, Names(settings.mq), indoors)
    stack.push_async_callback(broker.close)
    line = Line(rabbit)
    await line.start(waiting.stop, waiting.tell)
    await declare_queues(broker, settings)
    await broker.declare(QueueSpec(DEAD))  # listed everywhere, wherever the undertaker runs
    return broker, line


def rabbit_ports(
    store: Store,
    broker: Broker,
    line: Line,
    clock: Clock,
    settings: ServerFile | DaemonsFile,
    result_max: int,
) -> tuple[Ports, Part]:
    """The ports of a control side on RabbitMQ, over any store.

    Leases are judged by what the stethoscope says of its hearing: heartbeats come through a broker that may be away
    while workers live. Everything may be delivered again when the line comes back: what was redelivered then proves
    nothing for a lease's length.

    Returns:
        The ports, and the part that keeps the judgement of leases up to date.
    """
    length = timedelta(seconds=settings.consumer.scheduler.lease_seconds)
    leases = ToldLeases(store, clock, length)
    rebuilt = Lately(clock, length)
    line.then(lambda connected, why: rebuilt.note() if connected else None)
    ports = Ports(
        store,
        OutboxIntake(store, broker, clock),
        broker,
        clock,
        leases,
        settings.consumer,
        settings.retention,
        result_max,
        settings.notify,
        rebuilt,
        Recorder(broker, store, clock, new_id(), takers=takers_of(broker)),
    )
    return ports, leases.run


def takers_of(broker: Broker) -> Callable[[], Awaitable[int]] | None:
    """How many take results now, as RabbitMQ knows it."""
    if not isinstance(broker, NamedBroker) or not isinstance(broker.below, RabbitmqBroker):
        return None
    queue, rabbit = broker.given(RESULTS), broker.below

    async def takers() -> int:
        _, found = await rabbit.count(queue)
        if not found:  # we are one: it could not be looked at
            raise BrokerUnavailable("nobody can say who takes results.")
        return found

    return takers


def stethoscope(ports: Ports) -> Part:
    """Hears heartbeats, and proves that it does, and nobody else."""
    broker = ports.broker
    queue = broker.given(HEARTBEATS) if isinstance(broker, NamedBroker) else HEARTBEATS

    async def hearers() -> int:
        return sum(each.consumers for each in await broker.stats() if each.name == queue)

    ear = Ear(broker, ports.store, ports.clock, new_id(), hearers=hearers)
    return daemons.stethoscope(ports, ear=ear)


async def submissions(ports: Ports, services: Services, settings: RabbitSettings) -> Part:
    """Takes jobs by AMQP, from programs that know nothing of dts.

    Raises:
        BrokerUnavailable: Its queue could not be made.
    """
    await ports.broker.declare(QueueSpec(SUBMIT))
    return Submissions(
        ports.broker,
        services.jobs,
        services.sessions,
        may_answer=is_reply,
        wait_seconds=settings.ack_after_seconds,
    ).run


def undertaker(ports: Ports, settings: RabbitSettings) -> Part:
    """Keeps dead letters in the store."""
    return Undertaker(
        ports.broker,
        ports.store,
        ports.clock,
        letter_of=partial(letters.letter_of, delivery_limit=settings.delivery_limit),
        is_refusal=lambda message: letters.REASON in message.headers,
    ).run


async def open_internal(
    stack: AsyncExitStack, settings: BrokerSettings, worker: str, waiting: Waiting
) -> ClaimingBroker:
    """The internal worker's broker: claims are asked for, as every worker on RabbitMQ does.

    Args:
        stack: Closes it.
        settings: `[broker]`.
        worker: The name that claims are granted to; unique for each start.
        waiting: For the broker.

    Raises:
        Stopped: The process was asked to stop before the broker was there.
    """
    rabbit = _broker(settings, host=HOST, worker=worker)
    claiming = ClaimingBroker(
        NamedBroker(rabbit, Names(settings.mq)),
        host=HOST,
        worker=worker,
        ack_after_seconds=settings.rabbitmq.ack_after_seconds,
    )
    stack.push_async_callback(claiming.close)
    line = Line(rabbit)
    line.then(claiming.on_link)
    await line.start(waiting.stop, waiting.tell)
    return claiming


def relay(settings: BrokerSettings) -> RelayServer:
    """Serves workers that were launched over SSH: each has a connection of its own, for this process alone to know."""

    async def connect(own: Pass) -> ClaimingBroker:
        rabbit = _broker(settings, host=own.host, worker=own.worker)
        claiming = ClaimingBroker(
            NamedBroker(rabbit, Names(settings.mq)),
            host=own.host,
            worker=own.worker,
            ack_after_seconds=settings.rabbitmq.ack_after_seconds,
        )
        rabbit.on_state = claiming.on_link
        try:
            await rabbit.start()
        except BaseException:
            await claiming.abandon()
            raise
        return claiming

    return RelayServer(connect)


def _broker(
    settings: BrokerSettings,
    *,
    host: str = "",
    worker: str = "",
    graves: DeadLetterStore | None = None,
) -> RabbitmqBroker:
    return RabbitmqBroker(
        settings.url,
        host=host,
        worker=worker,
        settings=settings.rabbitmq,
        names=settings.mq,
        tls=settings.tls,
        graves=graves,
    )
