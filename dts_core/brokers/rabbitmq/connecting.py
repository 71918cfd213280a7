"""aio-pika's connection as it is used here: opened once, its stream at hand, ended whether or not anybody answers."""

import asyncio
import logging
import ssl
from contextlib import suppress
from typing import Any, Final, Protocol
from weakref import WeakSet

import aio_pika
from aiormq.abc import AbstractConnection
from aiormq.connection import TransportFactory
from yarl import URL

from dts_core.brokers.rabbitmq.deadlines import answered, words_of
from dts_core.brokers.rabbitmq.framing.address import Address
from dts_core.brokers.rabbitmq.stream import Stream
from dts_core.errors import BrokerUnavailable, DtsError

CLOSE_SECONDS: Final = 2.0
for driver in ("aio_pika", "aiormq"):  # every failure is told in our own words
    logging.getLogger(driver).setLevel(logging.CRITICAL)


class Companion(Protocol):
    """A channel on a connection of its own."""

    def end(self, reason: str) -> None:
        """Say good-bye, and tell its owner."""
        ...

    def abort(self) -> None:
        """Close its socket without another word."""
        ...

    async def close(self) -> None:
        """Wait until its socket is gone."""
        ...


class Connection(aio_pika.Connection):
    """One connection, from `connect` to `end`; a lost one is not opened again.

    Args:
        address: Where, and as whom.
        heartbeat_seconds: Of AMQP.
        name: What it is called in the broker's lists.
        context: For amqps.

    Attributes:
        companions: What ends with it. A consumer on a connection of its own that outlived this one would go on
            being handed messages, and nobody would take them.
    """

    def __init__(
        self,
        address: Address,
        *,
        heartbeat_seconds: int,
        name: str,
        context: ssl.SSLContext | None,
    ) -> None:
        super().__init__(url_of(address, heartbeat_seconds, name), ssl_context=context)
        self.companions: WeakSet[Companion] = WeakSet()
        self._opening = _Opening()
        self.kwargs["transport_factory"] = self._opening

    async def connect(self, timeout: aio_pika.abc.TimeoutType = None) -> None:
        """Open it; see aio-pika."""
        await super().connect(timeout)
        self.stream.agree(self.underlay.connection_tune.frame_max)

    @property
    def is_blocked(self) -> bool:
        """Whether the broker told us to stop publishing."""
        return bool(self.stream.blocked)

    @property
    def stream(self) -> Stream:
        """Where messages pass the driver by.

        Raises:
            BrokerUnavailable: It was never opened.
        """
        if self._opening.stream is None:
            raise BrokerUnavailable("the connection is closed.")
        return self._opening.stream

    @property
    def underlay(self) -> AbstractConnection:
        """Aiormq's connection below, for the channels that carry messages.

        Raises:
            BrokerUnavailable: It is not open.
        """
        if self.transport is None:
            raise BrokerUnavailable("the connection is closed.")
        return self.transport.connection

    async def end(self) -> None:
        """Say good-bye, here and on its companions, or drop the streams when nobody answers."""
        companions = list(self.companions)
        for each in companions:
            each.end("the connection ended.")
        try:
            with suppress(DtsError):
                async with answered("closing the connection", CLOSE_SECONDS):
                    closing = (each.close() for each in companions)
                    await asyncio.gather(self.close(), *closing, return_exceptions=True)
        finally:
            for each in companions:
                each.abort()
            await self._opening.drop()
            await self.close()  # of what was cut short; nothing is sent any more


class _Opening(TransportFactory):
    """Opens the stream, and keeps hold of it: for its messages, and to drop a silent one without asking it."""

    def __init__(self) -> None:
        self.stream: Stream | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def create(
        self, url: URL, **options: Any
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """See TransportFactory; as asyncio.open_connection does it, with a protocol of ours."""
        provider = options.pop("ssl_context_provider")
        context = await provider.get_context() if url.scheme == "amqps" else None
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(loop=loop)
        stream = self.stream = Stream(reader, loop)
        transport, _ = await loop.create_connection(
            lambda: stream, url.host or "", url.port or 0, ssl=context, **options
        )
        self._writer = asyncio.StreamWriter(transport, stream, reader, loop)
        return reader, self._writer

    async def drop(self) -> None:
        """End it without a word."""
        if self._writer is None:
            return
        self._writer.transport.abort()
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._writer.wait_closed()


def why_closed(closing: "asyncio.Future[Any]") -> str:
    """Why the driver's connection ended, in words."""
    error = None if closing.cancelled() else closing.exception()
    said = words_of(error) if error is not None else ""
    return said or "the connection ended"


def url_of(address: Address, heartbeat_seconds: int, name: str) -> URL:
    """The driver's form of an address."""
    return URL.build(
        scheme="amqps" if address.is_tls else "amqp",
        host=address.host, port=address.port, user=address.user, password=address.password,
        path="/" + address.vhost.replace("/", "%2F"), encoded=False,
        query={"heartbeat": heartbeat_seconds, "name": name, "auth": address.mechanism.lower()},
    )  # fmt: skip
