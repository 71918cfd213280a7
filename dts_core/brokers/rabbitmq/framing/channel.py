"""The data plane over our own framing: one channel in confirm mode on a connection of its own."""

import asyncio
from collections import deque
from typing import Final

from dts_core.brokers.link_ends import guarded
from dts_core.brokers.rabbitmq.framing import spec, writing
from dts_core.brokers.rabbitmq.framing.confirms import fail
from dts_core.brokers.rabbitmq.framing.connection import Connection
from dts_core.brokers.rabbitmq.framing.fields import Fields, short_text
from dts_core.brokers.rabbitmq.framing.incoming import Method
from dts_core.brokers.rabbitmq.framing.messages import PREFETCH_MAX, Consumer, Messages
from dts_core.brokers.rabbitmq.plane import OnPlaneDeliveries
from dts_core.errors import BrokerUnavailable, CodecError, DtsError, Forbidden, QueueNotFound

_OK: Final = {
    spec.CHANNEL_OPEN_OK,
    spec.CONFIRM_SELECT_OK,
    spec.BASIC_QOS_OK,
    spec.BASIC_CONSUME_OK,
    spec.BASIC_CANCEL_OK,
}

_REFUSALS: Final[dict[int, type[DtsError]]] = {403: Forbidden, 404: QueueNotFound}


class FramingPlane(Messages):
    """A `Plane`. Make it with `open_plane`."""

    def __init__(self, connection: Connection, *, deadline_seconds: float) -> None:
        super().__init__(connection, writing.CHANNEL)
        self._connection = connection
        self._deadline_seconds = deadline_seconds
        self._count = 0
        # Questions in the order they were sent, which is that of their answers: (answer's method, who waits).
        self._questions: deque[tuple[int, asyncio.Future[None]]] = deque()
        self._is_stopped = False
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
        return super().is_blocked or self._is_stopped

    # --- consuming

    async def consume(
        self, queue: str, on_deliveries: OnPlaneDeliveries, *, prefetch: int,
        no_ack: bool = False, exclusive: bool = False,
    ) -> str:  # fmt: skip
        """Start a consumer; see Plane."""
        self._count += 1
        tag = f"dts.{self._count}"
        asking = writing.qos(min(prefetch, PREFETCH_MAX)) + writing.consume(
            queue, tag, no_ack=no_ack, exclusive=exclusive
        )
        consumer = self._consumers[tag] = Consumer(on_deliveries, no_ack=no_ack)
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

    # --- questions

    def _tell(self, data: bytes, *answers: int) -> "asyncio.Future[None]":
        """Send a question; the future ends with the last of its answers."""
        future: asyncio.Future[None] = self._loop.create_future()
        if self._end is not None:
            future.set_exception(self._lost())
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

    def on_method(self, method: Method) -> None:
        """Take one method of the channel."""
        number = method.id
        if self._end is not None:
            return
        if number in _OK:
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
            super().on_method(method)

    def _cancelled(self, fields: Fields) -> None:
        tag = fields.short_text()
        if not fields.octet() & 1:
            reply = short_text(tag)
            self._connection.send(writing.method(writing.CHANNEL, spec.BASIC_CANCEL_OK, reply))
        if self._consumers.pop(tag, None) is not None:
            guarded(self.on_cancelled, tag)

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
        super().on_end(reason)
        for _, future in self._questions:
            fail(future, self._lost())
        self._questions.clear()

    def end(self, reason: str) -> None:
        """Flush what was sent and say good-bye; its owner is told by `on_lost`. `close` waits for the answer."""
        self._connection.finish(reason, writing.close_connection(), waits=True)

    def abort(self) -> None:
        """Close the socket without another word."""
        self._connection.abort()

    async def close(self) -> None:
        """Flush what was sent, close; see Plane."""
        self._is_closing = True
        await self._connection.close()
