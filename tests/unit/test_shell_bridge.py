"""Ends of a shell that nobody at the client brings about: what is on record, and what the client hears."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from litestar.exceptions import WebSocketDisconnect

from dts_core.api import shell_bridge
from dts_core.api.shell_bridge import Bridge
from dts_core.services.shells import Shell
from dts_core.services.users import LOCAL
from dts_core.settings import ShellSettings
from dts_core.views.shell import ShellQuery


class Far:
    """A terminal that breaks at the first look at it."""

    fingerprint = "SHA256:x"

    def __init__(self, error: Exception) -> None:
        self.error = error

    async def read(self, most: int) -> bytes:
        raise self.error


class Socket:
    """A client that says nothing; it takes messages, or keeps them waiting, or is gone."""

    def __init__(self, *, is_deaf: bool = False, gone: Exception | None = None) -> None:
        self.sent: list[Any] = []
        self.is_deaf = is_deaf
        self.gone = gone

    async def receive(self) -> Any:
        await asyncio.Event().wait()

    async def send(self, message: Any) -> None:
        if self.gone is not None:
            raise self.gone
        if self.is_deaf:
            await asyncio.Event().wait()
        self.sent.append(message)


async def ended(socket: Any, error: Exception) -> str:
    """Run a shell that breaks; how its record says that it ended."""
    shell = Shell(Far(error))  # type: ignore[arg-type]  # no more is asked of it

    @asynccontextmanager
    async def opened(*_: Any) -> AsyncIterator[Shell]:
        yield shell

    shells: Any = SimpleNamespace(open=opened, settings=ShellSettings(), stopping=asyncio.Event())

    async def still() -> None:
        return None

    await Bridge(socket, shells, still).run(LOCAL, "web-1", ShellQuery())
    return shell.how


@pytest.mark.parametrize("error", [RuntimeError("inside"), OSError("inside")], ids=repr)
async def test_a_defect_of_ours_is_no_client_that_left(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    """It is on record as what it is, the log has its cause, and the client hears that it was not the host."""
    socket = Socket()
    with caplog.at_level(logging.ERROR, logger=shell_bridge.__name__):
        assert await ended(socket, error) == "the server met an unexpected error"
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
    assert await ended(Socket(gone=gone), RuntimeError("never read")) == "the client left"


async def test_a_client_that_takes_no_goodbye_breaks_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Who reads nothing is cut off, and whoever served them ends in peace."""
    monkeypatch.setattr(shell_bridge, "WRITE_SECONDS", 0.01)
    assert (
        await ended(Socket(is_deaf=True), RuntimeError("never read")) == "the client reads nothing"
    )
