"""A queue with its consumers: who may be handed how much, and what is parked."""

import asyncio
import heapq
from collections.abc import Sequence
from typing import TYPE_CHECKING

from dts_core.brokers.base import OnDeliveries
from dts_core.brokers.embedded.queues import Entry, Queue
from dts_core.errors import QueueNotFound
from dts_core.model import QueueStats

if TYPE_CHECKING:
    from dts_core.brokers.embedded.dispatch import Dispatcher
    from dts_core.brokers.embedded.links import Link


class Outlet:
    """One queue with its consumers, and the messages parked because a live lease stands against them."""

    def __init__(self, queue: Queue) -> None:
        self.queue = queue
        self.takings: list[Taking] = []
        self.is_paused = False
        self.is_woken = False
        self.parked: list[tuple[float, int, Entry]] = []
        self.alarm: asyncio.TimerHandle | None = None

    def unpark(self, message_ids: set[str]) -> list[Entry]:
        """Take the parked messages that have one of the ids."""
        found = [entry for _, _, entry in self.parked if entry.message.message_id in message_ids]
        if found:
            self.parked = [
                item for item in self.parked if item[2].message.message_id not in message_ids
            ]
            heapq.heapify(self.parked)
        return found

    def stats(self, now: float) -> QueueStats:
        """What an operator sees of the queue; `now` in seconds since 1970."""
        queue, figures = self.queue, self.queue.figures
        oldest = queue.oldest()
        return QueueStats(
            name=queue.name,
            ready=queue.ready,
            unacked=figures.unacked,
            consumers=len(self.takings),
            oldest_seconds=max(now - oldest, 0.0) if oldest else 0.0,
            published=figures.published,
            delivered=figures.delivered,
            acked=figures.acked,
            dropped=figures.dropped,
            dead=figures.dead,
            paused=self.is_paused,
        )


class Outlets(dict[str, Outlet]):
    """The declared queues by name."""

    def known(self, name: str) -> Outlet:
        """A declared queue.

        Raises:
            QueueNotFound: It was never declared.
        """
        outlet = self.get(name)
        if outlet is None:
            raise QueueNotFound(f"there is no queue {name[:120]!r}.")
        return outlet


class Taking:
    """One consumer on one queue: the Consumption of a link, in this process or at the far end of a stream.

    Args:
        first_tag: Where its tags begin: a client that comes back goes on where it was, so that old tags mean nothing.
    """

    def __init__(
        self, dispatcher: "Dispatcher", outlet: Outlet, link: "Link", on_deliveries: OnDeliveries, prefetch: int,
        first_tag: int = 1,
    ) -> None:  # fmt: skip
        self.outlet = outlet
        self.link = link
        self.on_deliveries = on_deliveries
        self.credit = prefetch
        self.next_tag = first_tag
        self.unacked: dict[int, Entry] = {}
        self.adopted: dict[int, str] = {}
        """tag -> job of an adopted delivery whose message has not been met yet."""
        self.claiming = 0
        self.resting = False
        self.is_open = True
        self._dispatcher = dispatcher

    def room(self) -> int:
        """How many more deliveries it may be handed now."""
        if self.claiming or self.resting or self.link.is_silent:
            return 0
        return self.credit - len(self.unacked) - len(self.adopted)

    def ack(self, tags: Sequence[int]) -> None:
        """End deliveries for good; unknown tags are ignored."""
        self._dispatcher.ack(self, tags)

    def nack(self, tags: Sequence[int], *, requeue: bool, reason: str = "") -> None:
        """Hand deliveries back, or to the dead letters."""
        self._dispatcher.nack(self, tags, requeue, reason)

    def grant(self, credit: int) -> None:
        """Set how many deliveries may be unacked; 0 pauses."""
        self.credit = max(credit, 0)
        self.wake()

    def wake(self) -> None:
        """There may be room now."""
        self._dispatcher.wake(self.outlet)

    async def close(self) -> None:
        """Take no more; what is unacked goes back uncharged. A second call does nothing."""
        self.end()

    def end(self) -> None:
        """As `close`, at once."""
        self._dispatcher.release(self, "the consumer closed")
