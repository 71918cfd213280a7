"""What is known of a queue's figures: what this process has counted since its start, and what RabbitMQ tells."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec

from dts_core.brokers.base import QueueSpec
from dts_core.brokers.rabbitmq.overview import Told
from dts_core.brokers.rabbitmq.topology import Topology
from dts_core.model import QueueStats

if TYPE_CHECKING:
    from dts_core.brokers.rabbitmq.consumption import RabbitConsumption


class Figures:
    """Counts of one queue."""

    def __init__(self) -> None:
        self.published = 0
        self.delivered = 0
        self.acked = 0


class Counting:
    """Figures by queue.

    Args:
        topology: What a queue is made of.
        count: (ready, consumers) of a band, as AMQP tells them.
        consumptions: Those of this process there are now.
    """

    def __init__(
        self,
        topology: Topology,
        count: Callable[[str], Awaitable[tuple[int, int]]],
        consumptions: "Sequence[RabbitConsumption]",
    ) -> None:
        self._topology = topology
        self._count = count
        self._consumptions = consumptions
        self._figures: dict[str, Figures] = {}

    def of(self, queue: str) -> Figures:
        """What this process counts of a queue."""
        return self._figures.setdefault(queue, Figures())

    async def stats(
        self, spec: QueueSpec, *, dead: int, is_paused: bool, told: Mapping[str, Told] | None
    ) -> QueueStats:
        """One queue as an operator sees it; partial without what the management API told of its bands."""
        bands = self._topology.bands(spec)
        ready = consumers = 0
        for band in bands:
            found = await self._count(band)
            ready += found[0]
            consumers = max(consumers, found[1])
        stats = QueueStats(
            name=spec.name, ready=ready, consumers=consumers, unacked=0, dead=dead, paused=is_paused
        )
        if told is None:
            return msgspec.structs.replace(stats, partial=True, **self._counted(spec.name))
        moved = sum((told.get(band, Told()) for band in bands), Told())
        return msgspec.structs.replace(stats, **msgspec.structs.asdict(moved))

    def _counted(self, queue: str) -> dict[str, int]:
        """What this process alone has seen."""
        figures = self.of(queue)
        own = [each for each in self._consumptions if each.spec.name == queue]
        return {
            "unacked": sum(each.unacked for each in own),
            "published": figures.published,
            "delivered": figures.delivered,
            "acked": figures.acked,
        }
