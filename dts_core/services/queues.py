"""What stands in the queues."""

from dts_core.brokers.base import Broker
from dts_core.views import DeadLetterList, DeadLetterView, QueueList


class Queues:
    """The broker's queues and what was given up there."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    async def all(self) -> QueueList:
        """Every declared queue by name."""
        return QueueList(items=await self._broker.stats())

    async def dead_letters(self, *, limit: int, before: int) -> DeadLetterList:
        """The newest first, without their bodies; `before` a seq pages on."""
        found = await self._broker.dead_letters(limit=limit, before=before)
        return DeadLetterList(
            items=[
                DeadLetterView(
                    seq=each.seq,
                    queue=each.queue,
                    died=each.died,
                    reason=each.reason,
                    type=each.message.type,
                    message_id=each.message.message_id,
                    size=len(each.message.body),
                )
                for each in found
            ]
        )
