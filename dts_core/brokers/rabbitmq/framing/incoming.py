"""The messages of one channel as they come in: deliveries, returns and confirms, put together from frames.

One thing is milder here than elsewhere: the properties and the size of a delivery are its publisher's doing, so what
cannot be read there makes that one delivery `unreadable`, and the connection goes on.
"""

import struct
from typing import Any, Final, NamedTuple

from dts_core.brokers.base import Message
from dts_core.brokers.rabbitmq.framing import spec
from dts_core.brokers.rabbitmq.framing.contents import Properties, read_properties
from dts_core.brokers.rabbitmq.plane import PlaneDelivery
from dts_core.errors import CodecError

_METHOD: Final = struct.Struct(">I")
_DELIVER: Final = struct.Struct(">QB")
_HEADER: Final = struct.Struct(">HHQ")
_HEADER_SIZE: Final = _HEADER.size
_CONFIRMS: Final = (spec.BASIC_ACK, spec.BASIC_NACK)


class Method(NamedTuple):
    """A method frame; `args` are its bytes after class and method."""

    channel: int
    id: int
    args: bytes
    message_id: str = ""
    """Of the message that comes with a basic.return."""


class Unreadable(NamedTuple):
    """A delivery whose properties are broken or whose body is too large; its body was skipped."""

    consumer_tag: str
    tag: int
    reason: str


class Batch:
    """What one read held. Deliveries may be handled before methods: no method of the same read concerns them."""

    __slots__ = ("deliveries", "methods", "unreadable")

    def __init__(self) -> None:
        self.methods: list[Method] = []
        self.deliveries: dict[str, list[PlaneDelivery]] = {}
        self.unreadable: list[Unreadable] = []

    def __bool__(self) -> bool:
        return bool(self.deliveries or self.methods or self.unreadable)


def method_of(channel: int, data: bytes, start: int, end: int) -> Method:
    """The method in a frame's payload. Raises CodecError."""
    if end - start < 4:
        raise CodecError("a method without its number.")
    return Method(channel, _METHOD.unpack_from(data, start)[0], data[start + 4 : end])


class Incoming:
    """Puts the messages of one channel together.

    Args:
        channel: Its number.
        message_max: Largest body taken, in bytes.

    Attributes:
        batch: What is complete since the last `drain`.
    """

    def __init__(self, channel: int, *, message_max: int = spec.MESSAGE_MAX) -> None:
        self.batch = Batch()
        self._channel = channel
        self._message_max = message_max
        # The content under way: what announced it, then its properties and what there is of its body.
        self._open: tuple[str, int, bool, str] | None = None
        self._returned: Method | None = None
        self._properties: Properties | None = None
        self._reason = ""
        self._chunks: list[bytes] = []
        self._missing = -1

    @property
    def is_open(self) -> bool:
        """Whether a message is under way."""
        return self._open is not None

    def drain(self) -> Batch:
        """What is complete; the next batch begins."""
        batch, self.batch = self.batch, Batch()
        return batch

    def take(self, kind: int, data: bytes, start: int, end: int) -> bool:
        """One frame of the channel; False when it has no part in a message or a confirm.

        Raises:
            CodecError: It is out of order.
        """
        if kind == spec.FRAME_BODY:
            self._body(data, start, end)
        elif kind == spec.FRAME_METHOD:
            return self._method(data, start, end)
        elif kind == spec.FRAME_HEADER:
            self._header(data, start, end)
        else:
            return False
        return True

    def _method(self, data: bytes, start: int, end: int) -> bool:
        if self._open is not None:
            raise CodecError("a method within a message.")
        number = _METHOD.unpack_from(data, start)[0] if end - start >= 4 else 0
        if number == spec.BASIC_DELIVER:
            self._deliver(data, start + 4, end)
        elif number == spec.BASIC_RETURN:
            self._open = ("", 0, False, "")
            self._returned = method_of(self._channel, data, start, end)
        elif number in _CONFIRMS:
            self.batch.methods.append(method_of(self._channel, data, start, end))
        else:
            return False
        return True

    def _deliver(self, data: bytes, at: int, end: int) -> None:
        start = at + 1
        at = start + data[at]
        consumer = str(data[start:at], "utf-8", "replace")
        tag, redelivered = _DELIVER.unpack_from(data, at)
        at += 9
        at += 1 + data[at]  # the exchange
        start = at + 1
        at = start + data[at]
        if at != end or not consumer:
            raise CodecError("a delivery that does not fill its frame.")
        key = str(data[start:at], "utf-8", "replace")
        self._open = (consumer, tag, bool(redelivered & 1), key)

    def _header(self, data: bytes, start: int, end: int) -> None:
        if self._open is None or self._missing >= 0:
            raise CodecError("a content header that nothing announced.")
        if end - start < _HEADER_SIZE + 2:
            raise CodecError("a content header that is cut off.")
        kind, _, size = _HEADER.unpack_from(data, start)
        if kind != spec.BASIC:
            raise CodecError(f"a content header of class {kind}.")
        self._missing = size
        if size > self._message_max:
            self._reason = f"a body of {size} bytes; at most {self._message_max} are taken."
        else:
            try:
                self._properties = read_properties(data, start + _HEADER_SIZE, end)
            except CodecError as error:
                self._reason = error.message
        if not size:
            self._finish(b"")

    def _body(self, data: bytes, start: int, end: int) -> None:
        size = end - start
        if size > self._missing or not size:
            raise CodecError("a body that nothing announced.")
        self._missing -= size
        if self._missing:
            if self._properties is not None:
                self._chunks.append(data[start:end])
        elif self._chunks:
            self._chunks.append(data[start:end])
            self._finish(b"".join(self._chunks))
        else:
            self._finish(data[start:end])

    def _finish(self, body: bytes) -> None:
        """The message under way is whole."""
        assert self._open is not None
        consumer, tag, redelivered, key = self._open
        if self._returned is not None:
            message_id = self._properties[1] if self._properties else ""
            self.batch.methods.append(self._returned._replace(message_id=message_id))
            self._returned = None
        elif self._properties is not None:
            delivery = PlaneDelivery(tag, redelivered, key, Message(body, *self._properties))
            known: list[Any] | None = self.batch.deliveries.get(consumer)
            if known is None:
                self.batch.deliveries[consumer] = [delivery]
            else:
                known.append(delivery)
        else:
            self.batch.unreadable.append(Unreadable(consumer, tag, self._reason))
        self._open = self._properties = None
        self._missing = -1
        self._reason = ""
        self._chunks = []
