"""The data plane over our own framing: one channel in confirm mode on a connection of its own."""

import asyncio
import struct
from collections import deque
from collections.abc import Callable
from typing import Any, Final

import structlog

from dts_core.brokers.base import Message
from dts_core.brokers.rabbitmq.framing import spec, writing
from dts_core.brokers.rabbitmq.framing.confirms import Confirms, fail
from dts_core.brokers.rabbitmq.framing.connection import Connection
from dts_core.brokers.rabbitmq.framing.fields import Fields, short_text
from dts_core.brokers.rabbitmq.framing.parser import Batch, Method
from dts_core.brokers.rabbitmq.plane import OnPlaneDeliveries, PlaneDelivery
from dts_core.errors import BrokerUnavailable, CodecError, DtsError, Forbidden, QueueNotFound

log = structlog.get_logger(__name__)

_CONFIRM: Final = struct.Struct(">QB")
_PREFETCH_MAX: Final = 65_535
_OK: Final = {
    spec.CHANNEL_OPEN_OK,
    spec.CONFIRM_SELECT_OK,
    spec.BASIC_QOS_OK,
    spec.BASIC_CONSUME_OK,
    spec.BASIC_CANCEL_OK,
}

_REFUSALS: Final[dict[int, type[DtsError]]] = {403: Forbidden, 404: QueueNotFound}


class _Consumer:
    """Who gets the deliveries of a consumer tag."""

    __slots__ = ("no_ack", "on_deliveries")

    def __init__(self, on_deliveries: OnPlaneDeliveries, *, no_ack: bool) -> None:
        self.on_deliveries = on_deliveries
        self.no_ack = no_ack


class FramingPlane:
    """A `Plane`. Make it with `open_plane`.

    Attributes:
        on_lost: Called once with the reason when it ends unasked.
        on_cancelled: Called with a consumer's tag when the broker ended it.
    """

    def __init__(self, connection: Connection, *, deadline_seconds: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._connection = connection
        self._deadline_seconds = deadline_seconds
        self._confirms = Confirms()
        self._consumers: dict[str, _Consumer] = {}
        self._count = 0
        # Questions in the order they were sent, which is that of their answers: (answer's method, who waits).
        self._questions: deque[tuple[int, asyncio.Future[None]]] = deque()
        self._end: str | None = None
        self._is_closing = False
        self._is_stopped = False
        self.on_lost: Callable[[str], None] = lambda reason: None
        self.on_cancelled: Callable[[str], None] = lambda consumer_tag: None
        connection.channel = self

    async def open(self) -> None:
        """Open the channel and put it into confirm mode.

        Raises:
            BrokerUnavailable: Refused, or no answer in time.
        """
        opening = writing.method(writing.CHANNEL, spec.CHANNEL_OPEN, b"\0")
        await self._ask(opening, spec.CHANNEL_OPEN_OK)
        selecting = writing.method(writing.CHANNEL, spec.CONFIRM_SELECT, b"\0")
        await self._ask(selecting, spec.CONFIRM_SELECT_OK)

    @property
    def is_blocked(self) -> bool:
        """Whether the broker told us to stop publishing."""
        return bool(self._connection.blocked) or self._is_stopped

    # --- publishing

    def publish(
        self, exchange: str, routing_key: str, message: Message, *, persistent: bool,
        mandatory: bool,
    ) -> "asyncio.Future[None]":  # fmt: skip
        """Send soon; see Plane. A message that AMQP cannot carry ends in CodecError.

        While more than spec.BACKLOG_MAX bytes wait for a broker that does not read, it is refused: BrokerUnavailable.
        """
        future: asyncio.Future[None] = self._loop.create_future()
        connection = self._connection
        try:
            if self._end is not None:
                raise BrokerUnavailable(f"the channel is lost: {self._end}")
            if connection.backlog > spec.BACKLOG_MAX:
                raise BrokerUnavailable("the broker does not read; too much waits already.")
            data = writing.publish(
                exchange, routing_key, message, persistent=persistent, mandatory=mandatory,
                frame_max=connection.frame_max,
            )  # fmt: skip
        except DtsError as error:
            fail(future, error)
            return future
        self._confirms.add(future, (exchange, routing_key, message.message_id))
        connection.send(data)
        return future

    # --- consuming

    async def consume(
        self, queue: str, on_deliveries: OnPlaneDeliveries, *, prefetch: int,
        no_ack: bool = False, exclusive: bool = False,
    ) -> str:  # fmt: skip
        """Start a consumer; see Plane."""
        self._count += 1
        tag = f"dts.{self._count}"
        asking = writing.qos(min(prefetch, _PREFETCH_MAX)) + writing.consume(
            queue, tag, no_ack=no_ack, exclusive=exclusive
        )
        consumer = self._consumers[tag] = _Consumer(on_deliveries, no_ack=no_ack)
        try:
            await self._ask(asking, spec.BASIC_QOS_OK, spec.BASIC_CONSUME_OK)
        except asyncio.CancelledError:
            # The broker may have started it: it is ended, and what comes until then goes back.
            consumer.on_deliveries = self._give_back
            self._tell(writing.cancel(tag), spec.BASIC_CANCEL_OK)
            raise
        return tag

    async def cancel(self, consumer_tag: str) -> None:
        """End a consumer; see Plane. What is under way is still handed over."""
        if consumer_tag in self._consumers and self._end is None:
            await self._ask(writing.cancel(consumer_tag), spec.BASIC_CANCEL_OK)

    def ack(self, tag: int, *, multiple: bool = False) -> None:
        """Sent soon; see Plane."""
        self._connection.send(writing.ack(tag, multiple=multiple))

    def nack(self, tag: int, *, requeue: bool, multiple: bool = False) -> None:
        """Sent soon; see Plane."""
        self._connection.send(writing.nack(tag, requeue=requeue, multiple=multiple))

    def _give_back(self, deliveries: list[PlaneDelivery]) -> None:
        for delivery in deliveries:
            self.nack(delivery.tag, requeue=True)

    # --- questions

    def _tell(self, data: bytes, *answers: int) -> "asyncio.Future[None]":
        """Send a question; the future ends with the last of its answers."""
        future: asyncio.Future[None] = self._loop.create_future()
        if self._end is not None:
            future.set_exception(BrokerUnavailable(f"the channel is lost: {self._end}"))
            return future
        for answer in answers[:-1]:
            self._questions.append((answer, self._loop.create_future()))
        self._questions.append((answers[-1], future))
        self._connection.send(data)
        return future

    async def _ask(self, data: bytes, *answers: int) -> None:
        try:
            async with asyncio.timeout(self._deadline_seconds):
                await self._tell(data, *answers)
        except TimeoutError:
            # Whether the broker did it is unknown, so nothing that is built on this channel can be trusted.
            reason = f"the broker gave no answer within {self._deadline_seconds:g} seconds."
            self._connection.finish(reason, writing.close_connection())
            raise BrokerUnavailable(reason) from None

    def _answered(self, method: Method) -> None:
        if not self._questions or self._questions[0][0] != method.id:
            raise CodecError(f"method {method.id >> 16}.{method.id & 0xFFFF} out of turn.")
        _, future = self._questions.popleft()
        if method.id == spec.BASIC_CANCEL_OK:
            self._consumers.pop(Fields(method.args).short_text(), None)
        if not future.done():
            future.set_result(None)

    # --- what the connection calls

    def on_deliveries(self, batch: Batch) -> None:
        """Hand deliveries over, one list per consumer; what cannot be read goes to the dead letters."""
        if self._end is not None:
            return
        for lost in batch.unreadable:
            log.warning("an unreadable message was rejected", reason=lost.reason)
            consumer = self._consumers.get(lost.consumer_tag)
            if consumer is not None and not consumer.no_ack:
                self.nack(lost.tag, requeue=False)
        for consumer_tag, deliveries in batch.deliveries.items():
            consumer = self._consumers.get(consumer_tag)
            if consumer is None:
                raise CodecError("a delivery for a consumer that there is not.")
            self._guarded(consumer.on_deliveries, deliveries)

    def on_method(self, method: Method) -> None:
        """Take one method of the channel."""
        number = method.id
        if self._end is not None:
            return
        if number == spec.BASIC_ACK:
            tag, bits = _confirm(method)
            self._confirms.ack(tag, multiple=bool(bits & 1))
        elif number == spec.BASIC_NACK:
            tag, bits = _confirm(method)
            self._confirms.nack(tag, multiple=bool(bits & 1))
        elif number == spec.BASIC_RETURN:
            self._returned(method)
        elif number in _OK:
            self._answered(method)
        elif number == spec.BASIC_CANCEL:
            self._cancelled(Fields(method.args))
        elif number == spec.CHANNEL_FLOW:
            self._is_stopped = not Fields(method.args).octet() & 1
            reply = bytes((not self._is_stopped,))
            self._connection.send(writing.method(writing.CHANNEL, spec.CHANNEL_FLOW_OK, reply))
        elif number == spec.CHANNEL_CLOSE:
            self._closed(Fields(method.args))
        else:
            raise CodecError(f"method {number >> 16}.{number & 0xFFFF} on the channel.")

    def _returned(self, method: Method) -> None:
        fields = Fields(method.args)
        fields.short()
        fields.short_text()
        exchange, routing_key = fields.short_text(), fields.short_text()
        self._confirms.returned((exchange, routing_key, method.message_id))

    def _cancelled(self, fields: Fields) -> None:
        tag = fields.short_text()
        if not fields.octet() & 1:
            reply = short_text(tag)
            self._connection.send(writing.method(writing.CHANNEL, spec.BASIC_CANCEL_OK, reply))
        if self._consumers.pop(tag, None) is not None:
            self._guarded(self.on_cancelled, tag)

    def _closed(self, fields: Fields) -> None:
        code, text = fields.short(), fields.short_text()
        error = _REFUSALS.get(code)
        if error is not None and fields.long() == spec.BASIC_CONSUME:
            for answer, future in self._questions:
                if answer == spec.BASIC_CONSUME_OK and not future.done():
                    future.set_exception(error(text))
                    break
        self._connection.finish(
            f"the broker closed the channel: {code} {text}",
            writing.method(writing.CHANNEL, spec.CHANNEL_CLOSE_OK) + writing.close_connection(),
        )

    def on_end(self, reason: str) -> None:
        """The connection is over."""
        self._end = reason
        error = BrokerUnavailable(f"the channel is lost: {reason}")
        self._confirms.fail_all(error)
        for _, future in self._questions:
            fail(future, error)
        self._questions.clear()
        self._consumers.clear()
        if not self._is_closing:
            self._guarded(self.on_lost, reason)

    async def close(self) -> None:
        """Flush what was sent, close; see Plane."""
        self._is_closing = True
        await self._connection.close()

    @staticmethod
    def _guarded(callback: Callable[[Any], None], value: Any) -> None:
        """A mistake in the owner's callback must not end the connection."""
        try:
            callback(value)
        except Exception:
            log.exception("a callback of the data plane failed")


def _confirm(method: Method) -> tuple[int, int]:
    if len(method.args) != _CONFIRM.size:
        raise CodecError("a confirm that does not fill its frame.")
    tag, bits = _CONFIRM.unpack(method.args)
    return tag, bits
