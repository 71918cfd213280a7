"""Between a client's WebSocket and a terminal on a host: bytes and backpressure both ways, and its limits."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final

import msgspec
from litestar.connection import WebSocket
from litestar.exceptions import WebSocketDisconnect

from dts_core.api.shell_sizes import Sizes
from dts_core.errors import (
    DtsError,
    Forbidden,
    InvalidInput,
    NotFound,
    Unauthenticated,
)
from dts_core.plain import words
from dts_core.services.access import Caller
from dts_core.services.shells import STOPPING, Shell, Shells
from dts_core.text import clean, one_line
from dts_core.views.shell import (
    ALIVE_SECONDS,
    SILENCE_SECONDS,
    Alive,
    Exited,
    FromClient,
    FromServer,
    Opened,
    Refused,
    Resize,
    ShellQuery,
    reason,
)

__all__ = ["Bridge"]

PIECE: Final = 32 << 10
"""Most bytes of one message."""
RIGHT_SECONDS: Final = 1.0
"""How often the right to it is looked up again."""
WRITE_SECONDS: Final = 60.0
"""How long a client may leave output unread."""
NORMAL: Final = 1000
NOT_OURS: Final = 1003
NO_RIGHT: Final = 1008
STOPS: Final = 1012
FAILED: Final = 1011
LIMIT: Final = 4000
"""A limit of `[shell]` is reached."""
CLIENT_LEFT: Final = "the client left"
_GONE: Final = (WebSocketDisconnect, OSError, RuntimeError)
"""Of the WebSocket of a client that is gone; the last is what uvicorn and Litestar say of one that is closed."""
_decoder: Final[Any] = msgspec.json.Decoder(FromClient)
_encoder: Final = msgspec.json.Encoder()
_log = logging.getLogger(__name__)


class _Over(Exception):
    """It ends: with a code and words for the client, and for the record."""

    def __init__(self, code: int, how: str, error: DtsError | None = None) -> None:
        super().__init__(how)
        self.code = code
        self.how = how
        self.error = error


class Bridge:
    """One shell, from the accepted WebSocket to its end.

    Args:
        socket: The client's.
        shells: Opens it.
        still: Raises when the right to it is gone.
    """

    def __init__(
        self,
        socket: WebSocket[Any, Any, Any],
        shells: Shells,
        still: Callable[[], Awaitable[None]],
    ) -> None:
        self._socket = socket
        self._shells = shells
        self._still = still
        self._loop = asyncio.get_running_loop()
        self._began = self._active = self._heard = self._loop.time()
        self._is_busy = False
        """Whether the host takes no keys for now, so that the client is not listened to."""
        self._shell: asyncio.Future[Shell] = self._loop.create_future()
        self._sizes: Sizes | None = None

    async def run(self, caller: Caller, host: str, asked: ShellQuery) -> None:
        """Open it, pass bytes, end it; tells the client why. Raises nothing but for cancellation."""
        try:
            # Listened to from the start: who leaves while the host is being reached ends that.
            over = await self._first(
                self._listen(), self._watch(), self._stay(), self._host(caller, host, asked)
            )
        finally:
            self._shell.cancel()
        try:
            await self._goodbye(over)
        except _Over as gone:
            _log.debug("a shell's client did not hear how it ended: %s", gone)

    async def _first(self, *sides: Coroutine[Any, Any, None]) -> _Over:
        """The first end of any side; the others are ended, so that the shell is closed and on record."""
        tasks = [asyncio.create_task(side, name="shell-side") for side in sides]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            over = _over_of(next(iter(done)).exception())
            if self._shell.done() and not self._shell.cancelled():
                self._shell.result().how = over.how
            return over
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            if self._sizes is not None:
                self._sizes.close()

    # --- its sides

    async def _host(self, caller: Caller, host: str, asked: ShellQuery) -> None:
        async with self._shells.open(caller, host, asked) as shell:
            self._shell.set_result(shell)
            try:
                await self._tell(Opened(host=host, fingerprint=shell.far.fingerprint))
                await self._output(shell)
            except Exception as error:  # noqa: BLE001 - raised again, by its name
                over = _over_of(error)  # on record before the block ends
                shell.how = over.how
                raise over from (None if over is error else error)

    async def _output(self, shell: Shell) -> None:
        while data := await shell.read(PIECE):
            self._active = self._loop.time()
            await self._send({"type": "websocket.send", "bytes": data})
        status, signal = await shell.far.end()
        how = f"signal {signal}" if status is None else f"exit {status}"
        await self._tell(Exited(status=status, signal=signal))
        raise _Over(NORMAL, how)

    async def _listen(self) -> None:
        while True:
            message = await self._received()
            if message["type"] == "websocket.disconnect":
                raise _Over(NORMAL, CLIENT_LEFT)
            self._heard = self._loop.time()
            if data := message.get("bytes"):
                await self._keys(data)
            elif message.get("text"):
                await self._control(message["text"])

    async def _received(self) -> Any:
        try:
            return await self._socket.receive()
        except _GONE as error:
            raise _Over(NORMAL, CLIENT_LEFT) from error

    async def _keys(self, data: bytes) -> None:
        self._active = self._loop.time()
        self._is_busy = True
        try:
            shell = await asyncio.shield(self._shell)
            if self._sizes is not None:
                self._sizes.settle()
            await shell.write(data)
        finally:
            self._is_busy = False
            self._heard = self._loop.time()

    async def _control(self, text: str) -> None:
        try:
            told = _decoder.decode(text)
        except (msgspec.DecodeError, RecursionError, UnicodeError):
            raise _Over(NOT_OURS, "the client said what nobody understands") from None
        if isinstance(told, Resize):
            if self._sizes is None:
                self._sizes = Sizes((await asyncio.shield(self._shell)).far.resize)
            self._sizes.take(told.columns, told.rows)

    async def _watch(self) -> None:
        """Its limits and its right; waits for no client, which might take its time to keep what it has lost."""
        while True:
            if await self._stops_by(self._loop.time() + RIGHT_SECONDS):
                raise _Over(STOPS, STOPPING)
            self._check_limits()
            await self._check_right()

    async def _stay(self) -> None:
        """A sign of life now and then."""
        while True:
            await asyncio.sleep(ALIVE_SECONDS)
            await self._tell(Alive())

    async def _stops_by(self, by: float) -> bool:
        settings = self._shells.settings
        by = min(by, self._active + settings.idle_seconds, self._began + settings.total_seconds)
        try:
            async with asyncio.timeout_at(by):
                await self._shells.stopping.wait()
        except TimeoutError:
            return False
        return True

    def _check_limits(self) -> None:
        now, settings = self._loop.time(), self._shells.settings
        if now - self._active >= settings.idle_seconds:
            told = words.duration(settings.idle_seconds)
            raise _Over(LIMIT, f"nothing was typed or printed for {told}")
        if now - self._began >= settings.total_seconds:
            raise _Over(LIMIT, f"it was open for {words.duration(settings.total_seconds)}")
        if not self._is_busy and now - self._heard >= SILENCE_SECONDS:
            raise _Over(FAILED, "the client is not heard any more")

    async def _check_right(self) -> None:
        try:
            await self._still()
        except (Unauthenticated, Forbidden, NotFound, InvalidInput) as error:
            raise _Over(NO_RIGHT, "the right to it was taken away", error) from error
        except DtsError as error:
            _log.debug("the right to a shell was not looked up: %s", error)

    # --- to the client

    async def _tell(self, told: FromServer) -> None:
        await self._send({"type": "websocket.send", "text": _encoder.encode(told).decode()})

    async def _send(self, message: Any) -> None:
        try:
            async with asyncio.timeout(WRITE_SECONDS):
                await self._socket.send(message)
        except TimeoutError:
            raise _Over(FAILED, "the client reads nothing") from None
        except _GONE as error:
            raise _Over(NORMAL, CLIENT_LEFT) from error

    async def _goodbye(self, over: _Over) -> None:
        if over.code != NORMAL:
            error = over.error
            told = Refused(
                detail=one_line(error.message if error else f"the shell was ended: {over.how}."),
                advice=clean(error.advice, 1000) if error else "",
                code=error.code if error else "shell_ended",
            )
            await self._tell(told)
        await self._send({"type": "websocket.close", "code": over.code, "reason": reason(over.how)})


def _over_of(error: BaseException | None) -> _Over:
    if isinstance(error, _Over):
        return error
    if isinstance(error, DtsError):
        return _Over(FAILED, one_line(error.message, 200), error)
    _log.error("a shell failed", exc_info=error)
    return _Over(FAILED, "the server met an unexpected error")
