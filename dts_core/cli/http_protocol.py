"""The HTTP protocol with the bounds that uvicorn's own one lacks: size and time of a request, number of connections."""

import asyncio
from http import HTTPStatus
from typing import Any, Final

import msgspec
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from dts_core.views import Problem

HEAD_MAX: Final = 32 << 10
"""Most bytes of a request's line and headers."""
HEAD_SECONDS: Final = 15.0
"""How long a request's head may take, counted from the connection or its first byte."""
BODY_SECONDS: Final = 120.0
"""How long a whole request may take to arrive."""
WRITE_SECONDS: Final = 60.0
"""How long a client may leave an answer unread."""
CONNECTIONS_MAX: Final = 2_000


def connections_max() -> int:
    """How many connections this process may have: half of its descriptors are for everything else."""
    try:
        import resource
    except ImportError:  # no such limit on this system
        return CONNECTIONS_MAX
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return CONNECTIONS_MAX if soft == resource.RLIM_INFINITY else min(CONNECTIONS_MAX, soft // 2)


class BoundedProtocol(HttpToolsProtocol):
    """One connection. `sweep` is to be called about once a second."""

    connections_max = connections_max()
    """Of the process; with more, the connection that waits for its next request for longest makes room."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Begin; at the bound, at the cost of one that is idle, or not at all."""
        self._since: float | None = self.loop.time()
        self._unread_since: float | None = None
        self._idle_since = self._since
        self._in_head = True
        self._head = 0
        super().connection_made(transport)
        if len(self.connections) > self.connections_max:
            self._make_room()

    def _make_room(self) -> None:
        others = [
            each
            for each in self.connections
            if isinstance(each, BoundedProtocol) and each is not self and each.is_idle
        ]
        loser = min(others, key=lambda each: each._idle_since, default=self)
        loser.transport.abort()

    @property
    def is_idle(self) -> bool:
        """Whether no request is being served."""
        cycle: Any = self.cycle  # None before the first request
        return cycle is None or bool(cycle.response_complete)

    def data_received(self, data: bytes) -> None:
        """Feed the parser; a head that is too large ends the connection."""
        if self._since is None and self.is_idle:
            self._since = self.loop.time()
        super().data_received(data)
        if self._in_head and self._since is not None:
            self._head += len(data)
            if self._head > HEAD_MAX:
                self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)

    def on_message_begin(self) -> None:
        """A request begins."""
        self._since = self.loop.time()
        self._in_head = True
        self._head = 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Its head is here."""
        size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
        if size > HEAD_MAX:
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        if self.transport.is_closing():  # what a refused client sends on is not answered
            return
        self._in_head = False
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """A part of its body is here."""
        if not self.transport.is_closing():
            super().on_body(body)

    def on_message_complete(self) -> None:
        """All of it is here."""
        if not self.transport.is_closing():
            self._since = None
            self._in_head = True  # the next one's
            self._head = 0
            super().on_message_complete()

    def on_response_complete(self) -> None:
        """It is answered."""
        self._idle_since = self.loop.time()
        super().on_response_complete()

    def pause_writing(self) -> None:
        """The client does not read as fast as we write."""
        self._unread_since = self.loop.time()
        super().pause_writing()

    def resume_writing(self) -> None:
        """It has read on."""
        self._unread_since = None
        super().resume_writing()

    def sweep(self, now: float) -> None:
        """End the connection when its client takes too long.

        Args:
            now: By the loop's clock.
        """
        if self._unread_since is not None and now - self._unread_since > WRITE_SECONDS:
            self.transport.abort()
            return
        if self._since is None:
            return
        if self.pipeline or (self._in_head and not self.is_idle):
            self._since = now  # it waits for us
        elif now - self._since > (HEAD_SECONDS if self._in_head else BODY_SECONDS):
            self._refuse(HTTPStatus.REQUEST_TIMEOUT)

    def send_400_response(self, msg: str) -> None:
        """What is no HTTP is refused as everything else is."""
        del msg
        self._refuse(HTTPStatus.BAD_REQUEST)

    def _refuse(self, status: HTTPStatus) -> None:
        """Answer with a problem where no other answer has begun, and close."""
        if self.transport.is_closing():
            return
        if self._in_head and self.is_idle:
            self.transport.write(_answer(status))
        self.transport.close()


_DETAILS: Final = {
    HTTPStatus.BAD_REQUEST: ("this is no HTTP request.", "Send HTTP/1.1."),
    HTTPStatus.REQUEST_TIMEOUT: ("the request did not arrive in time.", "Send it again."),
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE: (
        f"the address and headers are longer than {HEAD_MAX} bytes.",
        "Send less.",
    ),
}


def _answer(status: HTTPStatus) -> bytes:
    detail, advice = _DETAILS[status]
    problem: Any = Problem(
        title=status.phrase, status=status, detail=detail, advice=advice, code="bad_request"
    )
    body = msgspec.json.encode(problem)
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}\r\ncontent-type: application/problem+json\r\n"
        f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
    )
    return head.encode("ascii") + body
