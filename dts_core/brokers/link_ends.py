"""Consumers and subscribers at the client's end of a link; they outlive the streams that they are carried by."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

import structlog

from dts_core.brokers import frames
from dts_core.brokers.base import Delivery, OnDeliveries, OnMessage

if TYPE_CHECKING:
    from dts_core.brokers.link import LinkBroker

Claim = tuple[str, int]
A = TypeVar("A")

log = structlog.get_logger(__name__)


class LinkConsumption:
    """One consumer on one queue, over every stream that the link ever has."""

    def __init__(
        self, broker: "LinkBroker", number: int, queue: str, on_deliveries: OnDeliveries, credit: int
    ) -> None:  # fmt: skip
        self.number = number
        self.queue = queue
        self.on_deliveries = on_deliveries
        self.credit = credit
        self.next_tag = 1
        self.claims: dict[int, Claim] = {}
        """tag -> (job, epoch) of what is unacked here."""
        self.is_open = True
        self._broker = broker
        self._late: list[int] = []
        """Tags of claimed deliveries that were acked without a stream."""
        self._early: list[list[Delivery]] | None = []
        """Batches that came before `consume` returned; None once it did."""

    def ack(self, tags: Sequence[int]) -> None:
        """End deliveries for good; unknown tags are ignored."""
        if not self._broker.is_connected:
            self._late += [tag for tag in tags if tag in self.claims]
            return
        if self.claims:
            for tag in tags:
                self.claims.pop(tag, None)
        self._broker.send_ack(self, tags)

    def send_late(self) -> None:
        """On a new stream: end what was acked in between and is still ours."""
        late, self._late = self._late, []
        tags = [tag for tag in late if tag in self.claims]
        if tags:
            self.ack(tags)

    def nack(self, tags: Sequence[int], *, requeue: bool, reason: str = "") -> None:
        """Hand deliveries back, or to the dead letters."""
        for tag in tags:
            self.claims.pop(tag, None)
        self._broker.send(frames.Nack(self.number, list(tags), requeue, reason))

    def grant(self, credit: int) -> None:
        """Set how many deliveries may be unacked; 0 pauses."""
        self.credit = max(credit, 0)
        self._broker.send(frames.Grant(self.number, self.credit))

    async def close(self) -> None:
        """Take no more; what is unacked goes back uncharged. A second call does nothing."""
        if self.is_open:
            self.is_open = False
            self.claims.clear()
            await self._broker.stop(self)

    def deliver(self, frame: frames.Deliver) -> None:
        """Take what the owner hands over."""
        items = frame.items
        self.next_tag = max(self.next_tag, items[-1].tag + 1)
        for delivery in items:
            if delivery.epoch:
                self.claims[delivery.tag] = (delivery.message.message_id, delivery.epoch)
        if self._early is None:
            self.on_deliveries(items)
        else:
            self._early.append(items)

    def begin(self) -> None:
        """Hand on what came early: a callback may use what `consume` returned."""
        early, self._early = self._early or [], None
        for items in early:
            guarded(self.on_deliveries, items)


class LinkSubscription:
    """One subscriber of a fanout; `dropped` counts what its queue at the owner lost."""

    def __init__(
        self, broker: "LinkBroker", number: int, exchange: str, on_message: OnMessage, limit: int
    ) -> None:  # fmt: skip
        self.number = number
        self.exchange = exchange
        self.on_message = on_message
        self.limit = limit
        self.dropped = 0
        self._broker = broker
        self._dropped_before = 0

    def hear(self, frame: frames.Heard) -> None:
        """Take what the owner sends."""
        self.dropped = self._dropped_before + frame.dropped
        for message in frame.items:
            self.on_message(message)

    def carry_over(self) -> None:
        """Another stream counts from zero."""
        self._dropped_before = self.dropped

    async def close(self) -> None:
        """Take no more. A second call does nothing."""
        self._broker.unsubscribe(self)


def consume_frame(
    consumption: LinkConsumption, adopted: frozenset[Claim], number: int
) -> frames.Consume:
    """The question that begins a consumer on a stream, with the adopted deliveries that go on there."""
    adopt = [(tag, claim[0]) for tag, claim in consumption.claims.items() if claim in adopted]
    return frames.Consume(
        number,
        consumption.number,
        consumption.queue,
        consumption.credit,
        consumption.next_tag,
        adopt,
    )


def subscribe_frame(subscription: LinkSubscription, number: int) -> frames.Subscribe:
    """The question that begins a subscription on a stream."""
    return frames.Subscribe(number, subscription.number, subscription.exchange, subscription.limit)


def guarded(call: Callable[[A], None], argument: A) -> None:
    """Call a consumer's callback; its mistake is logged and ends nothing."""
    try:
        call(argument)
    except Exception:  # a consumer's mistake must not end the link for the others
        log.exception("a consumer of the link failed")
