"""A Broker whose named fanouts never leave the process: for a control side that is one process, on any broker."""

from collections.abc import Collection

from dts_core.brokers.base import Broker, Message, OnMessage, Subscription
from dts_core.brokers.embedded.fanouts import Fanout
from dts_core.brokers.naming import NamedBroker, Names

__all__ = ["IndoorBroker"]


class IndoorBroker(NamedBroker):
    """See NamedBroker.

    Each change would otherwise go out to the broker, be confirmed and come back to the process that sent it: three
    messages for a job that is submitted by itself.

    Args:
        broker: Does everything else. Closed with this one.
        names: Of the queues.
        exchanges: The fanouts that nobody outside sends to or hears; they work while the broker is away, too.
    """

    def __init__(self, broker: Broker, names: Names, exchanges: Collection[str]) -> None:
        super().__init__(broker, names)
        self._fanouts = {exchange: Fanout() for exchange in exchanges}

    async def fanout(self, exchange: str, message: Message) -> None:
        """See Broker."""
        inside = self._fanouts.get(exchange)
        if inside is None:
            await super().fanout(exchange, message)
        else:
            inside.send(message)

    async def subscribe(
        self, exchange: str, on_message: OnMessage, *, limit: int = 1000
    ) -> Subscription:
        """See Broker."""
        inside = self._fanouts.get(exchange)
        if inside is None:
            return await super().subscribe(exchange, on_message, limit=limit)
        return inside.subscribe(on_message, limit)
