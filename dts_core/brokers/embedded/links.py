"""A link: one side that consumes, in this process or at the far end of a stream.

Unacked deliveries and claims belong to their link.
"""

import asyncio
from collections.abc import Container, Sequence
from typing import TYPE_CHECKING, Final

from dts_core.brokers.base import (
    DeadLetter,
    Message,
    OnDeliveries,
    OnMessage,
    Outgoing,
    QueueSpec,
)
from dts_core.brokers.embedded.fanouts import Subscriber
from dts_core.brokers.embedded.outlets import Taking
from dts_core.brokers.embedded.queues import Entry
from dts_core.model import QueueStats

if TYPE_CHECKING:
    from dts_core.brokers.embedded.broker import EmbeddedBroker


class _EveryJob:
    def __contains__(self, job: object) -> bool:
        return True


EVERY_JOB: Final[Container[str]] = _EveryJob()


class _Claim:
    __slots__ = ("is_acked", "is_reported")

    def __init__(self) -> None:
        self.is_acked = False
        self.is_reported = False


class Link:
    """A Broker of its own: its consumers' deliveries and claims end with it.

    Args:
        host: Who runs what is claimed here.
        worker: The worker's name; unique among links.
    """

    def __init__(self, broker: "EmbeddedBroker", host: str, worker: str) -> None:
        self.host = host
        self.worker = worker
        self.takings: set[Taking] = set()
        self._broker = broker
        self._claims: dict[tuple[str, int], _Claim] = {}
        self._subscribers: list[Subscriber] = []
        self._is_open = True

    # --- claims: held from the grant until the result is published and the delivery acked

    def claim(self, job: str, epoch: int) -> None:
        """Hold a claim from now on."""
        self._claims[job, epoch] = _Claim()

    def holds(self, job: str, epoch: int) -> bool:
        """Whether a result for this claim may come from here."""
        return (job, epoch) in self._claims

    def reported(self, job: str, epoch: int) -> None:
        """The claim's result was published."""
        claim = self._claims.get((job, epoch))
        if claim is not None:
            claim.is_reported = True
            if claim.is_acked:
                del self._claims[job, epoch]

    def acked(self, job: str, epoch: int) -> None:
        """The claim's delivery was acked. An early ack leaves the claim until its result comes."""
        claim = self._claims.get((job, epoch))
        if claim is not None:
            claim.is_acked = True
            if claim.is_reported:
                del self._claims[job, epoch]

    def forget(self, entries: Sequence[Entry]) -> list[tuple[str, int]]:
        """Hold no claim on these messages any more; returns what was held."""
        claims = [(entry.message.message_id, entry.epoch) for entry in entries]
        return [claim for claim in claims if self._claims.pop(claim, None) is not None]

    def take_unreported(self) -> list[tuple[str, int]]:
        """End all claims; returns those whose run is lost with the link: neither reported nor acked."""
        lost = [
            key
            for key, claim in self._claims.items()
            if not claim.is_acked and not claim.is_reported
        ]
        self._claims.clear()
        return lost

    # --- the Broker's interface

    async def declare(self, spec: QueueSpec) -> None:
        """Make the queue when it is not there."""
        await self._broker.declare(spec)

    async def publish(self, items: Sequence[Outgoing]) -> None:
        """Publish in order, durably for queues of work."""
        await self._broker.publish(items)

    async def fanout(self, exchange: str, message: Message) -> None:
        """Hand the message to every subscriber."""
        await self._broker.fanout(exchange, message)

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

    async def request(
        self, queue: str, message: Message, *, timeout_seconds: float = 5.0
    ) -> Message:
        """Ask and wait for the answer."""
        return await self._broker.request(queue, message, timeout_seconds=timeout_seconds)

    async def stats(self) -> list[QueueStats]:
        """Every declared queue, by name."""
        return await self._broker.stats()

    async def dead_letters(self, *, limit: int = 50, before: int = 0) -> list[DeadLetter]:
        """The newest first."""
        return await self._broker.dead_letters(limit=limit, before=before)

    async def send_again(self, seqs: Sequence[int]) -> int:
        """Put dead letters back into the queues they came from."""
        return await self._broker.send_again(seqs)

    async def discard_dead(self, seqs: Sequence[int]) -> int:
        """Throw dead letters away for good."""
        return await self._broker.discard_dead(seqs)

    async def pause(self, queue: str) -> None:
        """Hand nothing out from this queue until `resume`."""
        await self._broker.pause(queue)

    async def resume(self, queue: str) -> None:
        """Hand out again."""
        await self._broker.resume(queue)

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
