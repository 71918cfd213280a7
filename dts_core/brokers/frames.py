"""The link's wire: frames of 4 bytes length (big-endian) and one MessagePack array [op, ...] on any byte stream.

The first frame of each side is Hello or Welcome (Failed when the server refuses). Numbers tie answers to questions; a
version may append fields with defaults and new ops, and both sides refuse another major version at the start.
"""

from typing import Final

import msgspec

from dts_core.brokers.base import DeadLetter, Delivery, Message, Outgoing, QueueSpec
from dts_core.errors import (
    BrokerError,
    BrokerUnavailable,
    CodecError,
    DtsError,
    Forbidden,
    QueueNotFound,
    ResultRefused,
    StoreUnavailable,
    TooLarge,
)
from dts_core.model import QueueStats

VERSION: Final = 1
FRAME_MAX: Final = 8 << 20
"""Largest frame, in bytes."""
BATCH_BYTES: Final = 1 << 20
"""A batch of deliveries is cut into frames of about this size."""
READ_SIZE: Final = 256 << 10
PING_SECONDS: Final = 3.0
LOST_SECONDS: Final = 10.0


class Frame(msgspec.Struct, array_like=True):
    """Base of all frames."""


class Hello(Frame, tag=1):
    """Client: who comes, and the (job, epoch) that it still runs."""

    version: int
    host: str
    worker: str
    holding: list[tuple[str, int]] = []
    instance: str = ""
    """Names this client among all that ever say the same host and worker."""
    stream: int = 0
    """Counts the streams of the instance: one that was given up meanwhile must not end a later one."""


class Welcome(Frame, tag=2):
    """Server: go on; `mine` says of each held claim whether it is still the client's own."""

    version: int
    mine: list[bool] = []


class Failed(Frame, tag=3):
    """Server: question `number` failed; 0: the link itself, which ends here."""

    number: int
    code: str
    message: str
    refused: list[tuple[str, int]] = []


class Done(Frame, tag=4):
    """Server: these questions are done."""

    numbers: list[int]


class Ping(Frame, tag=5):
    """Either side: I am here."""


class Bye(Frame, tag=6):
    """Client: everything unacked goes back uncharged. Server: the owner stops, come back later."""

    reason: str = ""
    keeps: bool = False
    """Client: only this stream ends, on our side; we come back and go on with what we hold."""


class Publish(Frame, tag=7):
    """Client: publish, confirm with Done."""

    number: int
    items: list[Outgoing]


class Declare(Frame, tag=8):
    """Client: make a queue."""

    number: int
    spec: QueueSpec


class Consume(Frame, tag=9):
    """Client: take from a queue as consumer `consumer`, tags from `first_tag`; `adopt` are (tag, job) that go on."""

    number: int
    consumer: int
    queue: str
    prefetch: int
    first_tag: int = 1
    adopt: list[tuple[int, str]] = []


class Deliver(Frame, tag=10):
    """Server: deliveries for a consumer."""

    consumer: int
    items: list[Delivery]


class Ack(Frame, tag=11):
    """Client: these are done."""

    consumer: int
    tags: list[int]


class Nack(Frame, tag=12):
    """Client: these go back, or to the dead letters."""

    consumer: int
    tags: list[int]
    requeue: bool
    reason: str = ""


class Grant(Frame, tag=13):
    """Client: this many may be unacked."""

    consumer: int
    credit: int


class Stop(Frame, tag=14):
    """Client: consumer ends."""

    number: int
    consumer: int


class Subscribe(Frame, tag=15):
    """Client: hear a fanout as subscription `subscription`."""

    number: int
    subscription: int
    exchange: str
    limit: int = 1000


class Unsubscribe(Frame, tag=16):
    """Client: hear it no more."""

    subscription: int


class Heard(Frame, tag=17):
    """Server: messages of a fanout; `dropped` is how many the subscription has lost so far."""

    subscription: int
    items: list[Message]
    dropped: int = 0


class Fanout(Frame, tag=18):
    """Client: hand a message to all subscribers."""

    number: int
    exchange: str
    message: Message


class Request(Frame, tag=19):
    """Client: ask and wait for the answer, in a Reply."""

    number: int
    queue: str
    message: Message
    timeout_seconds: float


class Reply(Frame, tag=20):
    """Server: the answer to a Request."""

    number: int
    message: Message


class AskStats(Frame, tag=21):
    """Client: every queue."""

    number: int


class Stats(Frame, tag=22):
    """Server: every queue."""

    number: int
    items: list[QueueStats]


class AskDead(Frame, tag=23):
    """Client: a page of dead letters."""

    number: int
    limit: int
    before: int


class Dead(Frame, tag=24):
    """Server: a page of dead letters."""

    number: int
    items: list[DeadLetter]


class SendAgain(Frame, tag=25):
    """Client: put these dead letters back into their queues; answered by Counted."""

    number: int
    seqs: list[int]


class DiscardDead(Frame, tag=26):
    """Client: throw these dead letters away; answered by Counted."""

    number: int
    seqs: list[int]


class Counted(Frame, tag=27):
    """Server: how many items there were."""

    number: int
    items: int


class SetPaused(Frame, tag=28):
    """Client: pause a queue, or let it hand out again."""

    number: int
    queue: str
    on: bool


class Gone(Frame, tag=29):
    """Server: these (job, epoch) are the client's no more; it stops their runs."""

    claims: list[tuple[str, int]]


FromClient = (
    Hello | Ping | Bye | Publish | Declare | Consume | Ack | Nack | Grant | Stop | Subscribe | Unsubscribe
    | Fanout | Request | AskStats | AskDead | SendAgain | DiscardDead | SetPaused
)  # fmt: skip
FromServer = (
    Welcome | Failed | Done | Ping | Bye | Deliver | Heard | Reply | Stats | Dead | Counted | Gone
)

client_frames: Final = msgspec.msgpack.Decoder(FromClient)
"""Decodes what a client sends."""
server_frames: Final = msgspec.msgpack.Decoder(FromServer)
"""Decodes what a server sends."""
_encoder = msgspec.msgpack.Encoder()


def pack(frame: Frame) -> bytes:
    """A frame as bytes with its length.

    Raises:
        TooLarge: It exceeds FRAME_MAX.
    """
    body = _encoder.encode(frame)
    if len(body) > FRAME_MAX:
        raise TooLarge(f"a frame of {len(body)} bytes exceeds the link's limit of {FRAME_MAX}.")
    return len(body).to_bytes(4, "big") + body


class Cutter:
    """Cuts a byte stream into frame bodies; holds at most one frame and one read."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """The bodies that are complete with `data`.

        Raises:
            CodecError: A length of 0 or above FRAME_MAX: not a peer of ours. The stream cannot be read on.
        """
        buffer = self._buffer
        buffer += data
        start, end = 0, len(buffer)
        bodies: list[bytes] = []
        while end - start >= 4:
            size = int.from_bytes(buffer[start : start + 4], "big")
            if not 0 < size <= FRAME_MAX:
                raise CodecError(f"a frame of {size} bytes: a link carries 1 to {FRAME_MAX}.")
            if end - start - 4 < size:
                break
            bodies.append(bytes(buffer[start + 4 : start + 4 + size]))
            start += 4 + size
        del buffer[:start]
        return bodies

    @property
    def is_clean(self) -> bool:
        """Whether the stream may end here: no frame is cut off."""
        return not self._buffer


_ERRORS: dict[str, type[DtsError]] = {
    kind.code: kind for kind in (BrokerUnavailable, QueueNotFound, StoreUnavailable, TooLarge, Forbidden, CodecError)
}  # fmt: skip


def failure(number: int, error: DtsError) -> Failed:
    """An error as a frame."""
    refused = error.refused if isinstance(error, ResultRefused) else []
    return Failed(number, error.code, error.message[:1000], refused)


def error_of(failed: Failed) -> DtsError:
    """The error that a frame stands for."""
    if failed.code == ResultRefused.code:
        return ResultRefused(failed.message, refused=failed.refused)
    return _ERRORS.get(failed.code, BrokerError)(failed.message)
