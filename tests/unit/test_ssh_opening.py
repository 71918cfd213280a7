"""Channels that nobody waits for any more while the host opens them."""

import asyncio
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import pytest

from dts_core.errors import HostUnreachable
from dts_core.ssh.session import Session, TerminalKind
from dts_core.ssh.settings import SshSettings
from dts_core.ssh.target import Target

KIND = TerminalKind(term="xterm", columns=80, rows=24)


class Slow:
    """A connection whose host opens a channel when it is told to."""

    def __init__(self, *, began: bool) -> None:
        self.opens = asyncio.Event()
        self.asked = asyncio.Event()
        self.far = MagicMock()
        self._began = began

    def is_closed(self) -> bool:
        return False

    async def create_session(self, make: Any, line: Any, **asked: Any) -> None:
        channel = make()
        if self._began:  # the terminal is there, and its shell is asked for
            channel.connection_made(self.far)
        self.asked.set()
        await self.opens.wait()
        if not self._began:
            channel.connection_made(self.far)


def session_over(connection: Any, **settings: Any) -> Session:
    login = SimpleNamespace(host_key="", is_certified=False, banner="")
    connected: Any = SimpleNamespace(login=login, dialer=MagicMock(), connection=connection)
    target = Target(id="web-1", address="a", user="u")
    return Session(target, connected, SshSettings(**settings))


@pytest.mark.parametrize("began", [False, True])
@pytest.mark.parametrize("seconds", [60.0, 0.01])
async def test_a_channel_that_is_opened_too_late_is_closed(began: bool, seconds: float) -> None:
    """Who leaves, or waits no longer, leaves no shell behind on a connection that others use on."""
    connection = Slow(began=began)
    session = session_over(connection, login_seconds=seconds)

    async def open_one() -> None:
        async with session.channel("", lambda stream, data: None, terminal=KIND):
            raise AssertionError("it was opened")

    task = asyncio.create_task(open_one())
    await connection.asked.wait()
    if seconds > 1:
        task.cancel()
    with pytest.raises((asyncio.CancelledError, HostUnreachable)):
        await task
    connection.opens.set()
    async with asyncio.timeout(60):
        while not connection.far.close.called:
            await asyncio.sleep(0)
