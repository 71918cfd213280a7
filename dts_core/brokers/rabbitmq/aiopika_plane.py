"""The data plane over aio-pika's connection: a channel of its driver, whose messages take the way of `Stream`."""

import asyncio
import secrets
from typing import Any, Final

import structlog
from aiormq.abc import AbstractChannel
from pamqp.commands import Basic

from dts_core.brokers.link_ends import guarded
from dts_core.brokers.rabbitmq.connecting import Connection
from dts_core.brokers.rabbitmq.deadlines import answered
from dts_core.brokers.rabbitmq.framing import spec
from dts_core.brokers.rabbitmq.framing.fields import Fields
from dts_core.brokers.rabbitmq.framing.incoming import Method
from dts_core.brokers.rabbitmq.framing.messages import PREFETCH_MAX, Consumer, Messages
from dts_core.brokers.rabbitmq.plane import OnPlaneDeliveries
from dts_core.brokers.rabbitmq.stream import Stream
from dts_core.errors import DtsError

CLOSE_SECONDS: Final = 2.0

log = structlog.get_logger(__name__)


class AioPikaPlane(Messages):
    """A `Plane`. Make it with `open`. The driver opens, asks and closes; it sees no message."""

    def __init__(self, channel: AbstractChannel, stream: Stream, deadline_seconds: float) -> None:
        super().__init__(stream, channel.number)
        self._channel = channel
        self._stream = stream
        self._deadline = deadline_seconds
        stream.carry(channel.number, self)
        channel.on_consumer_cancel_callbacks.add(self._cancelled)
        channel.closing.add_done_callback(self._closed)

    @classmethod
    async def open(cls, connection: Connection, *, deadline_seconds: float) -> "AioPikaPlane":
        """A channel of its own on a connection, in confirm mode.

        Raises:
            BrokerUnavailable: No answer in time.
        """
        async with answered("opening a channel", deadline_seconds):
            channel = await connection.underlay.channel()
        return cls(channel, connection.stream, deadline_seconds)

    async def consume(
        self, queue: str, on_deliveries: OnPlaneDeliveries, *, prefetch: int,
        no_ack: bool = False, exclusive: bool = False,
    ) -> str:  # fmt: skip
        """Start a consumer; see Plane."""
        tag = f"dts.{secrets.token_hex(8)}"
        self._consumers[tag] = Consumer(on_deliveries, no_ack=no_ack)
        try:
            async with answered(f"consuming from {queue}", self._deadline):
                self._stream.flush()
                if not no_ack:
                    await self._channel.basic_qos(prefetch_count=min(prefetch, PREFETCH_MAX))
                await self._channel.basic_consume(
                    queue, _nothing, no_ack=no_ack, exclusive=exclusive, consumer_tag=tag
                )
        except BaseException:
            self._consumers.pop(tag, None)
            raise
        return tag

    async def cancel(self, consumer_tag: str) -> None:
        """End a consumer; see Plane. What is under way is still handed over."""
        if consumer_tag not in self._consumers or self._end is not None:
            return
        async with answered("ending a consumer", self._deadline):
            self._stream.flush()
            await self._channel.basic_cancel(consumer_tag)
        self._consumers.pop(consumer_tag, None)

    async def close(self) -> None:
        """Flush what was sent, close; see Plane."""
        if self._is_closing or self._end is not None:
            return
        self._is_closing = True
        try:
            async with answered("closing a channel", CLOSE_SECONDS):
                self._stream.flush()
                await self._channel.close()
        except DtsError as error:
            log.debug("a channel was not closed in order", reason=str(error))
        self._over("the channel was closed.")

    # --- what the stream calls

    def on_method(self, method: Method) -> None:
        """Take a confirm, a return, or the channel's end."""
        if method.id == spec.CHANNEL_CLOSE:
            self._ended(Fields(method.args))
        else:
            super().on_method(method)

    def _ended(self, fields: Fields) -> None:
        """The broker closed it. What came behind the driver's answer to that would cost the whole connection."""
        fields.short()
        reason = fields.short_text()
        self._stream.flush()
        self.on_end(f"the channel was lost ({reason}).")

    # --- what the driver calls

    def _cancelled(self, frame: Basic.Cancel) -> None:
        tag = frame.consumer_tag or ""
        if self._consumers.pop(tag, None) is not None:
            guarded(self.on_cancelled, tag)

    def _closed(self, closing: "asyncio.Future[Any]") -> None:
        why = None if closing.cancelled() else closing.exception()
        self._over(f"the channel was lost ({why or 'the connection ended'}).")

    def _over(self, reason: str) -> None:
        self._stream.drop(self._number, self)
        self.on_end(reason)


async def _nothing(message: Any) -> None:
    """What the driver is given to call for a delivery; it sees none."""
    await asyncio.sleep(0)
