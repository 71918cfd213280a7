"""What is the same in every plane: the messages of one channel, whichever connection carries it.

Publications and their confirms, deliveries and their acks are frames of our own, many in one write. Who opens the
channel, asks it for consumers and closes it is told by a subclass.
"""

import asyncio
import struct
from collections.abc import Callable
from typing import Final, Protocol

import structlog

from dts_core.brokers.base import Message
from dts_core.brokers.link_ends import guarded
from dts_core.brokers.rabbitmq.framing import spec, writing
from dts_core.brokers.rabbitmq.framing.confirms import Confirms, fail
from dts_core.brokers.rabbitmq.framing.fields import Fields
from dts_core.brokers.rabbitmq.framing.incoming import Batch, Method
from dts_core.brokers.rabbitmq.plane import OnPlaneDeliveries, PlaneDelivery
from dts_core.errors import BrokerUnavailable, CodecError, DtsError

PREFETCH_MAX: Final = 65_535
_CONFIRM: Final = struct.Struct(">QB")

log = structlog.get_logger(__name__)


class Wire(Protocol):
    """A connection, as its channels see it."""

    blocked: str
    """Why the broker wants nothing published now; empty: it does not say so."""

    @property
    def backlog(self) -> int:
        """Bytes that wait to be written."""
        ...

    @property
    def frame_max(self) -> int:
        """Largest frame, in bytes."""
        ...

    def send(self, data: bytes) -> None:
        """Write frames with everything else of this turn of the loop; nothing happens once it is over."""
        ...


class Consumer:
    """Who gets the deliveries of a consumer tag."""

    __slots__ = ("no_ack", "on_deliveries")

    def __init__(self, on_deliveries: OnPlaneDeliveries, *, no_ack: bool) -> None:
        self.on_deliveries = on_deliveries
        self.no_ack = no_ack


class Messages:
    """The part of a `Plane` that carries messages.

    Args:
        wire: The connection.
        number: The channel's.

    Attributes:
        on_lost: Called once with the reason when it ends unasked.
        on_cancelled: Called with a consumer's tag when the broker ended it.
    """

    def __init__(self, wire: Wire, number: int) -> None:
        self.on_lost: Callable[[str], None] = lambda reason: None
        self.on_cancelled: Callable[[str], None] = lambda consumer_tag: None
        self._loop = asyncio.get_running_loop()
        self._wire = wire
        self._number = number
        self._confirms = Confirms()
        self._consumers: dict[str, Consumer] = {}
        self._end: str | None = None
        self._is_closing = False

    @property
    def is_blocked(self) -> bool:
        """Whether the broker told us to stop publishing."""
        return bool(self._wire.blocked)

    @property
    def _is_open(self) -> bool:
        return self._end is None and not self._is_closing

    # --- out

    def publish(
        self, exchange: str, routing_key: str, message: Message, *, persistent: bool,
        mandatory: bool,
    ) -> "asyncio.Future[None]":  # fmt: skip
        """Send soon; see Plane. A message that AMQP cannot carry ends in CodecError.

        While more than spec.BACKLOG_MAX bytes wait for a broker that does not read, it is refused: BrokerUnavailable.
        """
        future: asyncio.Future[None] = self._loop.create_future()
        wire = self._wire
        try:
            if not self._is_open:
                raise BrokerUnavailable(f"the channel is lost: {self._end or 'it is closed.'}")
            if wire.backlog > spec.BACKLOG_MAX:
                raise BrokerUnavailable("the broker does not read; too much waits already.")
            data = writing.publish(
                self._number, exchange, routing_key, message, persistent=persistent,
                mandatory=mandatory, frame_max=wire.frame_max,
            )  # fmt: skip
        except DtsError as error:
            fail(future, error)
            return future
        self._confirms.add(future, (exchange, routing_key, message.message_id))
        wire.send(data)
        return future

    def ack(self, tag: int, *, multiple: bool = False) -> None:
        """Sent soon; see Plane."""
        if self._is_open:
            self._wire.send(writing.ack(self._number, tag, multiple=multiple))

    def nack(self, tag: int, *, requeue: bool, multiple: bool = False) -> None:
        """Sent soon; see Plane."""
        if self._is_open:
            self._wire.send(writing.nack(self._number, tag, requeue=requeue, multiple=multiple))

    # --- in: what the connection calls

    def on_deliveries(self, batch: Batch) -> None:
        """Hand deliveries over, one list per consumer; what cannot be read goes to the dead letters.

        Those of a consumer that has ended meanwhile stay unacked: they go back with the channel.
        """
        if self._end is not None:
            return
        for lost in batch.unreadable:
            log.warning("an unreadable message was rejected", reason=lost.reason)
            consumer = self._consumers.get(lost.consumer_tag)
            if consumer is not None and not consumer.no_ack:
                self.nack(lost.tag, requeue=False)
        for consumer_tag, deliveries in batch.deliveries.items():
            consumer = self._consumers.get(consumer_tag)
            if consumer is not None:
                guarded(consumer.on_deliveries, deliveries)

    def on_method(self, method: Method) -> None:
        """Take a confirm or a return.

        Raises:
            CodecError: It is another method, or none of ours.
        """
        if self._end is not None:
            return
        if method.id == spec.BASIC_ACK:
            tag, multiple = _confirm(method)
            self._confirms.ack(tag, multiple=multiple)
        elif method.id == spec.BASIC_NACK:
            tag, multiple = _confirm(method)
            self._confirms.nack(tag, multiple=multiple)
        elif method.id == spec.BASIC_RETURN:
            self._returned(method)
        else:
            raise CodecError(f"method {method.id >> 16}.{method.id & 0xFFFF} on the channel.")

    def on_end(self, reason: str) -> None:
        """The channel is over; a second call does nothing."""
        if self._end is not None:
            return
        self._end = reason
        self._confirms.fail_all(self._lost())
        self._consumers.clear()
        if not self._is_closing:
            guarded(self.on_lost, reason)

    def _lost(self) -> BrokerUnavailable:
        """For whoever waits on a channel that is over."""
        return BrokerUnavailable(f"the outcome is unknown, for the channel is lost: {self._end}")

    def _returned(self, method: Method) -> None:
        fields = Fields(method.args)
        fields.short()
        fields.short_text()
        exchange, routing_key = fields.short_text(), fields.short_text()
        self._confirms.returned((exchange, routing_key, method.message_id))

    def _give_back(self, deliveries: list[PlaneDelivery]) -> None:
        for delivery in deliveries:
            self.nack(delivery.tag, requeue=True)


def _confirm(method: Method) -> tuple[int, bool]:
    if len(method.args) != _CONFIRM.size:
        raise CodecError("a confirm that does not fill its frame.")
    tag, bits = _CONFIRM.unpack(method.args)
    return tag, bool(bits & 1)
