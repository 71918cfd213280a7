"""A broker's side of AMQP 0-9-1 by hand: frames as bytes, and a scripted server for what a real broker never does."""

import asyncio
import struct
from typing import Any

from dts_core.brokers.rabbitmq.framing import fields, spec, writing
from dts_core.brokers.rabbitmq.framing.incoming import Method

CAPABILITIES = {"basic.nack": True, "publisher_confirms": True}


def frame(kind: int, channel: int, payload: bytes) -> bytes:
    """Any frame."""
    return struct.pack(">BHI", kind, channel, len(payload)) + payload + b"\xce"


def start(*, mechanisms: bytes = b"PLAIN AMQPLAIN", capabilities: Any = CAPABILITIES) -> bytes:
    """connection.start."""
    args = b"\0\x09" + fields.table({"product": "fake", "capabilities": capabilities})
    args += fields.long_bytes(mechanisms) + fields.long_bytes(b"en_US")
    return writing.method(0, spec.CONNECTION_START, args)


def tune(*, frame_max: int = spec.FRAME_MAX, heartbeat: int = 60) -> bytes:
    """connection.tune."""
    return writing.method(0, spec.CONNECTION_TUNE, struct.pack(">HIH", 2047, frame_max, heartbeat))


def close(number: int, code: int, text: str, *, cause: int = 0) -> bytes:
    """connection.close or channel.close."""
    channel = 0 if number == spec.CONNECTION_CLOSE else 1
    args = struct.pack(">H", code) + fields.short_text(text) + struct.pack(">I", cause)
    return writing.method(channel, number, args)


def deliver(
    consumer: str, tag: int, body: bytes, *, properties: bytes = b"\0\0", key: str = "q",
    redelivered: bool = False, piece: int = spec.FRAME_MAX - spec.FRAME_OVERHEAD,
    size: int | None = None,
) -> bytes:  # fmt: skip
    """basic.deliver with its content; `size` announces another size than the body's."""
    args = fields.short_text(consumer) + struct.pack(">QB", tag, redelivered)
    args += fields.short_text("") + fields.short_text(key)
    said = len(body) if size is None else size
    out = writing.method(1, spec.BASIC_DELIVER, args)
    out += frame(spec.FRAME_HEADER, 1, struct.pack(">HHQ", 60, 0, said) + properties)
    for at in range(0, len(body), piece):
        out += frame(spec.FRAME_BODY, 1, body[at : at + piece])
    return out


def returned(key: str, *, message_id: str) -> bytes:
    """basic.return of an empty message."""
    args = struct.pack(">H", 312) + fields.short_text("NO_ROUTE")
    args += fields.short_text("") + fields.short_text(key)
    properties = struct.pack(">H", spec.HAS_MESSAGE_ID) + fields.short_text(message_id)
    header = frame(spec.FRAME_HEADER, 1, struct.pack(">HHQ", 60, 0, 0) + properties)
    return writing.method(1, spec.BASIC_RETURN, args) + header


def confirm(number: int, tag: int, *, multiple: bool = False) -> bytes:
    """basic.ack or basic.nack by the broker."""
    return writing.method(1, number, struct.pack(">QB", tag, multiple))


OPENED = {
    spec.CONNECTION_START_OK: tune(),
    spec.CONNECTION_OPEN: writing.method(0, spec.CONNECTION_OPEN_OK, b"\0"),
    spec.CONNECTION_CLOSE: writing.method(0, spec.CONNECTION_CLOSE_OK),
    spec.CHANNEL_OPEN: writing.method(1, spec.CHANNEL_OPEN_OK, b"\0\0\0\0"),
    spec.CONFIRM_SELECT: writing.method(1, spec.CONFIRM_SELECT_OK),
    spec.BASIC_QOS: writing.method(1, spec.BASIC_QOS_OK),
}
"""What a friendly server answers to each method; a test changes a copy of it."""

Answers = dict[int, bytes | None]


class FakeBroker:
    """Answers methods by a table, None: never. One client at a time.

    Attributes:
        got: Methods that came.
        kinds: The kinds of all frames that came.
        is_reading: Cleared: nothing more is read.
        is_gone: Set when the client's socket is over.
    """

    def __init__(self, answers: Answers, *, greeting: bytes) -> None:
        self.answers = answers
        self.greeting = greeting
        self.got: list[Method] = []
        self.kinds: list[int] = []
        self.writer: asyncio.StreamWriter | None = None
        self.is_reading = asyncio.Event()
        self.is_reading.set()
        self.is_gone = asyncio.Event()
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        """Where it listens."""
        assert self._server is not None
        return f"amqp://ann:pass%20word@127.0.0.1:{self._server.sockets[0].getsockname()[1]}/v"

    def ids(self) -> list[int]:
        """The methods that came."""
        return [method.id for method in self.got]

    def send(self, data: bytes) -> None:
        """To the client."""
        assert self.writer is not None
        self.writer.write(data)

    async def __aenter__(self) -> "FakeBroker":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        if self.writer is not None:
            self.writer.transport.abort()
            async with asyncio.timeout(60):
                await self.is_gone.wait()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writer = writer
        try:
            assert await reader.readexactly(8) == spec.GREETING
            writer.write(self.greeting)
            await self._converse(reader, writer)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()
            self.is_gone.set()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await self.is_reading.wait()
            header = await reader.readexactly(7)
            kind, channel, size = struct.unpack(">BHI", header)
            payload = await reader.readexactly(size + 1)
            self.kinds.append(kind)
            if kind != spec.FRAME_METHOD:
                continue
            number = struct.unpack_from(">I", payload)[0]
            self.got.append(Method(channel, number, payload[4:-1]))
            answer = self.answers.get(number)
            if number == spec.BASIC_CONSUME and answer is None and number not in self.answers:
                told = fields.Fields(payload[4:-1])
                told.short()
                told.short_text()
                answer = writing.method(
                    1, spec.BASIC_CONSUME_OK, fields.short_text(told.short_text())
                )
            if answer:
                writer.write(answer)


def fake_broker(changed: Answers | None = None, *, greeting: bytes = b"") -> FakeBroker:
    """A friendly server, with some answers changed."""
    return FakeBroker({**OPENED, **(changed or {})}, greeting=greeting or start())
