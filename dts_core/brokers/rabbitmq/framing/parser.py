"""Bytes of a connection in, methods and deliveries out; pure, exact in its bounds, one loop over each read.

What is no AMQP raises CodecError and nothing else; the connection cannot be read on then. One thing is milder: the
properties and the size of a delivery are its publisher's doing, so what cannot be read there makes that one delivery
`unreadable`, and the connection goes on.
"""

import struct
from typing import Any, Final, NamedTuple

from dts_core.brokers.base import Message
from dts_core.brokers.rabbitmq.framing import spec
from dts_core.brokers.rabbitmq.framing.contents import Properties, read_properties
from dts_core.brokers.rabbitmq.plane import PlaneDelivery
from dts_core.errors import CodecError

_FRAME: Final = struct.Struct(">BHI")
_METHOD: Final = struct.Struct(">I")
_DELIVER: Final = struct.Struct(">QB")
_HEADER: Final = struct.Struct(">HHQ")
_HEADER_SIZE: Final = _HEADER.size


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


class Parser:
    """Cuts a stream into what it says. Keeps at most one frame and one message.

    Attributes:
        frame_max: Largest frame taken, in bytes, its overhead included.
    """

    def __init__(
        self, *, frame_max: int = spec.FRAME_MAX, message_max: int = spec.MESSAGE_MAX
    ) -> None:
        self.frame_max = frame_max
        self._message_max = message_max
        self._rest = bytearray()
        self._need = spec.FRAME_OVERHEAD
        self._batch = Batch()
        # The content under way: what announced it, then its properties and what there is of its body.
        self._open: tuple[str, int, bool, str] | None = None
        self._returned: Method | None = None
        self._properties: Properties | None = None
        self._reason = ""
        self._chunks: list[bytes] = []
        self._missing = -1
        self._is_broken = False

    @property
    def is_clean(self) -> bool:
        """Whether the stream may end here."""
        return not self._rest and self._open is None

    def feed(self, data: bytes) -> Batch:
        """What is complete with `data`.

        Raises:
            CodecError: No AMQP, or more than the bounds allow; also on every later call.
        """
        if self._is_broken:
            raise CodecError("the stream is broken already.")
        if self._rest:
            self._rest += data
            if len(self._rest) < self._need:
                return Batch()
            data = bytes(self._rest)
            self._rest.clear()
        batch = self._batch = Batch()
        try:
            at = self._cut(data)
        except CodecError:
            self._is_broken = True
            raise
        except (IndexError, struct.error) as error:
            self._is_broken = True
            raise CodecError("a frame is shorter than what it must hold.") from error
        if at < len(data):
            self._rest += data[at:] if at else data
        return batch

    def _cut(self, data: bytes) -> int:
        """Take every complete frame; returns where the first incomplete one begins."""
        at, size = 0, len(data)
        while size - at >= 7:
            kind, channel, length = _FRAME.unpack_from(data, at)
            if length > self.frame_max - spec.FRAME_OVERHEAD:
                raise CodecError(f"a frame of {length} bytes; {self.frame_max} were agreed upon.")
            start = at + 7
            end = start + length
            if end >= size:
                self._need = end + 1 - at
                return at
            if data[end] != spec.FRAME_END:
                raise CodecError("a frame that does not end as frames do.")
            if kind == spec.FRAME_BODY:
                self._body(channel, data, start, end)
            elif kind == spec.FRAME_METHOD:
                self._method(channel, data, start, end)
            elif kind == spec.FRAME_HEADER:
                self._header(channel, data, start, end)
            elif kind != spec.FRAME_HEARTBEAT or channel or length:
                raise CodecError(f"a frame of kind {kind} on channel {channel}.")
            at = end + 1
        self._need = spec.FRAME_OVERHEAD
        return at

    def _method(self, channel: int, data: bytes, start: int, end: int) -> None:
        if end - start < 4:
            raise CodecError("a method without its number.")
        number = _METHOD.unpack_from(data, start)[0]
        if channel:
            if channel != 1:
                raise CodecError(f"a method on channel {channel}, which is not open.")
            if self._open is not None:
                raise CodecError("a method within a message.")
            if number == spec.BASIC_DELIVER:
                self._deliver(data, start + 4, end)
                return
            if number == spec.BASIC_RETURN:
                self._open = ("", 0, False, "")
                self._returned = Method(channel, number, data[start + 4 : end])
                return
        self._batch.methods.append(Method(channel, number, data[start + 4 : end]))

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

    def _header(self, channel: int, data: bytes, start: int, end: int) -> None:
        if self._open is None or self._missing >= 0 or channel != 1:
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

    def _body(self, channel: int, data: bytes, start: int, end: int) -> None:
        size = end - start
        if size > self._missing or not size or channel != 1:
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
            self._batch.methods.append(self._returned._replace(message_id=message_id))
            self._returned = None
        elif self._properties is not None:
            delivery = PlaneDelivery(tag, redelivered, key, Message(body, *self._properties))
            known: list[Any] | None = self._batch.deliveries.get(consumer)
            if known is None:
                self._batch.deliveries[consumer] = [delivery]
            else:
                known.append(delivery)
        else:
            self._batch.unreadable.append(Unreadable(consumer, tag, self._reason))
        self._open = self._properties = None
        self._missing = -1
        self._reason = ""
        self._chunks = []
