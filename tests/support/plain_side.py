"""A broker that knows no claims, as RabbitMQ is for a worker, with a connection that a test can cut and mend."""

from collections.abc import Sequence
from typing import Any

from dts_core.brokers.base import Delivery, Message, OnDeliveries, Outgoing, QueueSpec
from dts_core.brokers.claiming import ClaimingBroker
from dts_core.brokers.embedded import EmbeddedBroker, Link, Taking
from dts_core.clock import Clock
from dts_core.errors import BrokerUnavailable
from tests.support.taking import Taker


class PlainConsumption:
    """A consumer over every connection that its side has; no tag is used twice."""

    def __init__(self, queue: str, on_deliveries: OnDeliveries, credit: int) -> None:
        self.queue = queue
        self.credit = credit
        self.acked: list[int] = []
        self.taking: Taking | None = None
        self._on_deliveries = on_deliveries
        self._last = 0

    async def begin(self, link: Link) -> None:
        self.taking = await link.consume(
            self.queue, self._take, prefetch=self.credit, first_tag=self._last + 1
        )

    def _take(self, deliveries: list[Delivery]) -> None:
        self._last = max(self._last, deliveries[-1].tag)
        self._on_deliveries(deliveries)

    def ack(self, tags: Sequence[int]) -> None:
        self.acked += tags
        if self.taking is not None:
            self.taking.ack(tags)

    def nack(self, tags: Sequence[int], *, requeue: bool, reason: str = "") -> None:
        if self.taking is not None:
            self.taking.nack(tags, requeue=requeue, reason=reason)

    def grant(self, credit: int) -> None:
        self.credit = credit
        if self.taking is not None:
            self.taking.grant(credit)

    async def close(self) -> None:
        if self.taking is not None:
            await self.taking.close()


class PlainSide:
    """The Broker of one worker, without claims; `cut` loses its connection, `mend` brings another."""

    def __init__(self, broker: EmbeddedBroker, name: str) -> None:
        self.consumptions: list[PlainConsumption] = []
        self.loses_answers = False
        """What is asked arrives and is done, and its answer does not come."""
        self.answered = 0
        """Questions that were."""
        self._broker = broker
        self._name = name
        self._link: Link | None = broker.attach(host=name, worker=name)

    @property
    def link(self) -> Link:
        if self._link is None:
            raise BrokerUnavailable("the connection is away.")
        return self._link

    def cut(self) -> None:
        """The broker notices at once: what is unacked goes to others."""
        link, self._link = self.link, None
        for consumption in self.consumptions:
            consumption.taking = None
        link.lose("the connection was cut")

    async def mend(self) -> None:
        self._link = self._broker.attach(host=self._name, worker=self._name)
        for consumption in self.consumptions:
            await consumption.begin(self._link)

    async def declare(self, spec: QueueSpec) -> None:
        await self.link.declare(spec)

    async def publish(self, items: Sequence[Outgoing]) -> None:
        await self.link.publish(items)

    async def consume(
        self, queue: str, on_deliveries: OnDeliveries, *, prefetch: int
    ) -> PlainConsumption:
        taken = PlainConsumption(queue, on_deliveries, prefetch)
        self.consumptions.append(taken)
        await taken.begin(self.link)
        return taken

    async def request(
        self, queue: str, message: Message, *, timeout_seconds: float = 5.0
    ) -> Message:
        link = self.link
        answer = await link.request(queue, message, timeout_seconds=timeout_seconds)
        if self.loses_answers:
            raise BrokerUnavailable("the answer was lost.")
        self.answered += 1
        return answer

    async def close(self) -> None:
        if self._link is not None:
            await self._link.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.link, name)


class ClaimingSide:
    """A worker's claiming broker with what it took."""

    def __init__(
        self, broker: EmbeddedBroker, name: str, clock: Clock, *, ack_after_seconds: float = 600
    ) -> None:
        self.name = name
        self.plain = PlainSide(broker, name)
        self.broker = ClaimingBroker(
            self.plain,
            host=name,
            worker=name,
            ack_after_seconds=ack_after_seconds,
            clock=clock,
        )
        self.resumed: list[tuple[str, int, bool]] = []
        self.broker.on_resumed = lambda claims: self.resumed.extend(c[:3] for c in claims)
        self.taker: Taker

    async def begin(self, prefetch: int = 10) -> "ClaimingSide":
        self.taker = await Taker.on(self.broker, "jobs.default", prefetch=prefetch)
        return self

    @property
    def held(self) -> list[Delivery]:
        """What it was handed, in order."""
        return self.taker.deliveries

    def cut(self) -> None:
        self.plain.cut()
        self.broker.on_link(False, "cut")

    async def mend(self) -> None:
        await self.plain.mend()
        self.broker.on_link(True, "")
