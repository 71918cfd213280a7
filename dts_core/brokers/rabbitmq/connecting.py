"""aio-pika's connection as it is used here: opened once, its stream at hand, ended whether or not anybody answers."""

import asyncio
import logging
import ssl
from contextlib import suppress
from typing import Any, Final

import aio_pika
from aiormq.abc import AbstractConnection
from aiormq.connection import TransportFactory
from yarl import URL

from dts_core.brokers.rabbitmq.deadlines import answered, words_of
from dts_core.brokers.rabbitmq.framing.address import Address
from dts_core.errors import BrokerUnavailable, DtsError

CLOSE_SECONDS: Final = 2.0
for driver in ("aio_pika", "aiormq"):  # every failure is told in our own words
    logging.getLogger(driver).setLevel(logging.CRITICAL)


class Connection(aio_pika.Connection):
    """One connection, from `connect` to `end`; a lost one is not opened again.

    Args:
        address: Where, and as whom.
        heartbeat_seconds: Of AMQP.
        name: What it is called in the broker's lists.
        context: For amqps.
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
        self._stream = _Stream()
        self.kwargs["transport_factory"] = self._stream

    @property
    def underlay(self) -> AbstractConnection:
        """Aiormq's connection below, for the channels that carry messages in batches.

        Raises:
            BrokerUnavailable: It is not open.
        """
        if self.transport is None:
            raise BrokerUnavailable("the connection is closed.")
        return self.transport.connection

    async def end(self) -> None:
        """Say good-bye, or drop the stream when nobody answers."""
        try:
            with suppress(DtsError):
                async with answered("closing the connection", CLOSE_SECONDS):
                    await self.close()
        finally:
            await self._stream.drop()
            await self.close()  # of what was cut short; nothing is sent any more


class _Stream(TransportFactory):
    """Opens the stream, and keeps hold of it, so that a silent one can be dropped without asking it."""

    def __init__(self) -> None:
        self._writer: asyncio.StreamWriter | None = None

    async def create(
        self, url: URL, **options: Any
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """See TransportFactory."""
        provider = options.pop("ssl_context_provider")
        context = await provider.get_context() if url.scheme == "amqps" else None
        reader, self._writer = await asyncio.open_connection(
            url.host, url.port, ssl=context, **options
        )
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
