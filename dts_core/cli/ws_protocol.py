"""The WebSocket protocol with the bounds that uvicorn's own one lacks: a client that reads nothing is cut off."""

from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from dts_core.cli.http_protocol import WRITE_SECONDS

__all__ = ["BoundedWebSocket"]


class BoundedWebSocket(WebSocketsSansIOProtocol):
    """One connection, from its handshake on, whose head has been read and bounded before. See `sweep`."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._unread_since: float | None = None
        self._ends_since: float | None = None

    async def send(self, message: Any) -> None:
        """As uvicorn's, which takes a refusal that is an answer of its own for a handshake that nobody answered."""
        await super().send(message)
        if message["type"] == "websocket.http.response.body" and not message.get("more_body"):
            self.handshake_complete = True

    def pause_writing(self) -> None:
        """The client does not read as fast as we write."""
        self._unread_since = self.loop.time()
        super().pause_writing()

    def resume_writing(self) -> None:
        """It has read on."""
        self._unread_since = None
        super().resume_writing()

    def handle_ping(self) -> None:
        """Answer; not while the client leaves unread what it has: pings without end would be kept without end."""
        if self._unread_since is None:
            super().handle_ping()
        else:
            self.conn.data_to_send()

    def sweep(self, now: float) -> None:
        """End the connection when its client takes too long: to read, or to hear that it is over.

        Args:
            now: By the loop's clock.
        """
        closing = self.transport.is_closing()
        self._ends_since = (self._ends_since or now) if closing else None
        for since in (self._unread_since, self._ends_since):
            if since is not None and now - since > WRITE_SECONDS:
                self.transport.abort()
