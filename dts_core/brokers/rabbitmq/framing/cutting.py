"""Bytes of a connection in, frames out; exact in its bounds, one loop over each read.

What is no AMQP raises CodecError and nothing else; the connection cannot be read on then.
"""

import struct
from abc import ABC, abstractmethod
from typing import Final

from dts_core.brokers.rabbitmq.framing import spec
from dts_core.brokers.rabbitmq.framing.incoming import Incoming
from dts_core.errors import CodecError

_FRAME: Final = struct.Struct(">BHI")


class Cutter(ABC):
    """Cuts a stream into frames. Keeps at most one frame, and one message for each channel.

    Attributes:
        frame_max: Largest frame taken, in bytes, its overhead included.
        incoming: Channel -> who puts its messages together. All other frames go to `_other`.
    """

    def __init__(self, *, frame_max: int = spec.FRAME_MAX) -> None:
        self.frame_max = frame_max
        self.incoming: dict[int, Incoming] = {}
        self._rest = bytearray()
        self._need = spec.FRAME_OVERHEAD
        self._is_broken = False

    @property
    def is_clean(self) -> bool:
        """Whether the stream may end here."""
        return not self._rest and not any(each.is_open for each in self.incoming.values())

    def cut(self, data: bytes) -> None:
        """Take what is complete with `data`.

        Raises:
            CodecError: No AMQP, or more than the bounds allow; also on every later call.
        """
        if self._is_broken:
            raise CodecError("the stream is broken already.")
        if self._rest:
            self._rest += data
            if len(self._rest) < self._need:
                return
            data = bytes(self._rest)
            self._rest.clear()
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
            messages = self.incoming.get(channel)
            if messages is None or not messages.take(kind, data, start, end):
                self._other(kind, channel, data, start, end)
            at = end + 1
        self._need = spec.FRAME_OVERHEAD
        return at

    @abstractmethod
    def _other(self, kind: int, channel: int, data: bytes, start: int, end: int) -> None:
        """A frame with the payload `data[start:end]` that has no part in a message or a confirm."""
