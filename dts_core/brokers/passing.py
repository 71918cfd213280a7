"""A Broker that passes every call on to another one: what stands around a broker overrides only what it changes."""

from collections.abc import Sequence

from dts_core.brokers.base import (
    Broker,
    Consumption,
    DeadLetter,
    Message,
    OnDeliveries,
    OnMessage,
    Outgoing,
    QueueSpec,
    Subscription,
)
from dts_core.model import QueueStats

__all__ = ["PassingBroker"]


class PassingBroker:
    """See Broker for each method.

    Args:
        broker: Who does the work. Closed with this one.
    """

    def __init__(self, broker: Broker) -> None:
        self._below = broker

    @property
    def below(self) -> Broker:
        """Who does the work."""
        return self._below

    async def declare(self, spec: QueueSpec) -> None:
        """See Broker."""
        await self._below.declare(spec)

    async def publish(self, items: Sequence[Outgoing]) -> None:
        """See Broker."""
        await self._below.publish(items)

    async def fanout(self, exchange: str, message: Message) -> None:
        """See Broker."""
        await self._below.fanout(exchange, message)

    async def consume(
        self, queue: str, on_deliveries: OnDeliveries, *, prefetch: int
    ) -> Consumption:
        """See Broker."""
        return await self._below.consume(queue, on_deliveries, prefetch=prefetch)

    async def subscribe(
        self, exchange: str, on_message: OnMessage, *, limit: int = 1000
    ) -> Subscription:
        """See Broker."""
        return await self._below.subscribe(exchange, on_message, limit=limit)

    async def request(
        self, queue: str, message: Message, *, timeout_seconds: float = 5.0
    ) -> Message:
        """See Broker."""
        return await self._below.request(queue, message, timeout_seconds=timeout_seconds)

    async def stats(self) -> list[QueueStats]:
        """See Broker."""
        return await self._below.stats()

    async def dead_letters(self, *, limit: int = 50, before: int = 0) -> list[DeadLetter]:
        """See Broker."""
        return await self._below.dead_letters(limit=limit, before=before)

    async def send_again(self, seqs: Sequence[int]) -> int:
        """See Broker."""
        return await self._below.send_again(seqs)

    async def discard_dead(self, seqs: Sequence[int]) -> int:
        """See Broker."""
        return await self._below.discard_dead(seqs)

    async def pause(self, queue: str) -> None:
        """See Broker."""
        await self._below.pause(queue)

    async def resume(self, queue: str) -> None:
        """See Broker."""
        await self._below.resume(queue)

    async def close(self) -> None:
        """See Broker."""
        await self._below.close()
