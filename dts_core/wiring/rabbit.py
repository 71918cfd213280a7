"""RabbitMQ for the control side: its line, and one more for the internal worker."""

from contextlib import AsyncExitStack

from dts_core.brokers.claiming import ClaimingBroker
from dts_core.brokers.naming import NamedBroker, Names
from dts_core.brokers.rabbitmq.broker import RabbitmqBroker
from dts_core.daemons.internal import HOST
from dts_core.settings import BrokerSettings
from dts_core.stores.base import DeadLetterStore
from dts_core.wiring.lines import Line
from dts_core.wiring.ports import Waiting, declare_queues

__all__ = ["open_internal", "open_rabbit"]


async def open_rabbit(
    stack: AsyncExitStack, settings: BrokerSettings, graves: DeadLetterStore, waiting: Waiting
) -> tuple[NamedBroker, Line]:
    """The control side's broker under the configured names, with the queues that are always there.

    Raises:
        Stopped: The process was asked to stop before the broker was there.
    """
    rabbit = _broker(settings, graves=graves)
    broker = NamedBroker(rabbit, Names(settings.mq))
    stack.push_async_callback(broker.close)
    line = Line(rabbit)
    await line.start(waiting.stop, waiting.tell)
    await declare_queues(broker, settings)
    return broker, line


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
