"""What is written to a child: calls, sources and signs, everything of one turn of the loop in one write."""

import asyncio
import os
from collections import OrderedDict

import msgspec

from dts_core.children.calls import Call
from dts_core.runner import frames

SOURCES_MAX = 64
"""Versions that one child keeps."""
_encode = msgspec.json.Encoder().encode


class OrderFrames:
    """The frames that give a child its orders; knows which sources it has. Who writes them implements `_send`."""

    def __init__(self) -> None:
        self._sources: OrderedDict[str, None] = OrderedDict()

    def begin(self, number: int, call: Call) -> None:
        """Give it a call; its source goes before it when the child does not have it."""
        self._provide(call.hash, call.function, call.source)
        if call.check_only:
            self._send(frames.pack(frames.CHECK, number, call.hash.encode()))
            return
        header = _encode(
            (
                call.hash,
                call.function,
                call.id,
                call.attempt,
                call.submitter,
                call.timeout_seconds,
                call.result_max,
            )
        )
        lengths = frames.JOB_HEAD.pack(len(header), len(call.args))
        size = 13 + len(header) + len(call.args) + len(call.kwargs)
        head = frames.HEAD.pack(size, frames.JOB, number)
        self._send(b"".join((head, lengths, header, call.args, call.kwargs)))

    def cancel(self, number: int) -> None:
        """Set a call's flag, and cancel its task."""
        self._send(frames.pack(frames.CANCEL, number))

    def ping(self) -> None:
        """Ask whether the loop answers."""
        self._send(frames.pack(frames.PING, 0))

    def _provide(self, content_hash: str, function: str, source: bytes) -> None:
        sources = self._sources
        if content_hash in sources:
            sources.move_to_end(content_hash)
            return
        sources[content_hash] = None
        if len(sources) > SOURCES_MAX:
            oldest, _ = sources.popitem(last=False)
            self._send(frames.pack(frames.FORGET, 0, oldest.encode()))
        name = function.encode()
        body = content_hash.encode() + len(name).to_bytes(2, "big") + name + source
        self._send(frames.pack(frames.SOURCE, 0, body))

    def _send(self, data: bytes) -> None:
        """Write a frame, now or with others of this turn of the loop."""
        raise NotImplementedError


class Orders(OrderFrames):
    """The pipe to a child; what it does not take at once waits here. Belongs to the loop's thread.

    Args:
        fd: The pipe's end, which does not block; closed with this.
        loop: Hears when the pipe takes more.
    """

    def __init__(self, fd: int, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._fd = fd
        self._loop = loop
        self._outgoing: list[bytes] = []
        self._unsent = b""
        self._is_closed = False

    def close(self) -> None:
        """Write nothing more. A second call does nothing."""
        if self._is_closed:
            return
        self._is_closed = True
        if self._unsent:
            self._loop.remove_writer(self._fd)
        os.close(self._fd)

    def _send(self, data: bytes) -> None:
        self._outgoing.append(data)
        if len(self._outgoing) == 1:
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        if self._is_closed:
            return
        data = b"".join(self._outgoing)
        self._outgoing.clear()
        if self._unsent:
            self._unsent += data
        else:
            self._write(data)

    def _write(self, data: bytes) -> None:
        was_waiting = bool(self._unsent)
        try:
            sent = os.write(self._fd, data)
        except BlockingIOError:
            sent = 0
        except OSError:
            return  # it is dying; its exit tells what became of its calls
        self._unsent = data[sent:]
        if self._unsent and not was_waiting:
            self._loop.add_writer(self._fd, self._on_writable)
        elif was_waiting and not self._unsent:
            self._loop.remove_writer(self._fd)

    def _on_writable(self) -> None:
        self._write(self._unsent)
