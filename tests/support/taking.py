"""What a test's consumer took, and how it ends it."""

from collections.abc import Sequence

from dts_core.brokers.base import Broker, Consumption, Delivery, Message, Outgoing
from dts_core.errors import BrokerUnavailable
from dts_core.testing import wait_until


class Taker:
    """A consumer that keeps what it is handed until the test acks it; `acks` makes it ack at once."""

    def __init__(self, *, acks: bool = False) -> None:
        self.deliveries: list[Delivery] = []
        self.batches: list[int] = []
        self.acks = acks
        self.consumption: Consumption | None = None

    @classmethod
    async def on(
        cls, broker: Broker, queue: str, *, prefetch: int = 100, acks: bool = False
    ) -> "Taker":
        taker = cls(acks=acks)
        taker.consumption = await broker.consume(queue, taker.take, prefetch=prefetch)
        return taker

    def take(self, deliveries: list[Delivery]) -> None:
        self.deliveries += deliveries
        self.batches.append(len(deliveries))
        if self.acks and self.consumption is not None:
            self.consumption.ack([delivery.tag for delivery in deliveries])

    @property
    def ids(self) -> list[str]:
        return [delivery.message.message_id for delivery in self.deliveries]

    def tags(self, *ids: str) -> list[int]:
        return [d.tag for d in self.deliveries if not ids or d.message.message_id in ids]

    def ack(self, *ids: str) -> None:
        assert self.consumption is not None
        self.consumption.ack(self.tags(*ids))

    def nack(self, *ids: str, requeue: bool = True, reason: str = "") -> None:
        assert self.consumption is not None
        self.consumption.nack(self.tags(*ids), requeue=requeue, reason=reason)

    async def close(self) -> None:
        assert self.consumption is not None
        await self.consumption.close()

    async def has(self, count: int) -> "Taker":
        await wait_until(lambda: len(self.deliveries) >= count, what=f"{count} deliveries")
        return self


async def bury(broker: Broker, queue: str, *messages: Message, reason: str = "garbage") -> None:
    """Have messages of a queue that nobody takes from become dead letters."""
    await broker.publish([Outgoing(queue, message) for message in messages])
    taker = await (await Taker.on(broker, queue)).has(len(messages))
    taker.nack(requeue=False, reason=reason)
    await taker.close()


def outgoing(queue: str, ids: Sequence[str], priority: int = 0) -> list[Outgoing]:
    """One message an id, whose body is the id."""
    return [
        Outgoing(queue, Message(name.encode(), message_id=name, priority=priority)) for name in ids
    ]


async def stands(broker: Broker, queue: str) -> tuple[int, int]:
    """(ready, unacked) of a queue."""
    found = {stats.name: stats for stats in await broker.stats()}[queue]
    return found.ready, found.unacked


async def until_stands(broker: Broker, queue: str, ready: int, unacked: int = 0) -> None:
    """Wait until a queue stands so."""

    async def does() -> bool:
        try:
            return await stands(broker, queue) == (ready, unacked)
        except BrokerUnavailable:  # an answer is late; the adapter tries again by itself
            return False

    await wait_until(does, what=f"{queue}: {ready} ready, {unacked} unacked")
