"""The parted stream of aio-pika's connection: whose each frame is, however it is cut, and what the driver is told."""

import asyncio
import itertools
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pamqp import frame as pamqp_frame

from dts_core.brokers.rabbitmq import stream as parting
from dts_core.brokers.rabbitmq.framing import fields, spec, writing
from dts_core.brokers.rabbitmq.framing.incoming import Batch, Method
from dts_core.brokers.rabbitmq.stream import Stream
from dts_core.errors import CodecError
from tests.support import amqp

STILL = asyncio.new_event_loop()
STILL.close()


class Plane:
    """Keeps what it hears."""

    def __init__(self) -> None:
        self.tags: list[int] = []
        self.methods: list[int] = []

    def on_deliveries(self, batch: Batch) -> None:
        self.tags += [each.tag for found in batch.deliveries.values() for each in found]

    def on_method(self, method: Method) -> None:
        self.methods.append(method.id)

    def on_end(self, reason: str) -> None:
        raise AssertionError(reason)


class Reader(asyncio.StreamReader):
    """The driver's; keeps what it is fed."""

    def __init__(self) -> None:
        super().__init__(loop=STILL)
        self.fed: list[bytes] = []

    def feed_data(self, data: bytes) -> None:  # type: ignore[override]
        self.fed.append(bytes(data))


class Clock:
    """A loop of which only the time is asked, and what is called soon."""

    def __init__(self) -> None:
        self.now = 0.0
        self.soon: list[Any] = []

    def time(self) -> float:
        return self.now

    def call_soon(self, call: Any, *args: Any) -> None:
        self.soon.append(call)

    def get_debug(self) -> bool:
        return False

    def create_future(self) -> "asyncio.Future[Any]":
        return STILL.create_future()


class Transport:
    """Keeps what is written."""

    def __init__(self) -> None:
        self.written: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def is_closing(self) -> bool:
        return False

    def set_write_buffer_limits(self, high: int) -> None:
        pass

    def get_extra_info(self, name: str) -> None:
        return None


def opened() -> tuple[Stream, Reader, Clock]:
    reader, clock = Reader(), Clock()
    return Stream(reader, clock), reader, clock  # type: ignore[arg-type]


def on_channel(number: int, frames: bytes) -> bytes:
    """The same frames on another channel."""
    out, at = b"", 0
    while at < len(frames):
        kind, _, length = struct.unpack_from(">BHI", frames, at)
        end = at + length + spec.FRAME_OVERHEAD
        out += struct.pack(">BHI", kind, number, length) + frames[at + 7 : end]
        at = end
    return out


DECLARED = writing.method(1, 50 << 16 | 11, fields.short_text("q") + b"\0" * 8)
CONSUMING = on_channel(2, writing.method(1, spec.BASIC_CONSUME_OK, fields.short_text("c")))
CLOSED = on_channel(3, amqp.close(spec.CHANNEL_CLOSE, 404, "no"))


@given(st.lists(st.integers(0, 1 << 16), max_size=12))
def test_each_frame_reaches_whose_it_is(cuts: list[int]) -> None:
    """Messages and confirms of carried channels go to their planes, everything else to the driver; an end to both."""
    stream, reader, _ = opened()
    two, three = Plane(), Plane()
    stream.carry(2, two)
    stream.carry(3, three)
    foreign = amqp.deliver("x", 9, b"the driver's own")  # on channel 1
    data = b"".join(
        (
            DECLARED, CONSUMING, on_channel(2, amqp.deliver("c", 1, b"x" * 50, piece=20)),
            writing.HEARTBEAT, on_channel(3, amqp.deliver("c", 7, b"")), foreign,
            on_channel(2, amqp.confirm(spec.BASIC_ACK, 1)), on_channel(3, amqp.returned("q", message_id="m")),
            on_channel(2, amqp.deliver("c", 2, b"y")), CLOSED,
        )
    )  # fmt: skip
    places = sorted({cut % len(data) for cut in cuts} | {0, len(data)})
    for one, end in itertools.pairwise(places):
        stream.data_received(data[one:end])
    assert (two.tags, two.methods) == ([1, 2], [spec.BASIC_ACK])
    assert (three.tags, three.methods) == ([7], [spec.BASIC_RETURN, spec.CHANNEL_CLOSE])
    assert b"".join(reader.fed) == DECLARED + CONSUMING + writing.HEARTBEAT + foreign + CLOSED
    for fed in reader.fed:  # whole frames alone, so that one of ours may lie between two of them
        rest = fed
        while rest:
            used, _, _ = pamqp_frame.unmarshal(rest)
            rest = rest[used:]


def test_a_stream_of_messages_alone_is_no_silence() -> None:
    """RabbitMQ beats no heart while it sends: the driver, which sees none of that, is told, and not too often."""
    stream, reader, clock = opened()
    one = on_channel(2, amqp.deliver("c", 1, b"x"))
    clock.now = 5 * parting.BEAT_SECONDS
    stream.data_received(one)
    assert reader.fed == [one]  # nobody carries it: the driver's
    stream.carry(2, Plane())
    clock.now += parting.BEAT_SECONDS / 2
    stream.data_received(one)
    assert len(reader.fed) == 1
    clock.now += parting.BEAT_SECONDS / 2
    stream.data_received(one)
    stream.data_received(one)
    assert reader.fed[1:] == [writing.HEARTBEAT]


def test_blocked_shows_and_passes() -> None:
    """The driver hears it too."""
    stream, reader, _ = opened()
    reason = fields.short_text("low on memory")
    stream.data_received(writing.method(0, spec.CONNECTION_BLOCKED, reason))
    assert stream.blocked == "low on memory"
    stream.data_received(writing.method(0, spec.CONNECTION_UNBLOCKED))
    assert stream.blocked == ""
    assert len(reader.fed) == 2


@pytest.mark.parametrize("wrong", ["rubbish", "plane"])
def test_what_is_no_amqp_ends_the_driver(wrong: str) -> None:
    """It reads an error, so that the connection is given up; nothing after it is taken."""

    class Strict(Plane):
        def on_method(self, method: Method) -> None:
            raise CodecError("a confirm of what was never published.")

    stream, reader, _ = opened()
    plane = Strict()
    stream.carry(1, plane)
    bad = b"HTTP/1.1 400 Bad\r\n\r\n" if wrong == "rubbish" else amqp.confirm(spec.BASIC_ACK, 9)
    stream.data_received(bad)
    error = reader.exception()
    assert isinstance(error, ConnectionError)
    stream.data_received(amqp.deliver("c", 1, b"x"))
    assert (plane.tags, reader.fed) == ([], [])


def test_a_number_that_is_used_again() -> None:
    """The end of a former plane takes nothing from the one that has its number now."""
    stream, _, _ = opened()
    former, later = Plane(), Plane()
    stream.carry(1, former)
    stream.carry(1, later)
    stream.drop(1, former)
    stream.data_received(amqp.deliver("c", 1, b"x"))
    assert (former.tags, later.tags) == ([], [1])
    stream.drop(1, later)
    stream.data_received(amqp.deliver("c", 2, b"x"))
    assert later.tags == [1]


def test_what_was_sent_lies_before_the_drivers_next_word() -> None:
    """One write for a turn of the loop; at once when a question is to come behind it."""
    stream, _, clock = opened()
    transport = Transport()
    stream.connection_made(transport)  # type: ignore[arg-type]
    stream.send(b"one")
    stream.send(b"two")
    assert (transport.written, stream.backlog) == ([], 6)
    stream.flush()
    transport.write(b"question")
    stream.send(b"three")
    for call in clock.soon:
        call()
    assert transport.written == [b"onetwo", b"question", b"three"]
    stream.pause_writing()
    stream.send(b"four")
    assert stream.backlog == 4
    stream.resume_writing()
    clock.soon[-1]()
    assert transport.written[-1] == b"four"


@pytest.mark.parametrize(
    ("proposed", "sent", "taken"), [(0, 128, 16384), (64, 64, 128), (1024, 128, 1024)]
)
def test_frames_are_bounded_as_agreed(proposed: int, sent: int, taken: int) -> None:
    """In KiB: we send no larger ones than RabbitMQ's own proposal, and take what the driver has agreed to."""
    stream, _, _ = opened()
    stream.agree(proposed << 10)
    assert (stream.frame_max, stream._sorter.frame_max) == (sent << 10, taken << 10)
