"""The codec: what goes in comes out, and no bytes whatever do harm."""

import random
import tracemalloc
import zlib
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dts_core import codec
from dts_core.errors import CodecError, TooLarge
from dts_core.model import (
    Change,
    Changes,
    Control,
    Heartbeat,
    JobError,
    JobMessage,
    JobResult,
    JobResults,
    LogBatch,
    LogRecord,
    Progress,
    ProgressReport,
)
from dts_core.states import JobEvent
from tests.support.other_version import NEWER, OLDER, plain_of, unseen

instants = st.integers(0, 7_000_000_000).map(lambda at: datetime.fromtimestamp(at, UTC))
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
whole = st.integers(0, 2**53)
RECORDS: dict[Any, st.SearchStrategy[Any]] = {
    JobMessage: st.builds(
        JobMessage,
        id=texts,
        function=texts,
        version=texts,
        is_async=st.booleans(),
        args=st.binary(max_size=200),
        kwargs=st.binary(max_size=200),
        attempt=whole,
        timeout_seconds=st.floats(0, 1e9),
    ),
    JobResults: st.builds(
        JobResults,
        host=texts,
        worker=texts,
        results=st.lists(
            st.builds(
                JobResult,
                id=texts,
                epoch=whole,
                event=st.sampled_from(JobEvent),
                result=st.none() | st.binary(max_size=500),
                error=st.none() | st.builds(JobError, type=texts, message=texts),
                started_at=st.none() | instants,
            ),
            max_size=70,
        ),
    ),
    LogBatch: st.builds(
        LogBatch,
        host=texts,
        worker=texts,
        records=st.lists(
            st.builds(LogRecord, at=instants, host=texts, source=texts, level=whole, text=texts),
            max_size=50,
        ),
    ),
    Changes: st.builds(
        Changes, items=st.lists(st.builds(Change, topic=texts, id=texts, position=whole))
    ),
    Heartbeat | ProgressReport: st.builds(
        ProgressReport,
        host=texts,
        worker=texts,
        items=st.lists(st.builds(Progress, id=texts, epoch=whole, fraction=st.floats(0, 1))),
    ),
}
KINDS = [*RECORDS, Heartbeat, Control, dict[str, Any], list[Any]]


@given(st.data())
def test_every_record_comes_back_as_it_went_in(data: st.DataObject) -> None:
    """Round trip, deflated or not, deep or wide."""
    kind = data.draw(st.sampled_from(list(RECORDS)))
    value = data.draw(RECORDS[kind])
    assert codec.decode(codec.encode(value), kind) == value


def test_large_bodies_are_deflated_and_small_ones_are_not() -> None:
    """From the threshold on, and only where it makes them smaller."""
    small = codec.encode(b"a" * 100)
    large = codec.encode(b"a" * 100_000)
    noise = codec.encode(random.Random(1).randbytes(100_000))
    assert (small[1], large[1], noise[1]) == (0, 1, 0)
    assert len(large) < 1_000
    assert codec.decode(large, bytes) == b"a" * 100_000


def test_what_exceeds_the_wire_is_refused_by_its_sender() -> None:
    """A body of at most 1 MiB leaves; a larger one is an error with its size."""
    noise = random.Random(1).randbytes(codec.WIRE_MAX)
    with pytest.raises(TooLarge) as caught:
        codec.encode(noise)
    assert str(codec.WIRE_MAX) in str(caught.value)
    assert len(codec.encode(noise[:-7])) <= codec.WIRE_MAX


def test_a_body_over_the_wire_limit_is_not_even_looked_at() -> None:
    """Its receiver refuses it by its length."""
    with pytest.raises(CodecError, match="exceeds the limit"):
        codec.decode(bytes(codec.WIRE_MAX + 1), bytes)


@given(st.binary(max_size=300), st.sampled_from(KINDS))
def test_no_bytes_do_anything_but_codec_error(body: bytes, kind: Any) -> None:
    """Garbage is refused with one kind of error."""
    decode_or_refuse(body, kind)


@given(st.data())
def test_damaged_bodies_do_nothing_but_codec_error(data: st.DataObject) -> None:
    """Cut, flipped, spliced or continued: refused, or another valid value."""
    kind = data.draw(st.sampled_from(list(RECORDS)))
    body = bytearray(codec.encode(data.draw(RECORDS[kind])))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, max(len(body) - 1, 0)))
        change = data.draw(st.sampled_from(["cut", "flip", "put"]))
        if change == "cut":
            del body[at:]
        elif change == "flip" and body:
            body[at] = data.draw(st.integers(0, 255))
        else:
            body[at:at] = data.draw(st.binary(max_size=20))
    decode_or_refuse(bytes(body), kind)


@given(st.binary(max_size=2000), st.sampled_from(KINDS))
def test_deflated_garbage_does_nothing_but_codec_error(packed: bytes, kind: Any) -> None:
    """A good stream around bad content is bad content."""
    decode_or_refuse(bytes((codec.FORMAT, 1)) + zlib.compress(packed), kind)


def decode_or_refuse(body: bytes, kind: Any) -> None:
    try:
        value = codec.decode(body, kind)
    except CodecError:
        return
    assert value is not None


@pytest.mark.parametrize("cut", [1, 2, 5, 50])
def test_a_truncated_body_is_refused(cut: int) -> None:
    """An end that is missing is never made up, deflated or not."""
    for value in ("x" * 100, "y" * 10_000):
        with pytest.raises(CodecError):
            codec.decode(codec.encode(value)[:-cut], str)


@pytest.mark.parametrize("tail", [b"\x00", b"\xc0", b"more"])
def test_bytes_behind_the_message_are_refused(tail: bytes) -> None:
    """Neither behind a plain message, nor behind the stream, nor behind the message within it."""
    for value in ("x" * 100, "y" * 10_000):
        with pytest.raises(CodecError):
            codec.decode(codec.encode(value) + tail, str)
    packed = zlib.compress(msgspec.msgpack.encode("z" * 10) + tail)
    with pytest.raises(CodecError):
        codec.decode(bytes((codec.FORMAT, 1)) + packed, str)


@pytest.mark.parametrize("head", [(codec.FORMAT + 2, 0), (codec.FORMAT, 4), (255, 255)])
def test_an_unknown_format_or_flag_is_refused_with_its_number(head: tuple[int, int]) -> None:
    """What a far newer version sends is named, not guessed at."""
    with pytest.raises(CodecError, match="not known"):
        codec.decode(bytes(head) + msgspec.msgpack.encode("x"), str)


def test_the_next_version_is_understood() -> None:
    """The format after this one may only append: its records are read without what is new."""
    body = codec.encode(Change("jobs", "1"))
    longer = msgspec.msgpack.encode(["jobs", "1", "done", 3, 1, {"new": [1, 2]}])
    assert codec.decode(bytes((codec.FORMAT + 1,)) + body[1:], Change) == Change("jobs", "1")
    newer = bytes((codec.FORMAT + 1, 0)) + longer
    assert codec.decode(newer, Change) == Change("jobs", "1", "done", 3, 1)


@given(st.data())
def test_every_record_of_the_versions_beside_this_one_is_read(data: st.DataObject) -> None:
    """Without the field that was added last, or with one more, in every record within it."""
    kind = data.draw(st.sampled_from(list(RECORDS)))
    value = data.draw(RECORDS[kind])
    older, newer = (msgspec.msgpack.encode(plain_of(value, each)) for each in (OLDER, NEWER))
    assert len(older) <= len(msgspec.msgpack.encode(value)) < len(newer)
    assert codec.decode(bytes((codec.FORMAT - 1, 0)) + older, kind) == unseen(value)
    assert codec.decode(bytes((codec.FORMAT + 1, 0)) + newer, kind) == value


def test_the_version_before_is_understood(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who counts the format up reads what the version before wrote, what it lacks at its default."""
    shorter = bytes((codec.FORMAT, 0)) + msgspec.msgpack.encode(["jobs", "1"])
    monkeypatch.setattr(codec, "FORMAT", codec.FORMAT + 1)
    assert codec.decode(shorter, Change) == Change("jobs", "1")
    monkeypatch.setattr(codec, "FORMAT", codec.FORMAT + 1)
    with pytest.raises(CodecError, match="not known here; this version reads 2 to 4"):
        codec.decode(shorter, Change)


def test_a_signature_block_is_stepped_over() -> None:
    """A signed body has its block between head and message; a body too short for one is refused."""
    packed = msgspec.msgpack.encode("x")
    assert codec.decode(bytes((codec.FORMAT, 2)) + bytes(codec.SIGNATURE_SIZE) + packed, str) == "x"
    with pytest.raises(CodecError):
        codec.decode(bytes((codec.FORMAT, 2)) + bytes(10), str)


def bomb(size: int) -> bytes:
    """A body of few bytes that would unpack to `size` zeros."""
    deflater = zlib.compressobj(9)
    parts = [deflater.compress(bytes(1 << 20)) for _ in range(size >> 20)]
    parts.append(deflater.flush())
    return bytes((codec.FORMAT, 1)) + b"".join(parts)


def test_a_bomb_costs_no_more_than_the_limit() -> None:
    """A body that would unpack to 256 MiB is refused, and memory stays near the 16 MiB that are allowed."""
    body = bomb(256 << 20)
    assert len(body) < codec.WIRE_MAX
    tracemalloc.start()
    try:
        with pytest.raises(CodecError, match="unpacks to more"):
            codec.decode(body, bytes)
        assert tracemalloc.get_traced_memory()[1] < 3 * codec.UNPACKED_MAX
    finally:
        tracemalloc.stop()


def test_a_doubly_packed_bomb_is_not_unpacked_twice() -> None:
    """A stream within a stream is bytes, not a message: only one layer is ever opened."""
    inner = bomb(64 << 20)
    outer = bytes((codec.FORMAT, 1)) + zlib.compress(inner, 9)
    assert len(outer) < 2_000
    with pytest.raises(CodecError):
        codec.decode(outer, bytes)


def test_two_streams_behind_each_other_are_refused() -> None:
    """One stream, nothing behind it."""
    one = zlib.compress(msgspec.msgpack.encode("x" * 10))
    with pytest.raises(CodecError, match="follow"):
        codec.decode(bytes((codec.FORMAT, 1)) + one + one, str)


def nested(depth: int, opener: bytes = b"\x91") -> bytes:
    return bytes((codec.FORMAT, 0)) + opener * depth + b"\xc0"


@pytest.mark.parametrize(
    "opener", [b"\x91", b"\x81\xa1k", b"\xdc\x00\x01", b"\xdd\x00\x00\x00\x01"]
)
def test_nesting_is_allowed_to_the_limit_and_no_deeper(opener: bytes) -> None:
    """32 levels of arrays or maps pass, 33 do not, and 100,000 do no harm."""
    assert codec.decode(nested(codec.DEPTH_MAX, opener), Any) is not None
    for depth in (codec.DEPTH_MAX + 1, 900, 100_000):
        with pytest.raises(CodecError):
            codec.decode(nested(depth, opener), Any)


def test_nesting_in_what_a_type_does_not_name_is_refused_too() -> None:
    """An appended field of a newer version may not be deeper than the limit either."""
    for depth in (codec.DEPTH_MAX + 5, 100_000):
        tail = b"\x91" * depth + b"\xc0"
        body = b"\x96" + msgspec.msgpack.encode(["jobs", "1", "", 0, 0])[1:] + tail
        with pytest.raises(CodecError):
            codec.decode(bytes((codec.FORMAT, 0)) + body, Change)


def test_bytes_that_look_like_containers_are_not_taken_for_nesting() -> None:
    """Binary content full of such bytes is flat."""
    value = JobMessage("1", "a/b", "v", False, b"\x91" * 500, bytes(range(256)), 1)
    assert codec.decode(codec.encode(value), JobMessage) == value
    assert codec.decode(codec.encode([b"\x91" * 500, "\u0091" * 99]), list[Any])[0] == b"\x91" * 500


def test_looking_at_the_depth_takes_bounded_time() -> None:
    """A body of millions of values where the depth has to be looked at is refused after a bounded part of it."""
    packed = b"\xdd" + (2_000_000).to_bytes(4, "big") + b"\x90" * 40 + b"\x01" * 1_999_960
    body = bytes((codec.FORMAT, 1)) + zlib.compress(packed)
    with pytest.raises(CodecError, match="values"):
        codec.decode(body, list[Any])


@given(
    st.recursive(
        st.none() | st.integers() | texts,
        lambda inner: st.lists(inner) | st.dictionaries(texts, inner),
    )
)
def test_the_depth_of_json_is_counted_outside_of_strings(value: Any) -> None:
    """Brackets within strings do not count; the limit is exact."""

    def depth(part: Any) -> int:
        if isinstance(part, dict):
            part = list(part.values())
        elif not isinstance(part, list):
            return 0
        return 1 + max(map(depth, part), default=0)

    text = msgspec.json.encode(value)
    codec.check_json_depth(text, depth(value))
    if depth(value):
        with pytest.raises(CodecError):
            codec.check_json_depth(text, depth(value) - 1)


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_the_depth_of_json_does_not_depend_on_where_it_is_cut(
    monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    """Escapes, strings and brackets across the slices of a long text count as in one piece."""
    monkeypatch.setattr(codec, "_SLICE", size)
    text = msgspec.json.encode([{'"[\\': ["\\", '\\"', "[[[", {"\\\\": '"'}]}] * 9)
    codec.check_json_depth(text, 4)
    with pytest.raises(CodecError):
        codec.check_json_depth(text, 3)


def test_the_wire_numbers_of_events_are_pinned() -> None:
    """What a record looks like on the wire is a promise to other versions."""
    assert codec.encode(Change("jobs", "1", "done", 7, 2)) == (
        b"\x01\x00" + msgspec.msgpack.encode(["jobs", "1", "done", 7, 2])
    )
    assert (codec.FORMAT, codec.WIRE_MAX, codec.UNPACKED_MAX, codec.DEPTH_MAX) == (
        1,
        1 << 20,
        16 << 20,
        32,
    )
