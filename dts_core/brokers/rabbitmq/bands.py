"""What one consumption has on each of its bands: consumers with their limits, deliveries that wait or are out.

AMQP fixes the limit of a consumer when it starts. To take more, another consumer is added beside it; to take less,
consumers are ended, and what they had stays out as an orphan until it is settled. Together they never exceed the
limit that is wanted.
"""

from collections import deque
from typing import Final

from dts_core.brokers.base import Delivery
from dts_core.brokers.rabbitmq.plane import Plane

SOURCES_MAX: Final = 6
"""Consumers of one band; beyond it they are replaced by one."""


class Source:
    """One AMQP consumer."""

    def __init__(self, plane: Plane, band: "Band", limit: int) -> None:
        self.plane = plane
        self.band = band
        self.limit = limit
        self.consumer_tag = ""
        self.unacked = 0
        self.is_live = True


class Held:
    """A delivery that has not ended."""

    def __init__(self, source: Source, delivery: Delivery) -> None:
        self.source = source
        self.delivery = delivery
        self.is_burying = False
        """A copy of it is on its way to the dead letters; it is acked after that."""


class Band:
    """One queue on RabbitMQ."""

    def __init__(self, queue: str) -> None:
        self.queue = queue
        self.sources: list[Source] = []
        self.orphans = 0
        """Deliveries out whose consumer was ended."""
        self.waiting: deque[Held] = deque()
        """Came, and not handed out yet."""
        self.delivered = 0
        self.stalled_at = -1
        """`delivered` at the last look, when there was something to take and nothing came; -1 otherwise."""

    @property
    def limit(self) -> int:
        """What the live consumers may have out."""
        return sum(source.limit for source in self.sources)

    @property
    def spare(self) -> int:
        """How many more the live consumers could be sent now."""
        return sum(source.limit - source.unacked for source in self.sources)

    def surplus(self, wanted: int) -> list[Source]:
        """The consumers to end, so that no more than `wanted` come, newest first."""
        ended: list[Source] = []
        limit = self.limit
        if len(self.sources) >= SOURCES_MAX and limit + self.orphans < wanted:
            return self.sources[::-1]
        for source in reversed(self.sources):
            if limit <= wanted:
                break
            ended.append(source)
            limit -= source.limit
        return ended

    def missing(self, wanted: int) -> int:
        """The limit of the consumer to add; 0 when it is not worth one yet."""
        room = wanted - self.limit - self.orphans
        if room <= 0:
            return 0
        is_worth_it = not self.sources or not self.orphans or room * 2 >= wanted
        return room if is_worth_it else 0

    def end(self, source: Source) -> None:
        """A consumer has ended; what it had stays out."""
        if source.is_live:
            source.is_live = False
            self.sources.remove(source)
            self.orphans += source.unacked

    def settled(self, source: Source) -> bool:
        """One of its deliveries has ended; whether a consumer may be added now."""
        source.unacked -= 1
        if source.is_live:
            return False
        self.orphans -= 1
        return True

    def forget(self) -> None:
        """The channel is lost, with all that was on it."""
        for source in self.sources:
            source.is_live = False
        self.sources.clear()
        self.waiting.clear()
        self.orphans = 0
        self.stalled_at = -1

    def looks_stalled(self, ready: int) -> bool:
        """Whether nothing has come since the last look, though there was and is something to take."""
        could = ready > 0 and self.spare > 0
        stalled = could and self.stalled_at == self.delivered
        self.stalled_at = self.delivered if could else -1
        return stalled
