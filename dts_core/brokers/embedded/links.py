"""A link: one side that consumes, in this process or at the far end of a stream.

Unacked deliveries and claims belong to their link.
"""

import asyncio
from collections.abc import Container, Sequence
from typing import TYPE_CHECKING, Final

from dts_core.brokers.base import Message, OnDeliveries, OnMessage, Outgoing, QueueSpec
from dts_core.brokers.embedded.fanouts import Subscriber
from dts_core.brokers.embedded.outlets import Taking
from dts_core.brokers.embedded.queues import Entry
from dts_core.brokers.held import HeldClaims
from dts_core.brokers.passing import PassingBroker

if TYPE_CHECKING:
    from dts_core.brokers.embedded.broker import EmbeddedBroker


class _EveryJob:
    def __contains__(self, job: object) -> bool:
        return True


EVERY_JOB: Final[Container[str]] = _EveryJob()


class Link(PassingBroker):
    """A Broker of its own: its consumers' deliveries and claims end with it.

    Args:
        host: Who runs what is claimed here.
        worker: The worker's name; unique among links.
    """

    def __init__(self, broker: "EmbeddedBroker", host: str, worker: str) -> None:
        super().__init__(broker)
        self.host = host
        self.worker = worker
        self.takings: set[Taking] = set()
        self.is_silent = False
        self._broker = broker
        self._claims = HeldClaims()
        self._subscribers: list[Subscriber] = []
        self._is_open = True

    def silence(self, is_silent: bool) -> None:
        """While the far end is not heard nothing more is handed over: it would wait there, and be charged a loss."""
        self.is_silent = is_silent
        for taking in self.takings:
            taking.wake()

    # --- claims: held from the grant until the result is published and the delivery acked

    def claim(self, job: str, epoch: int) -> None:
        """Hold a claim from now on."""
        self._claims.add(job, epoch)

    @property
    def held(self) -> int:
        """How many claims there are."""
        return len(self._claims)

    def holds(self, job: str, epoch: int) -> bool:
        """Whether a result for this claim may come from here."""
        return (job, epoch) in self._claims

    def reported(self, job: str, epoch: int) -> None:
        """The claim's result was published."""
        self._claims.reported(job, epoch)

    def acked(self, job: str, epoch: int) -> None:
        """The claim's delivery was acked. An early ack leaves the claim until its result comes."""
        self._claims.acked(job, epoch)

    def forget(self, entries: Sequence[Entry]) -> list[tuple[str, int]]:
        """Hold no claim on these messages any more; returns what was held."""
        claims = [(entry.message.message_id, entry.epoch) for entry in entries]
        return [claim for claim in claims if self._claims.drop(*claim)]

    def take_unreported(self) -> list[tuple[str, int]]:
        """End all claims; returns those whose run is lost with the link: neither reported nor acked."""
        return self._claims.take_unreported()

    # --- what differs from the broker

    async def consume(
        self, queue: str, on_deliveries: OnDeliveries, *, prefetch: int, first_tag: int = 1,
        adopt: Sequence[tuple[int, str]] = (),
    ) -> Taking:  # fmt: skip
        """Start taking from a declared queue.

        Args:
            queue: Its name.
            on_deliveries: Called with each batch.
            prefetch: Most deliveries unacked.
            first_tag: The first new delivery's tag.
            adopt: (tag, job) of deliveries that go on here, of claims that `adopt` gave to this link.

        Raises:
            QueueNotFound: It was never declared.
        """
        return self._broker.take(self, queue, on_deliveries, prefetch, first_tag, adopt)

    async def subscribe(
        self, exchange: str, on_message: OnMessage, *, limit: int = 1000
    ) -> Subscriber:
        """Hear a fanout from now on."""
        return self.listen(exchange, on_message, limit)

    def listen(self, exchange: str, on_message: OnMessage, limit: int) -> Subscriber:
        """As `subscribe`, at once."""
        subscriber = self._broker.listen(exchange, on_message, limit)
        self._subscribers.append(subscriber)
        return subscriber

    # --- as its session sees it; see `link_side.Side`

    def publish_soon(self, items: Sequence[Outgoing]) -> asyncio.Future[None] | None:
        """As `publish`, at once; the future ends when it is durable."""
        return self._broker.publish_soon(items)

    def fanout_now(self, exchange: str, message: Message) -> None:
        """As `fanout`, at once."""
        self._broker.fanout_now(exchange, message)

    def declare_soon(self, spec: QueueSpec) -> None:
        """As `declare`, at once."""
        self._broker.declare_now(spec)

    def take_soon(
        self, queue: str, on_deliveries: OnDeliveries, prefetch: int, first_tag: int,
        adopt: Sequence[tuple[int, str]],
    ) -> tuple[Taking, None]:  # fmt: skip
        """As `consume`, at once."""
        return self._broker.take(self, queue, on_deliveries, prefetch, first_tag, adopt), None

    def listen_soon(
        self, exchange: str, on_message: OnMessage, limit: int
    ) -> tuple[Subscriber, None]:
        """As `subscribe`, at once."""
        return self.listen(exchange, on_message, limit), None

    def set_paused(self, queue: str, *, on: bool) -> None:
        """As `pause` and `resume`, at once."""
        self._broker.set_paused(queue, on=on)

    async def close(self) -> None:
        """Hand everything back uncharged. A second call does nothing."""
        if self._end():
            self._broker.release(self, "the link was closed")
            await asyncio.sleep(0)

    def lose(self, reason: str, keep: Container[str] = frozenset()) -> None:
        """The far end is gone: deliveries are redelivered, claims charged a loss, except for the jobs in `keep`."""
        if self._end():
            self._broker.lose(self, reason, keep)

    def leave(self) -> None:
        """The far end gave the stream up and comes back: nothing is charged, claims stand as long as their leases."""
        if self._end():
            self._broker.lose(self, "", EVERY_JOB)

    def abandon(self) -> None:
        """The owner stops: nothing more is handed over; claims stay with the far end, which comes back."""
        if self._end():
            self._broker.abandon(self)

    def _end(self) -> bool:
        was_open, self._is_open = self._is_open, False
        for subscriber in self._subscribers:
            subscriber.end()
        self._subscribers.clear()
        return was_open
