"""The terminal at hand in raw mode: every key is passed on, every byte is shown; afterwards it is as it was before."""

import asyncio
import contextlib
import os
import shutil
import sys
import termios
import tty
from typing import Any, Final, Self

__all__ = ["RawTerminal", "Traces"]

PIECE: Final = 16 << 10
_MODES: Final = (b"1", b"1000", b"1002", b"1003", b"1004", b"1005", b"1006", b"1015", b"2004")
"""Of keys, mouse, focus and paste: what a program that was cut off leaves switched on."""
_SCREENS: Final = (b"47", b"1047", b"1049")
_TAIL: Final = 16
"""Longer than any of the sequences that are looked for."""


class Traces:
    """Which modes were switched on and not off again, so that they can be, when nobody else does."""

    def __init__(self) -> None:
        self._on: dict[bytes, None] = {}
        self._is_hidden = False
        self._tail = b""

    def see(self, data: bytes) -> None:
        """A piece of what is shown."""
        data = self._tail + data
        if b"\x1b[?" in data:
            for part in data.split(b"\x1b[?")[1:]:
                self._note(part)
        self._tail = data[-_TAIL:]
        if b"\x1b" not in self._tail:
            self._tail = b""
        else:
            self._tail = self._tail[self._tail.rindex(b"\x1b") :]

    def _note(self, part: bytes) -> None:
        digits = part[: len(part) - len(part.lstrip(b"0123456789;"))]
        final = part[len(digits) : len(digits) + 1]
        if final not in (b"h", b"l"):
            return
        for mode in digits.split(b";"):
            if mode == b"25":
                self._is_hidden = final == b"l"
            elif mode in (*_MODES, *_SCREENS) and final == b"h":
                self._on[mode] = None
            else:
                self._on.pop(mode, None)

    def undoing(self) -> bytes:
        """What switches them off, the last first; empty when nothing was left."""
        off = [b"\x1b[?%sl" % mode for mode in reversed(self._on)]
        if self._is_hidden:
            off.append(b"\x1b[?25h")
        return b"".join([*off, b"\x1b[0m"]) if off else b""


class RawTerminal:
    """A context manager; standard input and output are one terminal, which is left as it was found."""

    def __init__(self) -> None:
        self._in, self._out = sys.stdin.fileno(), sys.stdout.fileno()
        self._before: list[Any] = []
        self._is_lent = False
        self._traces = Traces()

    def __enter__(self) -> Self:
        self._before = termios.tcgetattr(self._in)
        return self

    def __exit__(self, *_: object) -> None:
        if not self._is_lent:
            return
        with contextlib.suppress(OSError, termios.error):  # the terminal itself may be gone
            termios.tcsetattr(self._in, termios.TCSADRAIN, self._before)
            os.write(self._out, self._traces.undoing())

    def lend(self) -> None:
        """From here on keys are nobody's but the host's: Ctrl-C too."""
        self._is_lent = True
        tty.setraw(self._in, termios.TCSADRAIN)

    def size(self) -> tuple[int, int]:
        """Columns and lines."""
        try:
            size = os.get_terminal_size(self._out)
        except OSError:
            size = shutil.get_terminal_size()
        return min(max(size.columns, 1), 2000), min(max(size.lines, 1), 2000)

    async def keys(self) -> bytes:
        """What was typed; empty when the terminal is gone."""
        loop = asyncio.get_running_loop()
        ready: asyncio.Future[None] = loop.create_future()
        loop.add_reader(self._in, _set, ready)
        try:
            await ready
        finally:
            loop.remove_reader(self._in)
        try:
            return os.read(self._in, PIECE)
        except OSError:
            return b""

    async def show(self, data: bytes) -> None:
        """Write it out, all of it; the loop need not wait for a slow terminal."""
        self._traces.see(data)
        await asyncio.to_thread(self._write, data)

    def _write(self, data: bytes) -> None:
        while data:
            data = data[os.write(self._out, data) :]


def _set(ready: "asyncio.Future[None]") -> None:
    if not ready.done():
        ready.set_result(None)
