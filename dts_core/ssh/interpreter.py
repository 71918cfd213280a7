"""An interpreter that is kept alive on a far host: calls go in, their ends come out. One call at a time."""

import asyncio
import secrets
import time
from collections.abc import Callable
from typing import Any, Final

from dts_core.children.answers import raised, returned
from dts_core.children.calls import Call, Ended
from dts_core.children.orders import OrderFrames
from dts_core.errors import InterpreterUnfit, PackagesGone, RemoteError, SessionLost
from dts_core.runner import frames
from dts_core.ssh.bootstrap import UNFIT, bundle, start_line
from dts_core.ssh.channel import STDERR, Channel, Receive
from dts_core.ssh.output import KeptOutput
from dts_core.ssh.session import Session
from dts_core.text import one_line

__all__ = ["Interpreter", "Pending"]

NO_PACKAGES: Final = frames.NO_PACKAGES.decode()

NOISE_MAX: Final = 64 << 10
"""Bytes that a login shell's own files may print before the interpreter greets."""
SLACK: Final = 1 << 16
"""What a frame may be longer than the largest result."""
LINES_PER_SECOND: Final = 1000
OUTPUT_MAX: Final = 1 << 18
"""Bytes that are kept of what one call prints."""


class Pending:
    """A call that an interpreter runs."""

    __slots__ = ("call", "ended", "output", "receive")

    def __init__(self, call: Call, receive: Receive | None) -> None:
        self.call = call
        self.receive = receive
        self.output: KeptOutput | None = None
        """Made with the first line: most calls print none."""
        self.ended: asyncio.Future[Ended] = asyncio.get_running_loop().create_future()

    def hear(self, data: bytes) -> None:
        """Something that it printed or logged."""
        if self.output is None:
            self.output = KeptOutput(OUTPUT_MAX)
        self.output.take(data)
        if self.receive is not None:
            self.receive(0, data)


class Interpreter(OrderFrames):
    """Made by `Calls`, which opens its channel and gives it one call after the other.

    Args:
        host: The target's id.
        packages: A folder there that its functions import from; empty: none.
    """

    def __init__(self, host: str, packages: str = "") -> None:
        super().__init__()
        self._host = host
        self._packages = packages
        self._mark = f"dts-{secrets.token_hex(12)}".encode()
        self._greeted = False
        self._rest = bytearray()
        self._missing = 0
        """Bytes that the frame in `_rest` still lacks: a long one is not copied anew with each piece."""
        self._frame_max = SLACK
        self._numbers = 0
        self._pending: Pending | None = None
        self._channel: Channel | None = None
        self._words = KeptOutput(2048)
        """What it says between calls: why it does not start, mostly."""
        self.retiring = False
        """Whether it gets no further call."""
        self.idle_since = 0.0
        self.on_end: Callable[[], None] = _nothing

    @property
    def is_alive(self) -> bool:
        """Whether its channel is open."""
        return self._channel is not None

    # --- its life

    async def live(
        self, session: Session, opened: "asyncio.Future[None]", start_seconds: float
    ) -> None:
        """Open the channel, tell `opened`, and return when it has closed. Cancelled, it closes it: all of it ends.

        Args:
            session: Where.
            opened: Set once calls may be given; they need not wait for the greeting.
            start_seconds: Within which it must greet.
        """
        line = start_line(session.target.python)
        async with session.channel(line, self._take, self._close) as channel:
            options = {"host": self._host, "lines": LINES_PER_SECOND, "memory": 0}
            told: dict[str, Any] = {"mark": self._mark.decode(), "child": options}
            if self._packages:
                told["packages"] = self._packages
            channel.write(bundle(told, near=session.is_near))
            self._channel = channel
            opened.set_result(None)
            loop = asyncio.get_running_loop()
            overdue = loop.call_later(start_seconds, self._check_greeted, start_seconds)
            try:
                await asyncio.shield(channel.ended)
            finally:
                overdue.cancel()

    def _check_greeted(self, start_seconds: float) -> None:
        if not self._greeted:
            self._break_off(f"it says nothing for {start_seconds:g} s")

    def end(self) -> None:
        """Close its input: the guard there ends the interpreter and everything it started."""
        self.retiring = True
        if self._channel is not None:
            self._channel.write_eof()

    def _close(self) -> None:
        """The channel has closed."""
        self.retiring = True
        self._channel = None
        pending, self._pending = self._pending, None
        if pending is not None and not pending.ended.done():
            pending.ended.set_exception(self._why_closed())
        self.on_end()

    def _why_closed(self) -> RemoteError:
        said = self._words.kept().decode("utf-8", "replace")
        if self._greeted:
            text = "its interpreter ended while the function ran"
            return SessionLost(f"{text}: {one_line(said)}" if said else text, host=self._host)
        if UNFIT in said:
            return InterpreterUnfit("it has no Python that is new enough", host=self._host)
        if NO_PACKAGES in said:
            return PackagesGone("the packages that it was given are gone", host=self._host)
        if not said and self._rest:
            said = bytes(self._rest[-500:]).decode("utf-8", "replace")
        if said:
            why = f"its Python does not start: {one_line(said.strip().rsplit(chr(10), 1)[-1])}"
            return InterpreterUnfit(why, host=self._host)
        return SessionLost("the connection ended before its Python started", host=self._host)

    # --- calls

    def start(self, pending: Pending) -> int:
        """Give it a call; it must have none. Returns the call's number here."""
        self._numbers += 1
        self._pending = pending
        self._frame_max = pending.call.result_max + SLACK
        if self._channel is None:  # it has ended since it was chosen
            self._close()
        self.begin(self._numbers, pending.call)
        return self._numbers

    def _send(self, data: bytes) -> None:
        if self._channel is not None:
            self._channel.write(data)

    def _take(self, stream: int, data: bytes) -> None:
        if stream == STDERR:
            if self._pending is not None:
                self._pending.hear(data)
            self._words.take(data)
        elif self._greeted:
            self._take_frames(data)
        else:
            self._look_for_mark(data)

    def _look_for_mark(self, data: bytes) -> None:
        self._rest += data
        _, mark, rest = bytes(self._rest).partition(self._mark + b":")
        if mark:
            self._greeted = True
            self._rest.clear()
            self._words = KeptOutput(2048)
            self._take_frames(rest)
        elif len(self._rest) > NOISE_MAX:
            self._break_off("its shell prints without end before our Python begins")

    def _take_frames(self, data: bytes) -> None:
        if len(data) < self._missing:
            self._rest += data
            self._missing -= len(data)
            return
        try:
            found, rest = frames.split(
                bytes(self._rest) + data if self._rest else data, self._frame_max
            )
        except ValueError:
            self._break_off("it sent what is no message of ours")
            return
        if rest or self._rest:
            self._rest = bytearray(rest)
        self._missing = 4 + int.from_bytes(rest[:4], "big") - len(rest) if len(rest) >= 9 else 0
        for kind, number, body in found:
            self._take_frame(kind, number, body)

    def _take_frame(self, kind: int, number: int, body: bytes) -> None:
        pending = self._pending
        if kind == frames.RETIRE:
            self.retiring = True
        elif pending is None or number != self._numbers:
            return  # the last words of a call that nobody waits for
        elif kind == frames.RESULT:
            self._finish(pending, returned(body, pending.call.result_max))
        elif kind == frames.FAILED:
            self._finish(pending, raised(body))
        elif kind == frames.LOG and body:
            pending.hear(body[1 : 1 + 4 * frames.RECORD_MAX] + b"\n")

    def _finish(self, pending: Pending, ended: Ended) -> None:
        self._pending = None
        self.idle_since = time.monotonic()
        if not pending.ended.done():
            pending.ended.set_result(ended)

    def _break_off(self, why: str) -> None:
        self._words.take(why.encode())
        self._rest.clear()
        if self._channel is not None:
            self._channel.abort()


def _nothing(*_: Any) -> None:
    return None
