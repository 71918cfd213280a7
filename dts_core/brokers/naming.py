"""Queues under the names that `[broker.mq]` gives them; the code knows them by their own."""

from collections.abc import Sequence
from typing import Final

import msgspec

from dts_core.brokers import base
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
from dts_core.settings import QueueNames

__all__ = ["NamedBroker", "Names"]


class Names:
    """Translates names of queues; what is called as always passes untouched."""

    def __init__(self, names: QueueNames) -> None:
        self._is_plain: Final = names == QueueNames()
        self._prefix: Final = f"{names.jobs}."
        self._fixed: Final = {
            base.RESULTS: names.results,
            base.HEARTBEATS: names.heartbeats,
            base.LOGS: names.logs,
        }

    def given(self, queue: str) -> str:
        """The configured name of a queue that the code knows."""
        if queue.startswith(base.JOBS):
            return self._prefix + queue[len(base.JOBS) :]
        return self._fixed.get(queue, queue)

    def outgoing(self, items: Sequence[Outgoing]) -> Sequence[Outgoing]:
        """The same messages to the configured queues."""
        if self._is_plain:
            return items
        return [Outgoing(self.given(item.queue), item.message) for item in items]

    def spec(self, spec: QueueSpec) -> QueueSpec:
        """The same queue under its configured name."""
        return msgspec.structs.replace(spec, name=self.given(spec.name))


class NamedBroker:
    """A Broker whose callers use the names of the code; see Broker for each method."""

    def __init__(self, broker: Broker, names: Names) -> None:
        self._broker = broker
        self._names = names

    def given(self, queue: str) -> str:
        """The configured name of a queue that the code knows; as `stats` has it."""
        return self._names.given(queue)

    async def declare(self, spec: QueueSpec) -> None:
        """See Broker."""
        await self._broker.declare(self._names.spec(spec))

    async def publish(self, items: Sequence[Outgoing]) -> None:
        """See Broker."""
        await self._broker.publish(self._names.outgoing(items))

    async def fanout(self, exchange: str, message: Message) -> None:
        """See Broker."""
        await self._broker.fanout(exchange, message)

    async def consume(
        self, queue: str, on_deliveries: OnDeliveries, *, prefetch: int
    ) -> Consumption:
        """See Broker."""
        return await self._broker.consume(
            self._names.given(queue), on_deliveries, prefetch=prefetch
        )

    async def subscribe(
        self, exchange: str, on_message: OnMessage, *, limit: int = 1000
    ) -> Subscription:
        """See Broker."""
        return await self._broker.subscribe(exchange, on_message, limit=limit)

    async def request(
        self, queue: str, message: Message, *, timeout_seconds: float = 5.0
    ) -> Message:
        """See Broker."""
        return await self._broker.request(
            self._names.given(queue), message, timeout_seconds=timeout_seconds
        )

    async def stats(self) -> list[QueueStats]:
        """See Broker; under the configured names."""
        return await self._broker.stats()

    async def dead_letters(self, *, limit: int = 50, before: int = 0) -> list[DeadLetter]:
        """See Broker; under the configured names."""
        return await self._broker.dead_letters(limit=limit, before=before)

    async def send_again(self, seqs: Sequence[int]) -> int:
        """See Broker."""
        return await self._broker.send_again(seqs)

    async def discard_dead(self, seqs: Sequence[int]) -> int:
        """See Broker."""
        return await self._broker.discard_dead(seqs)

    async def pause(self, queue: str) -> None:
        """See Broker."""
        await self._broker.pause(self._names.given(queue))

    async def resume(self, queue: str) -> None:
        """See Broker."""
        await self._broker.resume(self._names.given(queue))

    async def close(self) -> None:
        """See Broker."""
        await self._broker.close()
