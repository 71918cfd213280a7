"""Queues under the names that `[broker.mq]` gives them; the code knows them by their own."""

from collections.abc import Sequence
from typing import Final

import msgspec

from dts_core.brokers import base
from dts_core.brokers.base import (
    Broker,
    Consumption,
    Message,
    OnDeliveries,
    Outgoing,
    QueueSpec,
)
from dts_core.brokers.passing import PassingBroker
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


class NamedBroker(PassingBroker):
    """A Broker whose callers use the names of the code; what it tells of queues has the configured names."""

    def __init__(self, broker: Broker, names: Names) -> None:
        super().__init__(broker)
        self._names = names

    def given(self, queue: str) -> str:
        """The configured name of a queue that the code knows; as `stats` has it."""
        return self._names.given(queue)

    async def declare(self, spec: QueueSpec) -> None:
        """See Broker."""
        await super().declare(self._names.spec(spec))

    async def publish(self, items: Sequence[Outgoing]) -> None:
        """See Broker."""
        await super().publish(self._names.outgoing(items))

    async def consume(
        self, queue: str, on_deliveries: OnDeliveries, *, prefetch: int
    ) -> Consumption:
        """See Broker."""
        return await super().consume(self.given(queue), on_deliveries, prefetch=prefetch)

    async def request(
        self, queue: str, message: Message, *, timeout_seconds: float = 5.0
    ) -> Message:
        """See Broker."""
        return await super().request(self.given(queue), message, timeout_seconds=timeout_seconds)

    async def pause(self, queue: str) -> None:
        """See Broker."""
        await super().pause(self.given(queue))

    async def resume(self, queue: str) -> None:
        """See Broker."""
        await super().resume(self.given(queue))
