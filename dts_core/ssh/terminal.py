"""A terminal on a far host: the login shell of whoever logs in there, as a stream both ways."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from dts_core.ssh.channel import Channel
from dts_core.ssh.session import Session, TerminalKind
from dts_core.ssh.valve import Valve
from dts_core.text import one_line

__all__ = ["Terminal", "TerminalKind", "open_terminal"]

BUFFER_BYTES: Final = 64 << 10
"""Read ahead of whoever reads; beyond twice that the host is told to wait."""


class Terminal:
    """One shell. Bytes as they come: nothing of them is looked at."""

    def __init__(self, session: Session, channel: Channel, reader: asyncio.StreamReader) -> None:
        self.fingerprint = session.fingerprint
        self._session = session
        self._channel = channel
        self._reader = reader

    async def read(self, most: int) -> bytes:
        """The next piece; empty at its end."""
        return await self._reader.read(most)

    def write(self, data: bytes) -> None:
        """Keys for it; nothing when it has ended."""
        self._channel.write(data)

    async def drain(self) -> None:
        """Wait until what was written is mostly gone."""
        await self._channel.drain()

    def resize(self, columns: int, rows: int) -> None:
        """The terminal has another size."""
        self._channel.resize(columns, rows)

    async def end(self) -> tuple[int | None, str]:
        """How it ended, once it has: its exit status, or without one the signal that ended it.

        Raises:
            SessionLost: The connection ended first.
        """
        await asyncio.shield(self._channel.ended)
        if not self._channel.has_status:
            raise self._session.lost()
        return self._channel.exit_status, one_line(self._channel.exit_signal, 32)


@asynccontextmanager
async def open_terminal(session: Session, kind: TerminalKind) -> AsyncIterator[Terminal]:
    """A terminal for the length of a block; at its end the host hangs up on what runs in it.

    Args:
        session: With its host.
        kind: Which.

    Raises:
        SessionLost: The connection has ended.
        HostUnreachable: The host gives none.
    """
    reader = asyncio.StreamReader(limit=BUFFER_BYTES)

    def receive(_stream: int, data: bytes) -> None:
        reader.feed_data(data)

    async with session.channel("", receive, reader.feed_eof, terminal=kind) as channel:
        reader.set_transport(Valve(channel))
        yield Terminal(session, channel, reader)
