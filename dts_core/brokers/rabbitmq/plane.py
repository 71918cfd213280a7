"""The data plane's contract: one AMQP channel that carries messages, in whichever way.

Two ways keep it: aio-pika's own channel (the default) and a framing layer of our own. What lies above (topology,
bands, order of acks, recovery) is the same for both.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

import msgspec

from dts_core.brokers.base import Message

if TYPE_CHECKING:
    import asyncio


class PlaneDelivery(msgspec.Struct, frozen=True):
    """One basic.deliver."""

    tag: int
    redelivered: bool
    routing_key: str
    message: Message


OnPlaneDeliveries = Callable[[list[PlaneDelivery]], None]
"""Everything for one consumer that came with one read of the socket; must return at once."""


class Plane(Protocol):
    """One open channel in confirm mode. Once it is closed, by whomever, it stays closed: open another."""

    on_lost: Callable[[str], None]
    """Set by the owner; called once, with the reason, when the channel or its connection ends unasked."""
    on_cancelled: Callable[[str], None]
    """Set by the owner; called with a consumer's tag when the broker cancelled it (its queue is gone)."""

    @property
    def is_blocked(self) -> bool:
        """Whether the broker told us to stop publishing (connection.blocked: memory or disk alarm)."""
        ...

    def publish(
        self,
        exchange: str,
        routing_key: str,
        message: Message,
        *,
        persistent: bool,
        mandatory: bool,
    ) -> "asyncio.Future[None]":
        """Send soon, with everything else of this turn of the loop, in one write.

        The future ends with the broker's confirm, or with QueueNotFound (returned: no queue; needs `mandatory`),
        BrokerUnavailable (refused by the broker, or the channel was lost: the outcome is unknown) or TooLarge.
        Confirms are tracked as a set: they may come in any order. The caller bounds how many are open.
        """
        ...

    async def consume(
        self,
        queue: str,
        on_deliveries: OnPlaneDeliveries,
        *,
        prefetch: int,
        no_ack: bool = False,
        exclusive: bool = False,
    ) -> str:
        """Start a consumer; returns its tag. `prefetch` bounds this consumer's unacked deliveries, 0 = no bound.

        Raises:
            QueueNotFound: There is none; the channel is lost with it.
            BrokerUnavailable: No answer in time.
        """
        ...

    async def cancel(self, consumer_tag: str) -> None:
        """End a consumer; what was delivered to it stays unacked on this channel. An unknown tag does nothing."""
        ...

    def ack(self, tag: int, *, multiple: bool = False) -> None:
        """Sent soon, coalesced. On a lost channel it does nothing."""
        ...

    def nack(self, tag: int, *, requeue: bool, multiple: bool = False) -> None:
        """Sent soon, coalesced. On a lost channel it does nothing."""
        ...

    async def close(self) -> None:
        """Flush what was sent, close. Unacked deliveries go back. A second call does nothing."""
        ...
