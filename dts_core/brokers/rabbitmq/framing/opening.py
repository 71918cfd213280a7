"""Opens a data plane: the socket, the greeting, the channel, all within one deadline."""

import asyncio
import ssl

from dts_core.brokers.rabbitmq.framing.address import Address, address_of
from dts_core.brokers.rabbitmq.framing.channel import FramingPlane
from dts_core.brokers.rabbitmq.framing.connection import Connection
from dts_core.brokers.rabbitmq.framing.handshake import Handshake
from dts_core.errors import BrokerUnavailable


async def open_plane(
    url: str | Address, *, heartbeat_seconds: int = 10, deadline_seconds: float = 5.0,
    tls: ssl.SSLContext | None = None, name: str = "dts",
) -> FramingPlane:  # fmt: skip
    """One connection with one channel in confirm mode.

    Args:
        url: amqp(s)://USER:PASSWORD@HOST:PORT/VHOST; `?auth=external` logs in by certificate. Or what it says.
        heartbeat_seconds: A broker that is silent for two of them is given up; 0: as the broker wants.
        deadline_seconds: For the whole opening, and for every answer later on.
        tls: For amqps; None: the system's authorities.
        name: As the broker's lists show it.

    Raises:
        ConfigError: The URL is none.
        BrokerUnavailable: Not there, or it refuses us; the message never holds the password.
    """
    address = address_of(url) if isinstance(url, str) else url
    handshake = Handshake(address, name=name, heartbeat_seconds=heartbeat_seconds)
    connection = Connection(handshake, deadline_seconds=deadline_seconds)
    plane = FramingPlane(connection, deadline_seconds=deadline_seconds)
    try:
        async with asyncio.timeout(deadline_seconds):
            await _connect(connection, address, tls)
            await connection.opened
            await plane.open()
    except BaseException as error:
        connection.abort()
        if isinstance(error, OSError | TimeoutError):
            why = "no answer in time" if isinstance(error, TimeoutError) else str(error)
            raise BrokerUnavailable(f"{address} is not there: {why}.") from error
        raise
    return plane


async def _connect(connection: Connection, address: Address, tls: ssl.SSLContext | None) -> None:
    context = (tls or ssl.create_default_context()) if address.is_tls else None
    await asyncio.get_running_loop().create_connection(
        lambda: connection,
        address.host,
        address.port,
        ssl=context,
        server_hostname=address.host if context else None,
    )
