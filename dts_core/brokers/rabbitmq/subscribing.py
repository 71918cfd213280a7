"""One subscriber of a fanout, over every connection that it ever has."""

from collections.abc import Callable

import structlog

from dts_core.brokers.base import OnMessage
from dts_core.brokers.rabbitmq.making import Maker
from dts_core.brokers.rabbitmq.plane import Plane, PlaneDelivery

log = structlog.get_logger(__name__)


class RabbitSubscription:
    """See Subscription. Its queue lives as long as the connection; what it drops RabbitMQ does not tell.

    Args:
        queue: Its own, a new one for each subscription.
        exchange: As the code calls it.
        on_message: Who hears.
        limit: Most messages that wait.
        ended: Told when it closes.
    """

    def __init__(
        self, queue: str, exchange: str, on_message: OnMessage, limit: int,
        ended: Callable[["RabbitSubscription"], None],
    ) -> None:  # fmt: skip
        self.dropped = 0
        self.queue = queue
        self.exchange = exchange
        self._on_message = on_message
        self._limit = limit
        self._ended = ended
        self._plane: Plane | None = None
        self._is_closed = False

    async def build(self, maker: Maker, plane: Plane) -> None:
        """Make its queue on this connection, and hear.

        Raises:
            QueueNotFound: There is no such exchange; then no queue is left behind either.
            BrokerUnavailable: No answer in time.
        """
        await maker.subscriber_queue(self.queue, self.exchange, self._limit)
        await plane.consume(self.queue, self._heard, prefetch=0, no_ack=True)
        self._plane = plane

    async def close(self) -> None:
        """See Subscription."""
        if self._is_closed:
            return
        self._is_closed = True
        self._ended(self)
        plane, self._plane = self._plane, None
        if plane is not None:
            await plane.close()

    def _heard(self, deliveries: list[PlaneDelivery]) -> None:
        for delivery in deliveries:
            if self._is_closed:
                return
            try:
                self._on_message(delivery.message)
            except Exception:  # a subscriber's mistake must not end the channel
                log.exception("a subscriber failed", exchange=self.exchange)
