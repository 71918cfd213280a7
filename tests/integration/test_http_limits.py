"""What the HTTP server takes of one connection, and of all of them: raw sockets against a served application."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import msgspec
import pytest

from dts_core.cli import http_protocol
from dts_core.cli.http import HttpServer
from dts_core.cli.http_protocol import HEAD_MAX, BoundedProtocol
from dts_core.settings import ServerSettings
from dts_core.testing import wait_until

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


class App:
    """Answers with the number of body bytes; `/large` with more than a socket takes; `/wait` once `go` is set."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.disconnects = 0
        self.requests = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.requests += 1
        size = 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                self.disconnects += 1
                return
            size += len(message.get("body", b""))
            if not message.get("more_body"):
                break
        if scope["path"] == "/wait":
            await self.go.wait()
        body = b"x" * (50 << 20) if scope["path"] == "/large" else str(size).encode()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": body})


class Served:
    """A served App and its port."""

    def __init__(self, app: App, port: int) -> None:
        self.app, self.port = app, port

    async def open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def ask(self, data: bytes) -> bytes:
        """Everything that comes back on a connection of its own for `data`, until it is closed or answered."""
        reader, writer = await self.open()
        writer.write(data)
        try:
            async with asyncio.timeout(60):
                return await reader.read(65536)
        except ConnectionError:
            return b""
        finally:
            writer.close()


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    listener = socket.create_server(("127.0.0.1", 0))
    app = App()
    server = HttpServer(app, listener, ServerSettings())
    task = asyncio.create_task(server.run())
    await server.started()
    yield Served(app, listener.getsockname()[1])
    app.go.set()
    server.stop()
    await task


async def ended(reader: asyncio.StreamReader) -> bytes:
    """What comes until the server closes."""
    async with asyncio.timeout(60):
        with suppress(ConnectionError):
            return await reader.read()
    return b""


def problem_of(answer: bytes, status: int) -> dict[str, Any]:
    """The problem in a raw answer."""
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status), answer[:200]
    assert b"application/problem+json" in head
    problem: dict[str, Any] = msgspec.json.decode(body)
    assert problem["status"] == status
    assert problem["detail"]
    assert problem["advice"]
    return problem


@pytest.mark.parametrize(
    "head",
    [
        b"GET /" + b"a" * (HEAD_MAX + 1) + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nX: " + b"a" * (HEAD_MAX + 1) + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"X: aaaaaaaaaa\r\n" * (HEAD_MAX // 10) + b"\r\n",
        b"GET / HTTP/1.1\r\nX: " + b"a" * (HEAD_MAX + 1),
        b"GET /" + b"a" * (2 << 20),
    ],
)
async def test_a_flood_of_headers_is_cut(served: Served, head: bytes) -> None:
    """Over the bound, whole or unfinished, nothing is kept or served."""
    answer = await served.ask(head)
    if answer:  # what is sent on after the close resets the connection
        problem_of(answer, 431)
    assert served.app.requests == 0
    assert b"200 OK" in await served.ask(GET)


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 60,
        b"NONSENSE\r\n\r\n",
        b"GET /\xff\xfe HTTP/1.1\r\n\r\n",
        b"GET  HTTP/1.1\r\n\r\n",
        b"CONNECT x:1 HTTP/1.1\r\n\r\n",
        b"GET http:// HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
)
async def test_garbage_is_refused_and_harms_nobody(served: Served, garbage: bytes) -> None:
    """What is no HTTP is a 400 in the form of every refusal, and the next client is served."""
    answer = await served.ask(garbage)
    if answer and b" 200 " not in answer[:20]:
        problem_of(answer, 400)
    assert b"200 OK" in await served.ask(GET)


async def test_garbage_after_a_request_ends_the_connection(served: Served) -> None:
    """Pipelined behind an answered request it is refused; the answer before it arrives."""
    reader, writer = await served.open()
    writer.write(GET + b"\x00\x01garbage\r\n\r\n")
    answer = await ended(reader)
    writer.close()
    assert answer.count(b"HTTP/1.1") <= 2
    assert b"200 OK" in await served.ask(GET)


@pytest.mark.parametrize("sent", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nHo", b"\r\n"])
async def test_a_slow_head_is_cut(
    served: Served, monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    """A client that never says what it wants is not waited for, new or on a kept connection."""
    monkeypatch.setattr(http_protocol, "HEAD_SECONDS", 0.2)
    reader, writer = await served.open()
    writer.write(sent)
    problem_of(await ended(reader), 408)
    writer.close()
    reader, writer = await served.open()
    writer.write(GET)
    assert b"200 OK" in await reader.read(4096)
    if sent:
        writer.write(sent)
        problem_of(await ended(reader), 408)
    writer.close()


async def test_a_slow_body_is_cut(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """A body that drips is not waited for, and its request ends."""
    monkeypatch.setattr(http_protocol, "BODY_SECONDS", 0.2)
    reader, writer = await served.open()
    writer.write(b"POST / HTTP/1.1\r\nContent-Length: 100\r\n\r\nx")
    assert await ended(reader) == b""
    writer.close()
    await wait_until(lambda: served.app.disconnects == 1, what="the request ends")


async def test_who_waits_for_an_answer_is_waited_with(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A long poll, with the next request begun behind it, is no slow client."""
    monkeypatch.setattr(http_protocol, "HEAD_SECONDS", 0.2)
    monkeypatch.setattr(http_protocol, "BODY_SECONDS", 0.2)
    reader, writer = await served.open()
    writer.write(b"GET /wait HTTP/1.1\r\nHost: x\r\n\r\nGET / HT")
    await asyncio.sleep(2.5)  # two sweeps
    served.app.go.set()
    assert b"200 OK" in await reader.read(4096)
    writer.write(b"TP/1.1\r\nHost: x\r\n\r\n")
    assert b"200 OK" in await reader.read(4096)
    writer.close()


async def test_an_unread_answer_is_given_up(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client that asks for much and reads nothing does not keep it in memory for ever."""
    monkeypatch.setattr(http_protocol, "WRITE_SECONDS", 0.2)
    reader, writer = await served.open()
    writer.transport.pause_reading()  # type: ignore[attr-defined]  # of a socket's transport
    writer.write(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
    await asyncio.sleep(2.5)
    writer.transport.resume_reading()  # type: ignore[attr-defined]  # of a socket's transport
    assert len(await ended(reader)) < 50 << 20
    writer.close()


async def test_many_connections_make_room_for_new_ones(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the bound the longest idle connection gives way; one that is being served does not."""
    monkeypatch.setattr(BoundedProtocol, "connections_max", 5)
    busy_reader, busy = await served.open()
    busy.write(b"GET /wait HTTP/1.1\r\nHost: x\r\n\r\n")
    await wait_until(lambda: served.app.requests == 1, what="it is being served")
    others = [await served.open() for _ in range(20)]
    assert b"200 OK" in await served.ask(GET)
    served.app.go.set()
    assert b"200 OK" in await busy_reader.read(4096)
    for _, writer in [*others, (busy_reader, busy)]:
        writer.close()
