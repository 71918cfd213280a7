"""Frames out, as bytes: one function for each that a client sends."""

import struct
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

from dts_core.brokers.base import Message
from dts_core.brokers.rabbitmq.framing import spec
from dts_core.brokers.rabbitmq.framing.contents import properties_bytes
from dts_core.brokers.rabbitmq.framing.fields import long_bytes, short_text, table
from dts_core.errors import TooLarge

CHANNEL: Final = 1
"""The one channel of a connection of our own."""

_FRAME: Final = struct.Struct(">BHI")
_NUMBER: Final = struct.Struct(">I")
_END: Final = bytes((spec.FRAME_END,))
_HEADER: Final = struct.Struct(">BHIHHQ")
_HEADER_FIELDS: Final = 12
_ACK: Final = struct.Struct(">BHIIQBB")
_ACK_SIZE: Final = 13
_MANDATORY: Final = 1

HEARTBEAT: Final = _FRAME.pack(spec.FRAME_HEARTBEAT, 0, 0) + _END


def method(channel: int, number: int, args: bytes = b"") -> bytes:
    """A method frame."""
    return b"".join(
        (
            _FRAME.pack(spec.FRAME_METHOD, channel, len(args) + 4),
            _NUMBER.pack(number),
            args,
            _END,
        )
    )


# --- connection


def start_ok(client: Mapping[str, Any], mechanism: str, response: bytes) -> bytes:
    """Who we are, and the proof of it."""
    args = (table(client), short_text(mechanism), long_bytes(response), short_text("en_US"))
    return method(0, spec.CONNECTION_START_OK, b"".join(args))


def tune_ok(frame_max: int, heartbeat_seconds: int) -> bytes:
    """What was agreed upon; one channel is all that is asked for."""
    args = struct.pack(">HIH", CHANNEL, frame_max, heartbeat_seconds)
    return method(0, spec.CONNECTION_TUNE_OK, args)


def open_vhost(vhost: str) -> bytes:
    """Open the virtual host."""
    return method(0, spec.CONNECTION_OPEN, short_text(vhost) + b"\0\0")


def close_connection(reason: str = "") -> bytes:
    """Good-bye; an empty reason is a good end, another one accuses the peer of bad frames (501)."""
    code = 501 if reason else spec.REPLY_SUCCESS
    args = struct.pack(">H", code) + short_text(reason[:60]) + b"\0\0\0\0"
    return method(0, spec.CONNECTION_CLOSE, args)


# --- channel


def qos(prefetch: int) -> bytes:
    """Bound the unacked deliveries of every consumer that starts from now on."""
    return method(CHANNEL, spec.BASIC_QOS, struct.pack(">IHB", 0, prefetch, 0))


def consume(queue: str, consumer_tag: str, *, no_ack: bool, exclusive: bool) -> bytes:
    """Start a consumer."""
    bits = no_ack << 1 | exclusive << 2
    args = (b"\0\0", short_text(queue), short_text(consumer_tag), bytes((bits,)), table({}))
    return method(CHANNEL, spec.BASIC_CONSUME, b"".join(args))


def cancel(consumer_tag: str) -> bytes:
    """End a consumer."""
    return method(CHANNEL, spec.BASIC_CANCEL, short_text(consumer_tag) + b"\0")


# --- messages, on whichever channel


def ack(channel: int, tag: int, *, multiple: bool) -> bytes:
    """One basic.ack."""
    return _ACK.pack(
        spec.FRAME_METHOD, channel, _ACK_SIZE, spec.BASIC_ACK, tag, multiple, spec.FRAME_END
    )


def nack(channel: int, tag: int, *, requeue: bool, multiple: bool) -> bytes:
    """One basic.nack."""
    bits = multiple | requeue << 1
    return _ACK.pack(
        spec.FRAME_METHOD, channel, _ACK_SIZE, spec.BASIC_NACK, tag, bits, spec.FRAME_END
    )


@lru_cache(maxsize=1024)
def _route(channel: int, exchange: str, routing_key: str, mandatory: bool) -> bytes:
    """The publish frame, which is the same for all messages of one route, up to the content header."""
    bits = _MANDATORY if mandatory else 0
    args = b"\0\0" + short_text(exchange) + short_text(routing_key) + bytes((bits,))
    return method(channel, spec.BASIC_PUBLISH, args)


def publish(
    channel: int,
    exchange: str,
    routing_key: str,
    message: Message,
    *,
    persistent: bool,
    mandatory: bool,
    frame_max: int,
) -> bytes:
    """All frames of one message.

    Raises:
        CodecError: A name or a property that AMQP cannot carry.
        TooLarge: The body is above BODY_MAX, or the headers do not fit into a frame.
    """
    body = message.body
    size = len(body)
    if size > spec.BODY_MAX:
        raise TooLarge(f"a body of {size} bytes; at most {spec.BODY_MAX} are sent.")
    properties = properties_bytes(message, persistent=persistent)
    room = frame_max - spec.FRAME_OVERHEAD
    if len(properties) + _HEADER_FIELDS > room:
        raise TooLarge(f"headers of {len(properties)} bytes; a frame holds {room}.")
    parts = [
        _route(channel, exchange, routing_key, mandatory),
        _HEADER.pack(
            spec.FRAME_HEADER, channel, len(properties) + _HEADER_FIELDS, spec.BASIC, 0, size
        ),
        properties,
        _END,
    ]
    if size <= room:
        if size:
            parts += (_FRAME.pack(spec.FRAME_BODY, channel, size), body, _END)
    else:
        for at in range(0, size, room):
            piece = body[at : at + room]
            parts += (_FRAME.pack(spec.FRAME_BODY, channel, len(piece)), piece, _END)
    return b"".join(parts)
