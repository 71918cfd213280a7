"""The HTTP server as one task among others: no signal handlers, no loop, no log of its own."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from typing import Any, Final

import uvicorn

from dts_core.cli.http_protocol import BoundedProtocol
from dts_core.cli.ws_protocol import BoundedWebSocket
from dts_core.settings import ServerSettings
from dts_core.views.shell import MESSAGE_MAX

__all__ = ["HttpServer"]

DRAIN_SECONDS: Final = 2
"""How long open requests may take once the server stops; streams and long polls are cut then."""
KEEP_ALIVE_SECONDS: Final = 75
BACKLOG: Final = 1024
TICKS_A_SECOND: Final = 10
"""Of the server; each tenth brings its headers up to date."""


class _Server(uvicorn.Server):
    """Leaves signals to whoever runs it, and tells when it takes requests."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = asyncio.Event()
        self.stopping = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Open the listeners."""
        await super().startup(sockets)
        self.ready.set()

    async def main_loop(self) -> None:
        """Keep the Date header right, once a second and not ten times, until it is stopped."""
        counter = 0
        while not await self.on_tick(counter):
            counter += TICKS_A_SECOND
            self._sweep()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1.0):
                    await self.stopping.wait()

    def _sweep(self) -> None:
        now = asyncio.get_running_loop().time()
        for connection in list(self.server_state.connections):
            if isinstance(connection, BoundedProtocol | BoundedWebSocket):
                connection.sweep(now)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield


class HttpServer:
    """Serves an ASGI app on a socket that listens already. `run` ends after `stop`."""

    def __init__(self, app: Any, listener: socket.socket, settings: ServerSettings) -> None:
        self._listener = listener
        self._server = _Server(
            uvicorn.Config(
                app,
                http=BoundedProtocol,
                ws=BoundedWebSocket,
                ws_max_size=MESSAGE_MAX,
                ws_per_message_deflate=False,
                ws_ping_interval=None,  # each side of a shell says itself that it is there
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                backlog=BACKLOG,
                ssl_certfile=settings.tls_cert or None,
                ssl_keyfile=settings.tls_key or None,
                timeout_keep_alive=KEEP_ALIVE_SECONDS,
                timeout_graceful_shutdown=DRAIN_SECONDS,
            )
        )

    async def run(self) -> None:
        """Serve until `stop`."""
        await self._server.serve(sockets=[self._listener])

    async def started(self) -> None:
        """Wait until requests are taken."""
        await self._server.ready.wait()

    def stop(self) -> None:
        """Take no more, let open requests finish for DRAIN_SECONDS. A second call does nothing."""
        self._server.should_exit = True
        self._server.stopping.set()
