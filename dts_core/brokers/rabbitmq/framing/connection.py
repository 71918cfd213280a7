"""One connection to a broker as an asyncio protocol: greeting, heartbeats both ways, one write per loop turn, the end.

What happens on the channel is handed to a `Channel`; what happens on the connection itself stays here. Once over, for
whatever reason, it stays over, and the channel is told once.
"""

import asyncio
from typing import Final, Protocol, cast

from dts_core.brokers.rabbitmq.framing import spec, writing
from dts_core.brokers.rabbitmq.framing.fields import Fields
from dts_core.brokers.rabbitmq.framing.handshake import Handshake
from dts_core.brokers.rabbitmq.framing.incoming import Batch, Method
from dts_core.brokers.rabbitmq.framing.outlet import Outlet
from dts_core.brokers.rabbitmq.framing.parser import Parser
from dts_core.errors import BrokerUnavailable, CodecError, DtsError

_CLOSED_HERE: Final = "it was closed here."


class Channel(Protocol):
    """Who hears what comes on a channel. What it hears may raise CodecError, which ends the connection."""

    def on_deliveries(self, batch: Batch) -> None:
        """Deliveries of one read."""
        ...

    def on_method(self, method: Method) -> None:
        """Any other method, in order."""
        ...

    def on_end(self, reason: str) -> None:
        """The connection is over; called once."""
        ...


class Connection(asyncio.Protocol):
    """One connection. Everything is called on the loop.

    Attributes:
        opened: Ends when the virtual host is open, or with the reason why not.
        ended: Ends when the socket is gone.
        blocked: Why the broker wants nothing published now; empty: it does not say so.
    """

    def __init__(self, handshake: Handshake, *, deadline_seconds: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._handshake = handshake
        self._deadline_seconds = deadline_seconds
        self._parser = Parser()
        self._transport: asyncio.Transport | None = None
        self._outlet = Outlet(self._loop)
        self._is_over = False
        self._was_heard = False
        self._last_heard = self._last_beat = self._loop.time()
        self._beat_timer: asyncio.TimerHandle | None = None
        self._abort_timer: asyncio.TimerHandle | None = None
        self.channel: Channel | None = None
        self.opened: asyncio.Future[None] = self._loop.create_future()
        self.ended: asyncio.Future[None] = self._loop.create_future()
        self.blocked = ""

    @property
    def backlog(self) -> int:
        """Bytes that wait to be written."""
        return self._outlet.backlog

    @property
    def frame_max(self) -> int:
        """Largest frame, in bytes, as agreed upon."""
        return self._handshake.frame_max

    # --- what asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is there: greet."""
        self._transport = cast(
            asyncio.Transport, transport
        )  # uvloop's own class is not one by name
        self._outlet.open(self._transport)
        self.send(spec.GREETING)

    def data_received(self, data: bytes) -> None:
        """Take one read."""
        self._was_heard = True
        try:
            batch = self._parser.feed(data)
            if self.channel is not None and (batch.deliveries or batch.unreadable):
                self.channel.on_deliveries(batch)
            for method in batch.methods:
                if method.channel == 0:
                    self._on_method(method)
                elif self.channel is not None:
                    self.channel.on_method(method)
        except CodecError as error:
            greeting = data[:4] == spec.GREETING[:4] and not self.opened.done()
            why = "another version of AMQP is spoken" if greeting else error.message
            self._fail(
                BrokerUnavailable(f"what came is no AMQP 0-9-1: {why}"),
                writing.close_connection("FRAME_ERROR"),
            )
        except DtsError as error:
            self._fail(error, b"")

    def pause_writing(self) -> None:
        """The broker does not read as fast as we write."""
        self._outlet.pause()

    def resume_writing(self) -> None:
        """It caught up."""
        self._outlet.resume()

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is gone."""
        self._transport = None
        told = f"the connection broke: {exc}" if exc else "the broker closed the stream."
        self.finish(told)
        if self._abort_timer is not None:
            self._abort_timer.cancel()
        if not self.ended.done():
            self.ended.set_result(None)

    # --- out

    def send(self, data: bytes) -> None:
        """Write `data` with everything else of this loop turn; nothing happens once it is over."""
        if not self._is_over:
            self._outlet.send(data)

    # --- in, channel 0

    def _on_method(self, method: Method) -> None:
        if self._is_over:
            if method.id in (spec.CONNECTION_CLOSE, spec.CONNECTION_CLOSE_OK):
                self.abort()
        elif not self._handshake.is_open:
            self._greet(method)
        elif method.id == spec.CONNECTION_CLOSE:
            fields = Fields(method.args)
            reason = f"the broker closed the connection: {fields.short()} {fields.short_text()}"
            self.finish(reason, writing.method(0, spec.CONNECTION_CLOSE_OK))
        elif method.id == spec.CONNECTION_BLOCKED:
            self.blocked = Fields(method.args).short_text() or "blocked"
        elif method.id == spec.CONNECTION_UNBLOCKED:
            self.blocked = ""
        else:
            raise CodecError(f"method {method.id >> 16}.{method.id & 0xFFFF} out of turn.")

    def _greet(self, method: Method) -> None:
        self.send(self._handshake.answer(method))
        self._parser.frame_max = self._handshake.frame_max
        if self._handshake.is_open:
            self._last_heard = self._last_beat = self._loop.time()
            self._beat_soon()
            if not self.opened.done():
                self.opened.set_result(None)

    # --- heartbeats

    def _beat_soon(self) -> None:
        seconds = self._handshake.heartbeat_seconds
        if seconds:
            self._beat_timer = self._loop.call_later(seconds / 2, self._beat)

    def _beat(self) -> None:
        now = self._loop.time()
        interval = self._handshake.heartbeat_seconds
        if self._was_heard or now - self._last_beat > interval:
            # Heard of, or this process stood still and what came meanwhile is not read yet.
            self._last_heard = now
        self._was_heard = False
        self._last_beat = now
        if now - self._last_heard >= 2 * interval:
            self.finish(f"the broker was silent for {2 * interval} seconds.")
            self.abort()
            return
        if not self._outlet.has_spoken:
            self.send(writing.HEARTBEAT)
        self._outlet.has_spoken = False
        self._beat_soon()

    # --- the end

    def _fail(self, error: DtsError, last_word: bytes) -> None:
        if not self.opened.done():
            self.opened.set_exception(error)
        if self._is_over:
            self.abort()
        self.finish(error.message, last_word)

    def finish(self, reason: str, last_word: bytes = b"", *, waits: bool = False) -> None:
        """End it: what waits and `last_word` are written, then the socket closes. A second call does nothing.

        Args:
            reason: What the channel is told.
            last_word: Frames.
            waits: The socket stays open for the broker's answer to the last word, up to the deadline.
        """
        if self._is_over:
            return
        self._is_over = True
        self._outlet.send(last_word)
        self._outlet.flush()
        self._outlet.close()
        if self._beat_timer is not None:
            self._beat_timer.cancel()
        if self._transport is not None:
            if not waits:
                self._transport.close()
            self._abort_timer = self._loop.call_later(self._deadline_seconds, self.abort)
        if not self.opened.done():
            self.opened.set_exception(BrokerUnavailable(reason))
            self.opened.exception()  # marks it as seen: whoever opened it may have given up
        if self.channel is not None:
            self.channel.on_end(reason)

    def abort(self) -> None:
        """Close the socket without another word."""
        self.finish(_CLOSED_HERE)
        if self._transport is not None:
            self._transport.abort()

    async def close(self) -> None:
        """Say good-bye and wait until the socket is gone, at most for the deadline. A second call only waits."""
        if self._handshake.is_open:
            self.finish(_CLOSED_HERE, writing.close_connection(), waits=True)
        else:
            self.abort()
        if self._transport is not None:
            await asyncio.shield(self.ended)
