"""Bytes of a connection of our own in, methods and deliveries out; pure."""

from dts_core.brokers.rabbitmq.framing import spec, writing
from dts_core.brokers.rabbitmq.framing.cutting import Cutter
from dts_core.brokers.rabbitmq.framing.incoming import Batch, Incoming, method_of
from dts_core.errors import CodecError


class Parser(Cutter):
    """Takes the connection's own channel and the one that carries messages, and nothing else."""

    def __init__(
        self, *, frame_max: int = spec.FRAME_MAX, message_max: int = spec.MESSAGE_MAX
    ) -> None:
        super().__init__(frame_max=frame_max)
        self._messages = Incoming(writing.CHANNEL, message_max=message_max)
        self.incoming[writing.CHANNEL] = self._messages

    def feed(self, data: bytes) -> Batch:
        """What is complete with `data`.

        Raises:
            CodecError: See `cut`.
        """
        self.cut(data)
        return self._messages.drain()

    def _other(self, kind: int, channel: int, data: bytes, start: int, end: int) -> None:
        if kind == spec.FRAME_METHOD:
            if channel not in (0, writing.CHANNEL):
                raise CodecError(f"a method on channel {channel}, which is not open.")
            self._messages.batch.methods.append(method_of(channel, data, start, end))
        elif kind != spec.FRAME_HEARTBEAT or channel or start != end:
            raise CodecError(f"a frame of kind {kind} on channel {channel}.")
