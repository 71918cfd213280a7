"""The data plane over aio-pika's own driver, aiormq; see Plane."""

import asyncio
import secrets
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final

import structlog
from aiormq.exceptions import AMQPError, ChannelInvalidStateError
from pamqp import commands
from pamqp.header import ContentHeader

from dts_core.brokers.base import Message
from dts_core.brokers.rabbitmq import batching, properties
from dts_core.brokers.rabbitmq.deadlines import answered
from dts_core.brokers.rabbitmq.plane import OnPlaneDeliveries, PlaneDelivery
from dts_core.errors import BrokerUnavailable, CodecError, DtsError, QueueNotFound, TooLarge

BODY_MAX: Final = 7 << 20
"""As a link has it: its frames of 8 MiB leave room for what surrounds a body."""
CLOSE_SECONDS: Final = 2.0

log = structlog.get_logger(__name__)


class AioPikaPlane:
    """One channel of an aiormq connection. Make it with `open`."""

    def __init__(self, connection: Any, deadline_seconds: float) -> None:
        self._connection = connection
        self._deadline = deadline_seconds
        self._channel: batching.BatchChannel
        self.on_lost: Callable[[str], None] = lambda reason: None
        self.on_cancelled: Callable[[str], None] = lambda tag: None
        self._consumers: dict[str, OnPlaneDeliveries] = {}
        self._incoming: dict[str, list[PlaneDelivery]] = {}
        self._out: list[bytes] = []
        self._sender: asyncio.Task[None] | None = None
        self._number = 0
        self._open: dict[int, tuple[asyncio.Future[None], str, str]] = {}
        """Number of a publication -> who waits for its confirm, its routing key, its message id."""
        self._loop = asyncio.get_running_loop()
        self._is_lost = False
        self._is_closing = False
        self._head = lru_cache(maxsize=512)(self._publish_head)

    @classmethod
    async def open(cls, connection: Any, *, deadline_seconds: float) -> "AioPikaPlane":
        """A channel of its own on a connection.

        Raises:
            BrokerUnavailable: No answer in time.
        """
        plane = cls(connection, deadline_seconds)
        async with answered("opening a channel", deadline_seconds):
            plane._channel = await batching.open_channel(connection, plane)
        plane._channel.on_consumer_cancel_callbacks.add(plane._cancelled)
        plane._channel.closing.add_done_callback(plane._lost)
        return plane

    @property
    def is_blocked(self) -> bool:
        """See Plane."""
        return is_blocked(self._connection)

    # --- out

    def publish(
        self,
        exchange: str,
        routing_key: str,
        message: Message,
        *,
        persistent: bool,
        mandatory: bool,
    ) -> "asyncio.Future[None]":
        """See Plane."""
        future: asyncio.Future[None] = self._loop.create_future()
        if self._is_lost or self._is_closing:
            _fail(future, BrokerUnavailable("the channel was lost."))
            return future
        if len(message.body) > BODY_MAX:
            _fail(
                future,
                TooLarge(f"a body of {len(message.body)} bytes; at most {BODY_MAX} are sent."),
            )
            return future
        try:
            packed = self._channel.pack_content(
                self._head(exchange, routing_key, mandatory),
                properties.to_amqp(message, persistent=persistent),
                message.body,
            )
        except (ValueError, TypeError, OverflowError) as error:
            _fail(future, CodecError(f"a property that AMQP cannot carry ({error})."))
            return future
        self._number += 1
        self._open[self._number] = (future, routing_key, message.message_id)
        self._send(packed)
        return future

    def _publish_head(self, exchange: str, routing_key: str, mandatory: bool) -> bytes:
        return self._channel.pack(
            commands.Basic.Publish(exchange=exchange, routing_key=routing_key, mandatory=mandatory)
        )

    def ack(self, tag: int, *, multiple: bool = False) -> None:
        """See Plane."""
        if not self._is_lost:
            self._send(self._channel.pack(commands.Basic.Ack(delivery_tag=tag, multiple=multiple)))

    def nack(self, tag: int, *, requeue: bool, multiple: bool = False) -> None:
        """See Plane."""
        if not self._is_lost:
            self._send(
                self._channel.pack(
                    commands.Basic.Nack(delivery_tag=tag, multiple=multiple, requeue=requeue)
                )
            )

    def _send(self, data: bytes) -> None:
        self._out.append(data)
        if self._sender is None:
            self._sender = self._loop.create_task(self._flush(), name="amqp-flush")

    async def _flush(self) -> None:
        """One write for all that has gathered; more may gather while the connection's writer is behind."""
        try:
            while self._out and not self._is_lost:
                data, self._out = b"".join(self._out), []
                await self._channel.send(data)
        finally:
            self._sender = None

    async def _flushed(self) -> None:
        """Wait until what was sent is on its way, so that a question comes behind it."""
        if self._sender is not None:
            await asyncio.shield(self._sender)

    # --- questions

    async def consume(
        self,
        queue: str,
        on_deliveries: OnPlaneDeliveries,
        *,
        prefetch: int,
        no_ack: bool = False,
        exclusive: bool = False,
    ) -> str:
        """See Plane."""
        tag = f"dts.{secrets.token_hex(8)}"
        self._consumers[tag] = on_deliveries
        try:
            async with answered(f"consuming from {queue}", self._deadline):
                await self._flushed()
                if not no_ack:
                    await self._channel.basic_qos(prefetch_count=prefetch)
                await self._channel.basic_consume(
                    queue, batching.nothing, no_ack=no_ack, exclusive=exclusive, consumer_tag=tag
                )
        except BaseException:
            self._consumers.pop(tag, None)
            raise
        return tag

    async def cancel(self, consumer_tag: str) -> None:
        """See Plane."""
        if consumer_tag not in self._consumers or self._is_lost:
            return
        async with answered("ending a consumer", self._deadline):
            await self._flushed()
            await self._channel.basic_cancel(consumer_tag)
        self._tell()  # what came before the answer is the consumer's
        self._consumers.pop(consumer_tag, None)

    async def close(self) -> None:
        """See Plane."""
        if self._is_closing or self._is_lost:
            return
        self._is_closing = True
        try:
            async with answered("closing a channel", CLOSE_SECONDS):
                await self._flushed()
                await self._channel.close()
        except DtsError as error:
            log.debug("a channel was not closed in order", reason=str(error))
        self._end("the channel was closed.")

    # --- in

    def delivered(self, head: commands.Basic.Deliver, header: ContentHeader, body: bytes) -> None:
        """See Listener."""
        tag = head.consumer_tag or ""
        delivery = PlaneDelivery(
            head.delivery_tag or 0,
            bool(head.redelivered),
            head.routing_key or "",
            properties.from_amqp(header.properties, body),
        )
        if not self._incoming:
            self._loop.call_soon(self._tell)
        self._incoming.setdefault(tag, []).append(delivery)

    def _tell(self) -> None:
        incoming, self._incoming = self._incoming, {}
        for tag, deliveries in incoming.items():
            on_deliveries = self._consumers.get(tag)
            if on_deliveries is None:
                continue  # ended meanwhile: unacked, it goes back with the channel
            try:
                on_deliveries(deliveries)
            except Exception:  # a consumer's mistake must not end the channel for the others
                log.exception("a consumer failed")

    def confirmed(self, number: int, *, multiple: bool, is_taken: bool) -> None:
        """See Listener."""
        numbers = [number]
        if multiple:
            numbers = []
            for each in self._open:  # in the order of their numbers
                if each > number:
                    break
                numbers.append(each)
        for each in numbers:
            found = self._open.pop(each, None)
            if found is None or found[0].done():
                continue
            if is_taken:
                found[0].set_result(None)
            else:
                _fail(found[0], BrokerUnavailable("the broker refused a message."))

    def returned(self, head: commands.Basic.Return, header: ContentHeader) -> None:
        """See Listener. A return has no number: the first open publication with its key and id is meant."""
        wanted = (head.routing_key or "", header.properties.message_id or "")
        for future, key, message_id in self._open.values():
            if (key, message_id) == wanted and not future.done():
                _fail(future, QueueNotFound(f"there is no queue {key!r}."))
                return

    def _cancelled(self, frame: commands.Basic.Cancel) -> None:
        self._tell()
        if self._consumers.pop(frame.consumer_tag or "", None) is not None:
            self.on_cancelled(frame.consumer_tag or "")

    def _lost(self, closing: "asyncio.Future[Any]") -> None:
        why = None if closing.cancelled() else closing.exception()
        self._end(f"the channel was lost ({why or 'the connection ended'}).")

    def _end(self, reason: str) -> None:
        if self._is_lost:
            return
        self._is_lost = True
        waiting, self._open = self._open, {}
        for future, _, _ in waiting.values():
            _fail(future, BrokerUnavailable(f"{reason} The outcome is unknown."))
        if not self._is_closing:
            self.on_lost(reason)


def is_blocked(connection: Any) -> bool:
    """Whether the broker told this aiormq connection to stop publishing.

    The driver has no property for it, but `ready` waits while it is so: one step of it tells.
    """
    step = connection.ready()
    try:
        step.send(None)
    except StopIteration:
        return False
    except (AMQPError, ChannelInvalidStateError):
        return False
    step.close()
    return True


def _fail(future: "asyncio.Future[None]", error: DtsError) -> None:
    if not future.done():
        future.set_exception(error)
        future.exception()  # whoever still waits gets it; nobody else has to
