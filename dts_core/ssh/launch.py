"""A process on a far host whose standard input and output are one stream: a worker's link to its gateway."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

from dts_core.ssh.channel import STDERR, Channel
from dts_core.ssh.command import Command
from dts_core.ssh.session import Session
from dts_core.ssh.valve import Valve
from dts_core.text import one_line

__all__ = ["Launched", "launch"]

BUFFER_BYTES: Final = 256 << 10
"""Read ahead of whoever reads; beyond twice that the host is told to wait."""
WORDS_BYTES: Final = 8 << 10
"""Kept of what it says on standard error."""
END_SECONDS: Final = 20.0
"""For it to end by itself once its standard input has."""
CUT_SECONDS: Final = 1.0
"""For the host to say that it has ended, once it was killed."""
NOISE_MAX: Final = 64 << 10
_SCRIPT: Final = 'printf %s "$0"; exec "$@"'


class Launched:
    """A process that runs, or has run.

    Attributes:
        reader: What it writes.
        writer: What it reads; closed, its standard input is at its end.
        patience: Seconds that it has at the end of the block to end by itself.
    """

    def __init__(self, channel: Channel, reader: asyncio.StreamReader, command: Command) -> None:
        self.reader = reader
        self.writer = _Writer(channel)
        self.patience = END_SECONDS
        self._channel = channel
        self._command = command

    @property
    def ended(self) -> "asyncio.Future[None]":
        """Done once nothing more comes of it."""
        return self._channel.ended

    @property
    def last_words(self) -> str:
        """How it ended, with the last line that it said: printable."""
        said = self._command.stderr.kept().decode("utf-8", "replace").strip()
        line = one_line(said.rsplit("\n", 1)[-1], 300)
        if not self._channel.has_status:
            return line
        how = f"signal {one_line(self._channel.exit_signal, 32)}"
        if self._channel.exit_status is not None:
            how = f"exit status {self._channel.exit_status}"
        return f"{how}: {line}" if line else how


@asynccontextmanager
async def launch(session: Session, argv: Sequence[str]) -> AsyncIterator[Launched]:
    """Run a command for the length of a block, as a stream.

    At the end its standard input is closed; what does not end then is killed with its process group.

    Args:
        session: With its host.
        argv: Quoted here, word by word.

    Raises:
        SessionLost: The connection has ended.
        HostUnreachable: The host gives no channel; nothing was run.
        InvalidInput: No command.
    """
    reader = asyncio.StreamReader(limit=BUFFER_BYTES)
    begin = _Begin()

    def receive(stream: int, data: bytes) -> None:
        if stream != STDERR and (data := begin.behind(data)):
            reader.feed_data(data)

    def on_end() -> None:
        command.end()
        reader.feed_eof()

    line = ["sh", "-c", _SCRIPT, begin.mark, *argv]
    command = Command(line, kept_max=WORDS_BYTES, receive=receive)
    async with session.channel(command.line, command.take, on_end) as channel:
        reader.set_transport(Valve(channel))
        launched = Launched(channel, reader, command)
        try:
            yield launched
        finally:
            await _end(session, channel, command, launched.patience)


async def _end(session: Session, channel: Channel, command: Command, patience: float) -> None:
    """A connection over which it can neither end by itself nor be killed is of no use: its end ends it there."""
    channel.write_eof()
    channel.resume_reading()
    if await _has_ended(channel, patience):
        return
    if session.is_alive:
        await session.end_group(command)
    if not await _has_ended(channel, CUT_SECONDS):
        await session.close()


async def _has_ended(channel: Channel, seconds: float) -> bool:
    await asyncio.wait((channel.ended,), timeout=seconds)
    return channel.ended.done()


class _Begin:
    """Finds where the process begins to speak, behind what a login shell's own files print."""

    def __init__(self) -> None:
        self.mark = f"dts-{secrets.token_hex(12)}"
        self._noise: bytes | None = b""

    def behind(self, data: bytes) -> bytes:
        if self._noise is None:
            return data
        noise, mark, rest = (self._noise + data).partition(self.mark.encode())
        self._noise = None if mark else noise[-NOISE_MAX:]
        return rest


class _Writer:
    """See `brokers.wire.StreamWriter`."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    def write(self, data: bytes, /) -> None:
        self._channel.write(data)

    async def drain(self) -> None:
        await self._channel.drain()

    def close(self) -> None:
        self._channel.write_eof()
