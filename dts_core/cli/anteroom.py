"""What a server answers while it waits for its store or broker: that it lives, and what it waits for."""

import asyncio
import logging
import socket
from typing import Any, Final

import msgspec

from dts_core.cli.http import HttpServer
from dts_core.settings import ServerSettings
from dts_core.text import one_line
from dts_core.views import Problem

__all__ = ["Anteroom"]

LIVE: Final = "/health/live"
ADVICE: Final = "It goes on by itself once that is there; see its log."
_log = logging.getLogger(__name__)


class Anteroom:
    """Serves on a server's own socket from the first `tell` until `aclose`.

    Args:
        listener: Listens already; stays open.
        settings: `[server]`.
    """

    def __init__(self, listener: socket.socket, settings: ServerSettings) -> None:
        self._listener = listener
        self._settings = settings
        self._words = ""
        self._own: socket.socket | None = None
        self._http: HttpServer | None = None
        self._serving: asyncio.Task[None] | None = None

    def tell(self, words: str) -> None:
        """Say from now on what is waited for."""
        self._words = one_line(words).rstrip(".")
        if self._serving is None:
            self._own = self._listener.dup()  # a server closes the socket that it was given
            self._http = HttpServer(self, self._own, self._settings)
            self._serving = asyncio.get_running_loop().create_task(
                self._http.run(), name="anteroom"
            )
            self._serving.add_done_callback(_report)

    async def aclose(self) -> None:
        """Answer nobody any more. A second call does nothing."""
        if self._serving is not None and self._http is not None:
            if not self._serving.done():
                await asyncio.wait(
                    (self._serving, asyncio.ensure_future(self._http.started())),
                    return_when=asyncio.FIRST_COMPLETED,
                )
            self._http.stop()
            await asyncio.wait((self._serving,))
        if self._own is not None:
            self._own.close()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request (ASGI)."""
        is_live = scope["path"] == LIVE
        status, kind, body = 200, b"application/json", msgspec.json.encode({"status": "up"})
        if not is_live:
            status, kind, body = 503, b"application/problem+json", msgspec.json.encode(self._told())
        headers = [(b"content-type", kind), (b"content-length", str(len(body)).encode())]
        if not is_live:
            headers.append((b"retry-after", b"1"))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def _told(self) -> Problem:
        return Problem(
            title="Service Unavailable",
            status=503,
            detail=f"the server starts, and is {self._words}.",
            code="starting",
            advice=ADVICE,
        )


def _report(serving: "asyncio.Task[None]") -> None:
    if not serving.cancelled() and (error := serving.exception()) is not None:
        _log.warning("nobody is told what the server waits for: %s", error)
