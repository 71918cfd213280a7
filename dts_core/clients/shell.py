"""A shell on a host, through the server: bytes both ways over a WebSocket, until either side ends."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final, TypeAlias
from urllib.parse import quote, urlencode

import httpx
import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

from dts_core.clients import transport
from dts_core.errors import ApiError, ServerUnreachable
from dts_core.text import clean
from dts_core.views.shell import (
    ALIVE_SECONDS,
    MESSAGE_MAX,
    SILENCE_SECONDS,
    Alive,
    Exited,
    FromServer,
    Opened,
    Refused,
    Resize,
)

__all__ = ["Shell", "ShellAsked", "open_shell"]

CONNECT_SECONDS: Final = 10.0
CLOSE_SECONDS: Final = 2.0
PIECE: Final = 16 << 10
"""Most bytes of keys in one message."""
AHEAD: Final = (4, 1)
"""Messages that are read ahead: beyond that the server is told to wait."""
STOPPED: Final = 1012
_decoder: Final[Any] = msgspec.json.Decoder(FromServer)
_encoder: Final = msgspec.json.Encoder()
Heard: TypeAlias = bytes | Opened | Exited


class ShellAsked(msgspec.Struct, frozen=True, kw_only=True):
    """Which shell: on which virtual host, and for what terminal."""

    host: str
    term: str = "xterm"
    columns: int = 80
    rows: int = 24

    @property
    def path(self) -> str:
        """With the query."""
        size = {"term": self.term, "columns": self.columns, "rows": self.rows}
        return f"/ssh/shells/{quote(self.host, safe='')}?{urlencode(size)}"


class Shell:
    """One that is open, or about to be. Iterate over it: `Opened`, then the host's bytes, at last `Exited`."""

    def __init__(self, connection: ClientConnection, url: str) -> None:
        self._connection = connection
        self._url = url

    async def send(self, keys: bytes) -> None:
        """Keys for the host; waits while it takes none. Nothing when it is over: the iteration says why."""
        for at in range(0, len(keys), PIECE):
            await self._send(keys[at : at + PIECE])

    async def resize(self, columns: int, rows: int) -> None:
        """The terminal at hand has another size."""
        await self._say(Resize(columns=columns, rows=rows))

    async def stay(self) -> None:
        """Say now and then that somebody is here; for ever."""
        while True:
            await asyncio.sleep(ALIVE_SECONDS)
            await self._say(Alive())

    async def __aiter__(self) -> AsyncIterator[Heard]:
        """What comes.

        Raises:
            ApiError: The server ended it, or could not open it, and says why.
            ServerUnreachable: The server is gone, or silent.
        """
        while True:
            heard = await self._next()
            if isinstance(heard, Alive):
                continue
            if isinstance(heard, Refused):
                raise ApiError(
                    clean(heard.detail, 2000),
                    answer_code=clean(heard.code, 60),
                    advice=clean(heard.advice, 500),
                )
            yield heard
            if isinstance(heard, Exited):
                return

    async def _next(self) -> Any:
        try:
            async with asyncio.timeout(SILENCE_SECONDS):
                message = await self._connection.recv()
        except (ConnectionClosed, TimeoutError, OSError) as error:
            raise _gone(self._url, error) from error
        if isinstance(message, bytes):
            return message
        try:
            return _decoder.decode(message)
        except (msgspec.DecodeError, RecursionError) as error:
            raise ApiError(
                "the server says what nobody understands.",
                advice="Is it of a version that fits?",
            ) from error

    async def _say(self, told: Resize | Alive) -> None:
        await self._send(_encoder.encode(told).decode())

    async def _send(self, message: bytes | str) -> None:
        try:
            await self._connection.send(message)
        except (ConnectionClosed, OSError):
            return


@asynccontextmanager
async def open_shell(url: str, token: str, verify: str, asked: ShellAsked) -> AsyncIterator[Shell]:
    """A shell for the length of a block; at its end the host hangs up on what runs in it.

    Raises:
        ApiError: The server refuses.
        ServerUnreachable: No answer.
    """
    trust = transport.trust(verify)
    given: dict[str, Any] = {"ssl": trust} if isinstance(trust, ssl.SSLContext) else {}
    if not url.startswith("https:"):
        given = {}
    try:
        connection = await connect(
            "ws" + url.removeprefix("http") + asked.path,
            additional_headers={"Authorization": f"Bearer {token}"} if token else {},
            user_agent_header=None,
            compression=None,
            proxy=None,
            open_timeout=CONNECT_SECONDS,
            close_timeout=CLOSE_SECONDS,
            ping_interval=None,
            max_size=MESSAGE_MAX,
            max_queue=AHEAD,
            **given,
        )
    except InvalidStatus as error:
        response = error.response
        raise transport.problem(
            httpx.Response(response.status_code, content=bytes(response.body or b""))
        ) from error
    except (OSError, InvalidHandshake) as error:  # TimeoutError is an OSError
        raise _gone(url, error) from error
    shell = Shell(connection, url)
    staying = asyncio.create_task(shell.stay(), name="shell-alive")
    try:
        yield shell
    finally:
        staying.cancel()
        await asyncio.gather(staying, return_exceptions=True)
        await connection.close()


def _gone(url: str, error: Exception) -> ServerUnreachable:
    shown, advice = clean(url, 200), "Is it running? `dts up` starts one here."
    if isinstance(error, ConnectionClosed):
        code = error.rcvd.code if error.rcvd is not None else 0
        if code == STOPPED:
            return ServerUnreachable(f"the server at {shown} stops; the shell ended with it.")
        return ServerUnreachable(f"the server at {shown} is gone; the shell ended with it.")
    if isinstance(error, InvalidHandshake):
        advice = "Is this address a dts server, and of a version that fits?"
        return ServerUnreachable(f"the server at {shown} opens no WebSocket.", advice=advice)
    what = "does not answer" if isinstance(error, TimeoutError) else "cannot be reached"
    return ServerUnreachable(f"the server at {shown} {what}.", advice=advice)
