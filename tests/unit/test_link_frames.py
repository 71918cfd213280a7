"""The link's frames: any cut of the stream, and every kind of rubbish."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dts_core.brokers import frames
from dts_core.brokers.base import Delivery, Message, Outgoing
from dts_core.errors import (
    BrokerError,
    BrokerUnavailable,
    CodecError,
    Conflict,
    DtsError,
    Forbidden,
    QueueNotFound,
    ResultRefused,
    TooLarge,
)

SENT = [
    frames.Hello(1, "host", "worker", [("job", 3)]),
    frames.Publish(2, [Outgoing("q", Message(b"\x00" * 300, headers={"k": [1, None]}))]),
    frames.Ack(1, [1, 2, 3]),
    frames.Ping(),
    frames.Bye("later"),
]


@given(st.lists(st.integers(min_value=1, max_value=50), max_size=40))
def test_frames_survive_any_cut(sizes: list[int]) -> None:
    """However the stream is cut into reads, the same frames come out, in order, once each."""
    stream = b"".join(frames.pack(frame) for frame in SENT)
    cutter = frames.Cutter()
    bodies: list[bytes] = []
    for size in [*sizes, len(stream)]:
        bodies += cutter.feed(stream[:size])
        stream = stream[size:]
    assert [frames.client_frames.decode(body) for body in bodies] == SENT
    assert cutter.is_clean


def test_a_truncated_frame_is_known_as_such() -> None:
    """A stream that ends within a frame gives nothing of it and says so."""
    cutter = frames.Cutter()
    assert cutter.feed(frames.pack(SENT[0])[:-1]) == []
    assert not cutter.is_clean


@pytest.mark.parametrize("length", [0, frames.FRAME_MAX + 1, 0xFFFFFFFF, 0x48545450])
def test_impossible_lengths_end_the_stream(length: int) -> None:
    """Nothing is collected for a frame that may not be: the length alone refuses it."""
    with pytest.raises(CodecError, match="a link carries"):
        frames.Cutter().feed(length.to_bytes(4, "big"))


def test_oversized_frames_are_not_made() -> None:
    """The sender is told the size and the limit."""
    with pytest.raises(TooLarge, match=str(frames.FRAME_MAX)):
        frames.pack(frames.Publish(1, [Outgoing("q", Message(b"x" * frames.FRAME_MAX))]))


@pytest.mark.parametrize("tag", [0, 99, -1, "1", None])
def test_unknown_ops_are_refused(tag: object) -> None:
    """An op that this version does not know is an error, not a guess."""
    body = msgspec.msgpack.encode([tag, 1, 2])
    with pytest.raises(msgspec.DecodeError):
        frames.client_frames.decode(body)


def test_each_side_takes_only_the_other_sides_frames() -> None:
    """A client cannot send what a server says."""
    body = frames.pack(frames.Deliver(1, [Delivery(1, "q", Message(b""))]))[4:]
    with pytest.raises(msgspec.DecodeError):
        frames.client_frames.decode(body)


def test_later_fields_are_ignored() -> None:
    """A newer version may append fields."""
    body = msgspec.msgpack.encode([1, 1, "host", "worker", [], "i", 2, "new", {"x": 1}])
    assert frames.client_frames.decode(body) == frames.Hello(1, "host", "worker", [], "i", 2)


@pytest.mark.parametrize(
    "error",
    [
        BrokerUnavailable("away."), QueueNotFound("no queue."), Forbidden("not you."), TooLarge("big."),
        CodecError("rubbish."), ResultRefused("not held.", refused=[("j", 1)]),
    ],
)  # fmt: skip
def test_errors_keep_their_class(error: DtsError) -> None:
    """What the owner raises the client raises, with its message and what was refused."""
    again = frames.error_of(frames.failure(7, error))
    assert type(again) is type(error)
    assert again.message == error.message
    assert getattr(again, "refused", None) == getattr(error, "refused", None)


def test_other_errors_become_broker_errors() -> None:
    """An error that is not the broker's own still arrives as one."""
    assert type(frames.error_of(frames.failure(7, Conflict("odd.")))) is BrokerError
