"""Ends of a shell that nobody at the client brings about: what is on record, and what the client hears."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from litestar.exceptions import WebSocketDisconnect

from dts_core.api import shell_bridge
from dts_core.api.shell_bridge import Bridge
from dts_core.errors import Forbidden
from dts_core.services.shells import Shell
from dts_core.services.users import LOCAL
from dts_core.settings import ShellSettings
from dts_core.views.shell import ShellQuery


class Far:
    """A terminal that breaks at the first look at it, or prints nothing."""

    fingerprint = "SHA256:x"

    def __init__(self, error: Exception | None) -> None:
        self.error = error

    async def read(self, most: int) -> bytes:
        if self.error is not None:
            raise self.error
        await asyncio.Event().wait()
        return b""


class Socket:
    """A client that says nothing; it takes some messages and then reads no more, or is gone."""

    def __init__(self, *, takes: int = 99, gone: Exception | None = None) -> None:
        self.sent: list[Any] = []
        self.takes = takes
        self.gone = gone

    async def receive(self) -> Any:
        await asyncio.Event().wait()

    async def send(self, message: Any) -> None:
        if self.gone is not None:
            raise self.gone
        if len(self.sent) >= self.takes:
            await asyncio.Event().wait()
        self.sent.append(message)


async def may() -> None:
    """Nobody takes the right away."""


class World:
    """One shell over such a socket."""

    def __init__(
        self,
        socket: Any,
        error: Exception | None,
        still: Callable[[], Awaitable[None]] = may,
    ) -> None:
        self.shell = Shell(Far(error))  # type: ignore[arg-type]  # no more is asked of it
        self.is_closed = asyncio.Event()
        shells: Any = SimpleNamespace(
            open=self.opened, settings=ShellSettings(), stopping=asyncio.Event()
        )
        self.bridge = Bridge(socket, shells, still)

    @asynccontextmanager
    async def opened(self, *_: Any) -> AsyncIterator[Shell]:
        try:
            yield self.shell
        finally:
            self.is_closed.set()

    async def run(self) -> str:
        """To its end; how the record says that it ended."""
        await self.bridge.run(LOCAL, "web-1", ShellQuery())
        return self.shell.how


@pytest.mark.parametrize("error", [RuntimeError("inside"), OSError("inside")], ids=repr)
async def test_a_defect_of_ours_is_no_client_that_left(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    """It is on record as what it is, the log has its cause, and the client hears that it was not the host."""
    socket = Socket()
    with caplog.at_level(logging.ERROR, logger=shell_bridge.__name__):
        assert await World(socket, error).run() == "the server met an unexpected error"
    assert [each.exc_info[1] for each in caplog.records if each.exc_info] == [error]
    assert socket.sent[-1]["code"] == shell_bridge.FAILED
    told = msgspec.json.decode(socket.sent[-2]["text"])
    assert (told["type"], "inside" in str(socket.sent)) == ("error", False)


@pytest.mark.parametrize(
    "gone",
    [RuntimeError("after close"), OSError("reset"), WebSocketDisconnect(detail="")],
    ids=repr,
)
async def test_a_client_that_is_gone_has_left(gone: Exception) -> None:
    """However its WebSocket says so."""
    assert await World(Socket(gone=gone), None).run() == "the client left"


async def test_a_client_that_takes_no_goodbye_breaks_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Who reads nothing is cut off, and whoever served them ends in peace."""
    monkeypatch.setattr(shell_bridge, "WRITE_SECONDS", 0.01)
    assert await World(Socket(takes=0), None).run() == "the client reads nothing"


async def test_a_right_is_lost_though_the_client_reads_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Who leaves unread that the server is there does not keep a shell thereby."""
    monkeypatch.setattr(shell_bridge, "ALIVE_SECONDS", 0.0)
    monkeypatch.setattr(shell_bridge, "RIGHT_SECONDS", 0.01, raising=False)
    looks = 0

    async def still() -> None:
        nonlocal looks
        looks += 1
        if looks > 3:
            raise Forbidden("no more.")

    world = World(Socket(takes=1), None, still)
    running = asyncio.create_task(world.run())
    async with asyncio.timeout(30):
        await world.is_closed.wait()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert world.shell.how == "the right to it was taken away"
