"""The first stretch of a connection: TCP, or a channel of the host that the way leads through."""

import asyncio
import contextlib
import socket
import struct
from collections.abc import Callable
from typing import Any, Final

import asyncssh

from dts_core.ssh.settings import SshSettings

__all__ = ["Dialer"]

_INFO: Final[int | None] = getattr(socket, "TCP_INFO", None)
_ROUND_TRIP_AT: Final = 68
"""Where Linux's struct tcp_info has the smoothed round trip, a u32 of microseconds."""
_QUICK: Final[int | None] = getattr(socket, "TCP_QUICKACK", None)
_WATCH: Final = ("TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT")
_UNACKNOWLEDGED: Final[int | None] = getattr(socket, "TCP_USER_TIMEOUT", None)


class Dialer:
    """What asyncssh is given as its tunnel.

    Args:
        settings: How long it may take.
        through: The jump host's connection; None: straight.
    """

    def __init__(self, settings: SshSettings, through: asyncssh.SSHClientConnection | None) -> None:
        self._seconds = settings.connect_seconds
        self._every = settings.keepalive_seconds
        self._misses = settings.keepalive_misses
        self._through = through
        self._hasty: _Hasty | None = None
        self._transport: asyncio.BaseTransport | None = None
        self.is_watched = False
        """Whether the system itself asks the idle host's whether the way to it still stands."""

    async def create_connection(
        self, make: Callable[[], Any], host: str, port: int
    ) -> tuple[Any, Any]:
        """Open it; returns (transport or channel, what `make` made).

        Raises:
            TimeoutError: It took too long.
            OSError: It cannot be opened; ChannelOpenError when the jump host cannot.
        """
        async with asyncio.timeout(self._seconds):
            if self._through is not None:
                return await self._through.create_connection(make, host, port)
            loop = asyncio.get_running_loop()
            transport, hasty = await loop.create_connection(lambda: _Hasty(make()), host, port)
            self._hasty, self._transport = hasty, transport
            self.is_watched = _watch(transport.get_extra_info("socket"), self._every, self._misses)
            return transport, hasty.inner

    def round_trip(self) -> float | None:
        """Seconds to the host and back, as the system has seen it up to now; None where it does not say."""
        found = self._transport.get_extra_info("socket") if self._transport is not None else None
        if _INFO is None or found is None:
            return None
        with contextlib.suppress(OSError, struct.error):
            told = found.getsockopt(socket.IPPROTO_TCP, _INFO, _ROUND_TRIP_AT + 4)
            return float(struct.unpack_from("=I", told, _ROUND_TRIP_AT)[0]) / 1e6
        return None

    def settle(self) -> None:
        """The first channel is open: acknowledge as the system likes from now on. A second call does nothing."""
        hasty, self._hasty = self._hasty, None
        if hasty is not None and hasty.transport is not None and not hasty.transport.is_closing():
            hasty.transport.set_protocol(hasty.inner)


def _watch(found: Any, every: float, misses: int) -> bool:
    """Have the system probe a connection on which nothing comes; false where it cannot.

    It does what keep-alives of SSH do for a way that is cut, within the same time, and for almost nothing: those cost
    this process about 220 us each.
    """
    if found is None or not all(hasattr(socket, name) for name in _WATCH):
        return False
    seconds = max(round(every), 1)
    idle, pause, count = (getattr(socket, name) for name in _WATCH)
    try:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        found.setsockopt(socket.IPPROTO_TCP, idle, seconds)
        found.setsockopt(socket.IPPROTO_TCP, pause, seconds)
        found.setsockopt(socket.IPPROTO_TCP, count, max(misses, 1))
        if _UNACKNOWLEDGED is not None:  # probes rest while something sent is not acknowledged
            most = seconds * (misses + 1) * 1000
            found.setsockopt(socket.IPPROTO_TCP, _UNACKNOWLEDGED, most)
    except OSError:
        return False
    return True


class _Hasty(asyncio.Protocol):
    """Acknowledges at once: sshd's small packets each wait for it, and 40 ms when it is held back."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner
        self.transport: asyncio.Transport | None = None
        self._socket: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]  # loops hand over a Transport
        self._socket = transport.get_extra_info("socket")
        self._hurry()
        self.inner.connection_made(transport)

    def _hurry(self) -> None:
        # The system falls back by itself, so it is said again with each packet.
        if _QUICK is not None and self._socket is not None:
            self._socket.setsockopt(socket.IPPROTO_TCP, _QUICK, 1)

    def data_received(self, data: bytes) -> None:
        self._hurry()
        self.inner.data_received(data)

    def eof_received(self) -> None:
        self.inner.eof_received()

    def pause_writing(self) -> None:
        self.inner.pause_writing()

    def resume_writing(self) -> None:
        self.inner.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._socket = None
        self.inner.connection_lost(exc)
