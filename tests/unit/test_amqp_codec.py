"""Our own AMQP framing as bytes: what goes out comes in again, in whatever pieces, and rubbish is refused."""

import itertools
import struct
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pamqp import decode as pamqp_decode
from pamqp import encode as pamqp_encode
from pamqp import frame as pamqp_frame

from dts_core.brokers.base import Message
from dts_core.brokers.rabbitmq.framing import spec, writing
from dts_core.brokers.rabbitmq.framing.contents import properties_bytes, read_properties
from dts_core.brokers.rabbitmq.framing.fields import Fields, table
from dts_core.brokers.rabbitmq.framing.incoming import Batch
from dts_core.brokers.rabbitmq.framing.parser import Parser
from dts_core.errors import CodecError, TooLarge
from tests.support import amqp

SHORT = st.text(st.characters(codec="utf-8"), max_size=40)
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-(1 << 63), (1 << 63) - 1)
    | st.floats(allow_nan=False)
    | st.text(st.characters(codec="utf-8"), max_size=20)
    | st.integers(0, (1 << 32) - 1).map(lambda seconds: datetime.fromtimestamp(seconds, UTC))
    | st.decimals(-1000, 1000, places=3)
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(SHORT, inner, max_size=3),
    max_leaves=12,
)
HEADERS = st.dictionaries(SHORT.filter(lambda name: not name.startswith("x-d")), VALUES, max_size=4)
MESSAGES = st.builds(
    Message,
    st.binary(max_size=300),
    type=SHORT, message_id=SHORT, correlation_id=SHORT, reply_to=SHORT,
    priority=st.integers(0, 9),
    timestamp=st.just(0.0) | st.floats(1, 4e9) | st.integers(1, 1 << 40).map(float),
    app_id=SHORT, content_type=SHORT, content_encoding=SHORT, headers=HEADERS, user_id=SHORT,
)  # fmt: skip


def delivery(message: Message, tag: int = 1, *, piece: int = 64, key: str = "q") -> bytes:
    """A message as the broker would hand it over, its body in pieces."""
    properties = properties_bytes(message, persistent=True)
    return amqp.deliver("c", tag, message.body, properties=properties, piece=piece, key=key)


def chopped(data: bytes, cuts: list[int]) -> list[bytes]:
    """The stream in pieces."""
    places = sorted({cut % (len(data) + 1) for cut in cuts} | {0, len(data)})
    return [data[one:two] for one, two in itertools.pairwise(places)]


def told(batches: list[Batch]) -> tuple[list[Any], list[Any], list[Any]]:
    """Deliveries, methods and unreadable ones of several reads together."""
    return (
        [(tag, each) for batch in batches for tag, found in batch.deliveries.items() for each in found],
        [method for batch in batches for method in batch.methods],
        [lost for batch in batches for lost in batch.unreadable],
    )  # fmt: skip


@given(MESSAGES)
def test_a_message_comes_back_as_it_went(message: Message) -> None:
    """Every property survives the content header, the exact time and nested headers too."""
    data = properties_bytes(message, persistent=True)
    again = Message(message.body, *read_properties(data, 0, len(data)))
    assert again == message
    padded = b"??" + data + b"\xff" * 9  # bounds are exact wherever it lies
    assert read_properties(padded, 2, 2 + len(data)) == read_properties(data, 0, len(data))


@given(MESSAGES, st.booleans(), st.booleans())
def test_a_publication_is_what_pamqp_reads(
    message: Message, persistent: bool, mandatory: bool
) -> None:
    """An implementation that is not ours reads the same from our frames."""
    data = writing.publish(
        1, "ex", "key", message, persistent=persistent, mandatory=mandatory, frame_max=4096
    )
    frames: list[Any] = []
    while data:
        used, channel, value = pamqp_frame.unmarshal(data)
        assert channel == 1
        frames.append(value)
        data = data[used:]
    method, header, *bodies = frames
    assert (method.exchange, method.routing_key, method.mandatory) == ("ex", "key", mandatory)
    found = header.properties
    assert header.body_size == len(message.body)
    assert b"".join(body.value for body in bodies) == message.body
    assert found.delivery_mode == (2 if persistent else 1)
    assert (found.message_id or "", found.message_type or "") == (message.message_id, message.type)
    assert (found.correlation_id or "", found.user_id or "") == (
        message.correlation_id, message.user_id,
    )  # fmt: skip
    assert {
        name: value for name, value in (found.headers or {}).items() if name != "x-dts-timestamp"
    } == message.headers


@given(st.dictionaries(SHORT, VALUES, max_size=5))
def test_tables_are_those_of_pamqp(values: dict[str, Any]) -> None:
    """Both read the same from our bytes; and we read what it writes."""
    data = table(values)
    assert Fields(data).table() == values
    assert pamqp_decode.field_table(data)[1] == values
    theirs: dict[str, Any] = {
        name: value for name, value in values.items() if isinstance(value, str | int)
    }
    assert Fields(pamqp_encode.field_table(theirs)).table() == theirs


@given(st.lists(MESSAGES, min_size=1, max_size=4), st.lists(st.integers(0, 1 << 16), max_size=12))
def test_pieces_of_the_stream_make_no_difference(messages: list[Message], cuts: list[int]) -> None:
    """However a stream is cut into reads, the same deliveries and methods come out, in order."""
    stream = b"".join(
        delivery(message, number)
        + writing.HEARTBEAT
        + amqp.confirm(spec.BASIC_ACK, number)
        + amqp.returned("k", message_id=str(number))
        for number, message in enumerate(messages, 1)
    )
    whole = told([Parser().feed(stream)])
    parser = Parser()
    assert told([parser.feed(piece) for piece in chopped(stream, cuts)]) == whole
    assert parser.is_clean
    deliveries, methods, _ = whole
    assert [(each.tag, each.message) for _, each in deliveries] == list(enumerate(messages, 1))
    assert [method.id for method in methods] == [spec.BASIC_ACK, spec.BASIC_RETURN] * len(messages)
    assert [method.message_id for method in methods[1::2]] == [
        str(number) for number in range(1, len(messages) + 1)
    ]


def test_one_byte_at_a_time() -> None:
    """The slowest stream of all gives the same, and nothing piles up."""
    stream = delivery(Message(b"x" * 300, message_id="m"))
    parser = Parser()
    batches = [parser.feed(stream[at : at + 1]) for at in range(len(stream))]
    assert [each.message.body for _, each in told(batches)[0]] == [b"x" * 300]


@given(st.binary(max_size=400), st.lists(st.integers(0, 400), max_size=4))
def test_rubbish_raises_one_error_alone(rubbish: bytes, cuts: list[int]) -> None:
    """Bytes of any kind are taken, waited on, or refused with CodecError, and refused for good."""
    feed_until_refused(Parser(), chopped(rubbish, cuts))


@given(MESSAGES, st.data())
def test_a_damaged_stream_raises_one_error_alone(message: Message, data: st.DataObject) -> None:
    """One wrong byte anywhere in a good stream is read as something else, or refused with CodecError."""
    stream = bytearray(delivery(message) + amqp.start() + amqp.confirm(spec.BASIC_ACK, 1))
    for _ in range(data.draw(st.integers(1, 3))):
        stream[data.draw(st.integers(0, len(stream) - 1))] = data.draw(st.integers(0, 255))
    feed_until_refused(Parser(), [bytes(stream)])


@given(st.binary(max_size=200))
def test_rubbish_for_properties_and_tables(rubbish: bytes) -> None:
    """Properties and tables are read within their bounds or refused with CodecError."""
    for read in (
        lambda: read_properties(rubbish + b"\xce", 0, len(rubbish)),
        lambda: Fields(rubbish + b"\xce", 0, len(rubbish)).table(),
    ):
        try:
            read()
        except CodecError:
            continue


def feed_until_refused(parser: Parser, pieces: list[bytes]) -> None:
    """Feed; after a refusal every further read is refused too."""
    refused = False
    for piece in [*pieces, b"more"]:
        try:
            parser.feed(piece)
        except CodecError:
            refused = True
        else:
            assert not refused


@pytest.mark.parametrize(
    "stream",
    [
        struct.pack(">BHI", 1, 0, spec.FRAME_MAX),
        struct.pack(">BHI", 3, 1, 0xFFFFFFFF),
        amqp.frame(9, 0, b"") + b"?",
        amqp.frame(8, 1, b"") + b"?",
        amqp.frame(8, 0, b"x") + b"?",
        amqp.frame(1, 0, b"\0\x0a\0"),
        amqp.frame(1, 2, struct.pack(">I", spec.BASIC_ACK)),
        amqp.frame(2, 1, struct.pack(">HHQH", 60, 0, 0, 0)),
        amqp.frame(3, 1, b"body"),
        amqp.frame(1, 0, struct.pack(">I", spec.CONNECTION_START))[:-1] + b"\0",
        amqp.deliver("c", 1, b"12345", size=4),
        amqp.deliver("c", 1, b"123", size=4) + amqp.deliver("c", 2, b""),
        amqp.deliver("", 1, b""),
        amqp.deliver("c", 1, b"").replace(b"\0\x3c\0\0" + b"\0" * 8, b"\0\x3d\0\0" + b"\0" * 8),
        amqp.frame(1, 1, struct.pack(">I", spec.BASIC_DELIVER) + b"\x01c" + b"\0" * 9 + b"\0\x09q"),
        amqp.frame(1, 1, struct.pack(">I", spec.BASIC_DELIVER) + b"\xff"),
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        spec.GREETING,
    ],
    ids=range(18),
)  # fmt: skip
def test_what_is_no_amqp_is_refused(stream: bytes) -> None:
    """Frames above the bound, of unknown kinds, on other channels, out of order or with wrong ends."""
    parser = Parser()
    with pytest.raises(CodecError):
        parser.feed(stream)
    with pytest.raises(CodecError):
        parser.feed(b"")


@pytest.mark.parametrize(
    "properties",
    [b"\x80\0\x05abc", b"\0\x01", struct.pack(">H", spec.HAS_HEADERS) + b"\0\0\0\x05\x01aZ12", b"\0\0\0"],
)  # fmt: skip
def test_what_a_publisher_broke_costs_its_message_alone(properties: bytes) -> None:
    """Broken properties make one delivery unreadable; those around it are handed over."""
    stream = (
        delivery(Message(b"one"), 1)
        + amqp.deliver("c", 2, b"two" * 50, properties=properties, piece=40)
        + delivery(Message(b"three"), 3)
    )
    deliveries, _, unreadable = told([Parser().feed(stream)])
    assert [each.tag for _, each in deliveries] == [1, 3]
    assert [(lost.consumer_tag, lost.tag) for lost in unreadable] == [("c", 2)]


def test_a_body_above_the_bound_is_skipped() -> None:
    """It costs no memory and ends as unreadable; the next delivery is handed over."""
    parser = Parser(message_max=1000)
    stream = amqp.deliver("c", 1, b"x" * 1001, piece=100) + delivery(Message(b"y" * 1000), 2)
    deliveries, _, unreadable = told([parser.feed(piece) for piece in chopped(stream, [500, 900])])
    assert [each.tag for _, each in deliveries] == [2]
    assert "1001 bytes" in unreadable[0].reason


def test_frames_are_bounded_as_agreed() -> None:
    """A frame of exactly the agreed size passes; one byte more is refused before it is taken in."""
    room = 4096 - spec.FRAME_OVERHEAD
    stream = amqp.deliver("c", 1, b"x" * room, piece=room)
    assert told([Parser(frame_max=4096).feed(stream)])[0]
    with pytest.raises(CodecError):
        Parser(frame_max=4096).feed(amqp.deliver("c", 1, b"x" * (room + 1), piece=room + 1))


@pytest.mark.parametrize("size", [0, 1, 4088, 4089, 8176, 8177])
def test_a_body_is_cut_at_the_frame_bound(size: int) -> None:
    """No frame goes out above what was agreed, and no empty one."""
    data = writing.publish(
        1, "", "q", Message(b"x" * size), persistent=True, mandatory=True, frame_max=4096
    )
    sizes, at, found = [], 0, 0
    while at < len(data):
        kind, _, length = struct.unpack_from(">BHI", data, at)
        sizes.append(length + spec.FRAME_OVERHEAD)
        found += length if kind == spec.FRAME_BODY else 0
        assert kind != spec.FRAME_BODY or length
        at += length + spec.FRAME_OVERHEAD
    assert found == size
    assert max(sizes) <= 4096


def nested(depth: int) -> dict[str, Any]:
    """A table in a table in a table."""
    return {"a": nested(depth - 1)} if depth > 1 else {}


@pytest.mark.parametrize(
    "message",
    [
        Message(b"", headers=nested(spec.DEPTH_MAX + 1)),
        Message(b"", headers={"a": [[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]}),
        Message(b"", headers={"a": object()}),
        Message(b"", headers={"a": 1 << 63}),
        Message(b"", headers={"a" * 256: 1}),
        Message(b"", headers={"a": "\ud800"}),
        Message(b"", headers={"a": Decimal("1e40")}),
        Message(b"", headers={"a": datetime(1960, 1, 1, tzinfo=UTC)}),
        Message(b"", message_id="m" * 256),
        Message(b"", type="\ud800"),
        Message(b"", timestamp=float("inf")),
    ],
    ids=range(11),
)  # fmt: skip
def test_what_amqp_cannot_carry_is_refused(message: Message) -> None:
    """Nothing is cut or bent in silence: the publisher hears of it."""
    with pytest.raises(CodecError):
        properties_bytes(message, persistent=False)


def test_the_deepest_table_passes_both_ways() -> None:
    """The bound on depth is the same out and in."""
    values = nested(spec.DEPTH_MAX)
    assert Fields(table(values)).table() == values
    deeper = struct.pack(">I", len(table(values)) + 3) + b"\x01aF" + table(values)
    with pytest.raises(CodecError):
        Fields(deeper).table()


def test_too_large_is_said_before_anything_is_sent() -> None:
    """A body above the bound of messages, and headers above that of frames."""
    with pytest.raises(TooLarge):
        writing.publish(
            1, "", "q", Message(bytes(spec.BODY_MAX + 1)),
            persistent=True, mandatory=True, frame_max=spec.FRAME_MAX,
        )  # fmt: skip
    with pytest.raises(TooLarge):
        writing.publish(
            1, "", "q", Message(b"", headers={"a": "x" * 5000}),
            persistent=True, mandatory=True, frame_max=4096,
        )  # fmt: skip
