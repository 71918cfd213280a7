"""Bytes out: everything that is sent in one turn of the loop is one write."""

import asyncio
from typing import Final

HIGH_WATER: Final = 1 << 20
"""Bytes that the socket may have waiting; beyond, they wait here and are counted."""


class Outlet:
    """The way to one socket.

    Attributes:
        backlog: Bytes that wait here.
        has_spoken: Set with each write.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.backlog = 0
        self.has_spoken = False
        self._loop = loop
        self._transport: asyncio.WriteTransport | None = None
        self._out: list[bytes] = []
        self._is_planned = False
        self._is_paused = False

    def open(self, transport: asyncio.WriteTransport) -> None:
        """The socket is there."""
        self._transport = transport
        transport.set_write_buffer_limits(HIGH_WATER)

    def close(self) -> None:
        """The socket is gone, or says nothing more; what waits is forgotten."""
        self._transport = None
        self._out.clear()
        self.backlog = 0

    def send(self, data: bytes) -> None:
        """Write `data` with everything else of this turn."""
        self._out.append(data)
        self.backlog += len(data)
        self._plan()

    def pause(self) -> None:
        """The broker does not read as fast as we write."""
        self._is_paused = True

    def resume(self) -> None:
        """It caught up."""
        self._is_paused = False
        self._plan()

    def flush(self) -> None:
        """Write now, so that what is written otherwise comes behind it."""
        out, transport = self._out, self._transport
        # uvloop refuses to write to a closed one
        if out and transport is not None and not transport.is_closing():
            transport.write(out[0] if len(out) == 1 else b"".join(out))
            self.has_spoken = True
            self.backlog = 0
            out.clear()

    def _plan(self) -> None:
        if not self._is_planned and not self._is_paused:
            self._is_planned = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._is_planned = False
        if not self._is_paused:
            self.flush()
