"""One live byte stream between two ends of a link: frames out in one write per loop turn, frames in, and pings."""

import asyncio
import contextlib
import math
from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol

import msgspec

from dts_core.brokers import frames
from dts_core.brokers.frames import Frame, Ping
from dts_core.errors import CodecError

CONGESTED_BYTES: Final = 512 << 10
"""Written and not drained: from here on nothing more is written until the stream drains."""
SILENT_PINGS: Final = 1.5
"""A peer that is not heard for so many of its pings is silent: nothing more should be handed to it. That is earlier
than a lease ends, or what ended at a frozen worker would be handed to it again."""
BACKLOG_BYTES: Final = 16 << 20
"""Waiting to be written: from here on nothing more is read, so that questions without an ear for answers end."""
DRAIN_SECONDS: Final = 60.0


class StreamReader(Protocol):
    """What a wire reads from."""

    async def read(self, n: int, /) -> bytes:
        """Up to `n` bytes; empty at the end."""
        ...


class StreamWriter(Protocol):
    """What a wire writes to."""

    def write(self, data: bytes, /) -> None:
        """Take bytes; does not wait."""
        ...

    async def drain(self) -> None:
        """Wait until more may be written."""
        ...

    def close(self) -> None:
        """Close after what was written."""
        ...


OpenStream = Callable[[], Awaitable[tuple[StreamReader, StreamWriter]]]


class _Ended(Exception):
    """The stream is over, with the reason."""


class Wire:
    """Frames over a pair of streams. `run` lives as long as the stream; everything else is called on the loop.

    Args:
        reader: Bytes from the peer.
        writer: Bytes to the peer.
        decoder: Of the frames that the peer may send.
        on_frame: Called with each frame but pings; must not raise anything but a DtsError, which ends the wire.
        ping_seconds: How often the peer hears from this end at least.
        lost_seconds: The peer is lost after so long a silence, counted from the first that was heard of it.

    Attributes:
        last_word: Sent when this end closes the stream.
        on_silence: Called with True when the peer has missed a ping, with False when it is heard again.
    """

    def __init__(
        self, reader: StreamReader, writer: StreamWriter, decoder: msgspec.msgpack.Decoder[Any],
        on_frame: Callable[[Any], None], *, ping_seconds: float = frames.PING_SECONDS,
        lost_seconds: float = frames.LOST_SECONDS,
    ) -> None:  # fmt: skip
        self._reader = reader
        self._writer = writer
        self._decoder = decoder
        self._on_frame = on_frame
        self._ping_seconds = ping_seconds
        self._lost_seconds = lost_seconds
        self._loop = asyncio.get_running_loop()
        self._out: list[bytes] = []
        self._backlog = 0
        self._undrained = 0
        self._is_flushing = False
        self._congested = asyncio.Event()
        self._has_room = asyncio.Event()
        self._has_room.set()
        self._closed = asyncio.Event()
        self._last_heard = math.inf
        self.is_open = True
        self.last_word: Frame | None = None
        self.on_congested: Callable[[bool], None] = lambda congested: None
        self.on_silence: Callable[[bool], None] = lambda is_silent: None
        self._is_silent = False
        self.before_flush: Callable[[], None] = lambda: None

    def send(self, frame: Frame) -> None:
        """Send a frame with the others of this loop turn; nothing happens on a closed wire.

        Raises:
            TooLarge: It exceeds the limit of a frame; nothing is sent.
        """
        data = frames.pack(frame)
        if self.is_open:
            self._out.append(data)
            self._backlog += len(data)
            self.flush_soon()

    def flush_soon(self) -> None:
        """Write at the end of this loop turn."""
        if not self._is_flushing and self.is_open:
            self._is_flushing = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._is_flushing = False
        if not self.is_open:
            return
        self.before_flush()
        if self._congested.is_set() or not self._out:
            return
        data = self._out[0] if len(self._out) == 1 else b"".join(self._out)
        self._out.clear()
        self._backlog = 0
        try:
            self._writer.write(data)
        except (OSError, RuntimeError):  # closed meanwhile: the reading side ends the wire
            return
        self._undrained += len(data)
        if self._undrained > CONGESTED_BYTES:
            self._congested.set()
            self._has_room.clear()
            self.on_congested(True)

    async def run(self) -> str:
        """Read until the stream ends or the peer is silent for too long; then the stream is closed.

        Returns:
            Why it ended, in words.
        """
        why = "it was closed."
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._read(), name="link-read")
                group.create_task(self._ping(), name="link-ping")
                group.create_task(self._drain(), name="link-drain")
                group.create_task(self._until_closed(), name="link-close")
        except* _Ended as ended:
            why = str(_first(ended))
        except* CodecError as broken:
            why = f"the peer is no peer of ours: {_first(broken)}"
        except* OSError as cut:
            why = f"the stream broke: {_first(cut)}"
        finally:
            self.close()
        return why

    async def _until_closed(self) -> None:
        await self._closed.wait()
        raise _Ended("it was closed here.")

    def close(self) -> None:
        """Write what waits and close the stream. A second call does nothing."""
        if not self.is_open:
            return
        if self.last_word is not None:
            self._out.append(frames.pack(self.last_word))
        if self._out:
            with contextlib.suppress(OSError, RuntimeError):
                self._writer.write(b"".join(self._out))
        self.is_open = False
        self._closed.set()
        self._out.clear()
        with contextlib.suppress(OSError, RuntimeError):
            self._writer.close()

    async def _read(self) -> None:
        cutter = frames.Cutter()
        decode, on_frame = self._decoder.decode, self._on_frame
        while data := await self._reader.read(frames.READ_SIZE):
            self._last_heard = self._loop.time()
            if self._is_silent:
                self._is_silent = False
                self.on_silence(False)
            for body in cutter.feed(data):
                try:
                    frame = decode(body)
                except (msgspec.DecodeError, RecursionError, ValueError) as error:
                    raise CodecError(f"a frame cannot be decoded: {error}") from error
                if type(frame) is not Ping:
                    on_frame(frame)
            if self._backlog > BACKLOG_BYTES:
                await self._has_room.wait()
        raise _Ended(
            "the peer closed the stream." if cutter.is_clean else "the stream ended within a frame."
        )

    async def _ping(self) -> None:
        while True:
            before = self._loop.time()
            await asyncio.sleep(self._ping_seconds)
            now = self._loop.time()
            if now - before > 2 * self._ping_seconds and self._last_heard < now:
                # This process stood still: what came meanwhile is not read yet.
                self._last_heard = now
            elif now - self._last_heard > self._lost_seconds:
                raise _Ended(f"the peer was silent for {self._lost_seconds:g} seconds.")
            elif now - self._last_heard > SILENT_PINGS * self._ping_seconds and not self._is_silent:
                self._is_silent = True
                self.on_silence(True)
            self.send(Ping())

    async def _drain(self) -> None:
        while True:
            await self._congested.wait()
            try:
                async with asyncio.timeout(DRAIN_SECONDS):
                    await self._writer.drain()
            except TimeoutError:
                raise _Ended("the peer does not read.") from None
            self._undrained = 0
            self._congested.clear()
            self._has_room.set()
            self.on_congested(False)
            self.flush_soon()


def _first(group: BaseExceptionGroup[Any]) -> Any:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
