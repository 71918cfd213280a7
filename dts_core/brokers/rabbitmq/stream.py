"""The stream of aio-pika's connection, parted: messages go straight to their planes, everything else to the driver.

The driver reads frame by frame, with several awaits and objects for each. Greeting, declarations, consumers, heartbeats
and the end take that way; deliveries and confirms, which come in numbers, are cut out of each read and handed over at
once, in batches. That the broker closes a channel is told to both. Out, what is sent here in one turn of the loop is
one write between those of the driver.
"""

import asyncio
from typing import Final

from dts_core.brokers.rabbitmq.framing import spec, writing
from dts_core.brokers.rabbitmq.framing.connection import Channel
from dts_core.brokers.rabbitmq.framing.cutting import Cutter
from dts_core.brokers.rabbitmq.framing.fields import Fields
from dts_core.brokers.rabbitmq.framing.incoming import Incoming, Method, method_of
from dts_core.brokers.rabbitmq.framing.outlet import Outlet
from dts_core.errors import CodecError

BEAT_SECONDS: Final = 1.0
"""So often at most the driver is told that something came which it did not see."""


class Stream(asyncio.StreamReaderProtocol):
    """The protocol of the socket. `reader` is the driver's.

    Attributes:
        blocked: Why the broker wants nothing published now; empty: it does not say so.
        frame_max: Largest frame that is sent, in bytes.
    """

    def __init__(self, reader: asyncio.StreamReader, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(reader, loop=loop)
        self.blocked = ""
        self.frame_max = spec.FRAME_MAX
        self._loop = loop
        self._driver = reader
        self._sorter = _Sorter()
        self._outlet = Outlet(loop)
        self._planes: dict[int, Channel] = {}
        self._told = loop.time()

    def agree(self, frame_max: int) -> None:
        """The bound on frames that both sides agreed upon, in bytes; 0: none."""
        self.frame_max = min(frame_max or spec.FRAME_MAX, spec.FRAME_MAX)
        self._sorter.frame_max = max(frame_max or spec.MESSAGE_MAX, spec.FRAME_MAX)

    def carry(self, number: int, plane: Channel) -> None:
        """From now on the messages of this channel are the plane's."""
        self._sorter.incoming[number] = Incoming(number)
        self._planes[number] = plane

    def drop(self, number: int, plane: Channel) -> None:
        """The channel is closed; its number may be another plane's by now."""
        if self._planes.get(number) is plane:
            del self._planes[number], self._sorter.incoming[number]

    @property
    def backlog(self) -> int:
        """Bytes that wait to be written."""
        return self._outlet.backlog

    def send(self, data: bytes) -> None:
        """Write `data` with everything else of this turn of the loop."""
        self._outlet.send(data)

    def flush(self) -> None:
        """Write now, so that what the driver writes comes behind it."""
        self._outlet.flush()

    # --- what asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is there."""
        super().connection_made(transport)
        self._outlet.open(transport)  # type: ignore[arg-type]  # uvloop's own class is not one by name

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is gone; the planes hear it by their channels."""
        self._outlet.close()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """The broker does not read as fast as we write."""
        self._outlet.pause()
        super().pause_writing()

    def resume_writing(self) -> None:
        """It caught up."""
        super().resume_writing()
        self._outlet.resume()

    def data_received(self, data: bytes) -> None:
        """Part one read."""
        if self._driver.exception() is not None:
            return
        try:
            self._sorter.cut(data)
            self._hand_over()
        except CodecError as error:
            self._driver.set_exception(ConnectionError(f"what came is no AMQP: {error.message}"))
            return
        self.blocked = self._sorter.blocked
        kept = self._sorter.drain()
        now = self._loop.time()
        if not kept and self._planes and now - self._told >= BEAT_SECONDS:
            # RabbitMQ sends no heartbeats while it sends messages, and the driver has seen none of these.
            kept = writing.HEARTBEAT
        if kept:
            self._told = now
            super().data_received(kept)

    def _hand_over(self) -> None:
        for number, incoming in list(self._sorter.incoming.items()):
            if not incoming.batch:
                continue
            batch = incoming.drain()
            plane = self._planes[number]
            if batch.deliveries or batch.unreadable:
                plane.on_deliveries(batch)
            for method in batch.methods:
                plane.on_method(method)


class _Sorter(Cutter):
    """Keeps whole frames for the driver."""

    def __init__(self) -> None:
        super().__init__()
        self.blocked = ""
        self._kept: list[bytes] = []

    def drain(self) -> bytes:
        """What is the driver's."""
        kept = b"".join(self._kept)
        self._kept.clear()
        return kept

    def _other(self, kind: int, channel: int, data: bytes, start: int, end: int) -> None:
        self._kept.append(data[start - 7 : end + 1])
        if kind != spec.FRAME_METHOD:
            return
        method = method_of(channel, data, start, end)
        if not channel:
            self._on_connection(method)
        elif method.id == spec.CHANNEL_CLOSE and channel in self.incoming:
            self.incoming[channel].batch.methods.append(method)

    def _on_connection(self, method: Method) -> None:
        if method.id == spec.CONNECTION_BLOCKED:
            self.blocked = Fields(method.args).short_text() or "blocked"
        elif method.id == spec.CONNECTION_UNBLOCKED:
            self.blocked = ""
