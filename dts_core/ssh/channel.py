"""A channel of a connection that runs one command line: bytes in, bytes out, and how it ended."""

import asyncio
from collections.abc import Callable
from typing import Any

import asyncssh

from dts_core.ssh.quiet import without_packet_log

__all__ = ["STDERR", "Channel", "Receive"]

STDERR = 1
"""What asyncssh calls extended data of standard error (SSH_EXTENDED_DATA_STDERR)."""
Receive = Callable[[int, bytes], None]
"""0 for standard output or 1 for standard error, and a piece of it."""


class Channel(asyncssh.SSHClientSession[bytes]):
    """asyncssh calls it with what comes; what it is made for hears through two functions.

    Args:
        receive: Called with each piece of output, in order; must not wait.
        on_end: Called once when nothing more comes.
    """

    def __init__(self, receive: Receive, on_end: Callable[[], None]) -> None:
        self._receive = receive
        self._on_end = on_end
        self._channel: asyncssh.SSHClientChannel[bytes] | None = None
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.has_status = False
        self.exit_status: int | None = None
        self.exit_signal = ""
        self._writable = asyncio.Event()
        self._writable.set()

    # --- asyncssh's side

    def connection_made(self, chan: Any) -> None:
        """The host has opened it."""
        self._channel = chan
        without_packet_log(chan)

    def data_received(self, data: bytes, datatype: Any) -> None:
        """A piece of output."""
        self._receive(STDERR if datatype == STDERR else 0, data)

    def eof_received(self) -> bool:
        """The other direction stays open: some close their output and run on."""
        return True

    def pause_writing(self) -> None:
        """The host takes no more input for now."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """It does again."""
        self._writable.set()

    def exit_status_received(self, status: int) -> None:
        """How the command ended."""
        self.has_status = True
        self.exit_status = status

    def exit_signal_received(self, signal: str, core_dumped: bool, msg: str, lang: str) -> None:
        """What ended the command."""
        self.has_status = True
        self.exit_signal = signal

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing more comes."""
        self._writable.set()
        self._channel = None
        if not self.ended.done():
            self.ended.set_result(None)
        self._on_end()

    # --- ours

    def write(self, data: bytes) -> None:
        """Send to its standard input; nothing when it has ended."""
        if self._channel is not None and not self._channel.is_closing():
            try:
                self._channel.write(data)
            except OSError:  # its end is on the way
                return

    async def drain(self) -> None:
        """Wait until what was written is mostly gone."""
        await self._writable.wait()

    def pause_reading(self) -> None:
        """Hear nothing more for now; the host waits with it."""
        if self._channel is not None:
            self._channel.pause_reading()

    def resume_reading(self) -> None:
        """Hear again."""
        if self._channel is not None:
            self._channel.resume_reading()

    def resize(self, columns: int, rows: int) -> None:
        """Its terminal has another size."""
        if self._channel is not None and not self._channel.is_closing():
            self._channel.change_terminal_size(columns, rows)

    def write_eof(self) -> None:
        """Close its standard input."""
        if self._channel is not None and not self._channel.is_closing():
            self._channel.write_eof()

    def close(self) -> None:
        """Hear nothing more of it."""
        if self._channel is not None:
            self._channel.close()

    def abort(self) -> None:
        """Close it without waiting for what it still has to say."""
        if self._channel is not None:
            self._channel.abort()
