"""aiormq's channel, with the road of messages made for batches.

Questions and answers (open, consume, cancel, declare) stay the driver's. What comes in numbers does not take its way,
which costs a task, a lock and a socket write a message: deliveries are told to one listener, in order; publications and
acks of one turn of the loop are one write; confirms are looked up by number, in whatever order they come.
"""

import asyncio
from typing import Any, Final, Protocol

from aiormq.abc import ChannelFrame, ConfirmationFrameType
from aiormq.channel import Channel
from aiormq.exceptions import InvalidFrameError
from pamqp import commands, frame
from pamqp.body import ContentBody
from pamqp.header import ContentHeader

BUFFER_FRAMES: Final = 4096
"""Frames of one read of the socket that may wait for the channel: a batch of deliveries is no larger than this."""


class Listener(Protocol):
    """Told what comes on a channel, on the loop."""

    def delivered(self, head: commands.Basic.Deliver, header: ContentHeader, body: bytes) -> None:
        """One delivery."""
        ...

    def confirmed(self, number: int, *, multiple: bool, is_taken: bool) -> None:
        """The broker has, or has refused, the publication with this number (and all before it)."""
        ...

    def returned(self, head: commands.Basic.Return, header: ContentHeader) -> None:
        """A publication that no queue took; its confirm follows."""
        ...


class BatchChannel(Channel):
    """Tells a listener; sends bytes that are frames already."""

    listener: Listener

    async def send(self, data: bytes) -> None:
        """Hand over to the connection's writer, behind all that was sent before."""
        await self.write_queue.put(ChannelFrame(payload=data, should_close=False))

    def pack(self, *frames: Any) -> bytes:
        """Frames of this channel as bytes."""
        return b"".join(frame.marshal(each, self.number) for each in frames)

    def pack_content(
        self, head: bytes, properties: commands.Basic.Properties, body: bytes
    ) -> bytes:
        """A method frame that carries content, with its header and its body in as many frames as it takes."""
        frames = [ContentHeader(body_size=len(body), properties=properties)]
        room = self.max_content_size
        pieces = [ContentBody(body[at : at + room]) for at in range(0, len(body), room)]
        return head + self.pack(*frames, *pieces)

    async def _content(self, head: Any) -> tuple[ContentHeader, bytes]:
        header = await self._get_frame()
        if not isinstance(header, ContentHeader):
            raise InvalidFrameError(f"{type(header).__name__} instead of a content header")
        left, pieces = header.body_size, []
        while left > 0:
            piece = await self._get_frame()
            if not isinstance(piece, ContentBody) or piece.value is None:
                raise InvalidFrameError(f"{type(piece).__name__} instead of a body")
            pieces.append(piece.value)
            left -= len(piece.value)
        return header, pieces[0] if len(pieces) == 1 else b"".join(pieces)

    async def _on_deliver_frame(self, frame: commands.Basic.Deliver) -> None:
        header, body = await self._content(frame)
        self.listener.delivered(frame, header, body)

    async def _on_return_frame(self, frame: commands.Basic.Return) -> None:
        header, _ = await self._content(frame)
        self.listener.returned(frame, header)

    async def _on_confirm_frame(self, frame: ConfirmationFrameType) -> None:
        self.listener.confirmed(
            frame.delivery_tag or 0,
            multiple=bool(getattr(frame, "multiple", False)),
            is_taken=isinstance(frame, commands.Basic.Ack),
        )


async def open_channel(connection: Any, listener: Listener) -> BatchChannel:
    """A new channel of an aiormq connection, in confirm mode."""
    async with connection.last_channel_lock:
        number = max(connection.channels, default=0) + 1
        channel = BatchChannel(connection, number, frame_buffer=BUFFER_FRAMES)
        channel.listener = listener
        connection.channels[number] = channel
    await channel.open()
    return channel


async def nothing(message: Any) -> None:
    """What the driver is given to call for a delivery; it is not asked."""
    await asyncio.sleep(0)
