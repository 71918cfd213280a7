"""A plain command on a host that has nothing but sh: its group is known, so that it can be ended."""

import asyncio
import secrets
from collections.abc import Sequence
from typing import Final

from dts_core.ssh.channel import STDERR, Receive
from dts_core.ssh.output import KeptOutput
from dts_core.ssh.quoting import command_line

__all__ = ["Command"]

NOISE_MAX: Final = 64 << 10
"""Bytes that a login shell's own files may print before the command begins."""
_SCRIPT: Final = 'echo "$0:$$" >&2; exec "$@"'


class Command:
    """One run of a command: the line that starts it, what is kept of its output, and its process group.

    sshd makes each command the leader of a session, and its shell hands that place on by `exec`. The first thing it
    says, behind a word that nobody could guess, is its process id: that of the group too.

    Args:
        argv: Word by word.
        kept_max: Bytes to keep of each stream.
        receive: Hears every piece of output too.
    """

    def __init__(self, argv: Sequence[str], *, kept_max: int, receive: Receive | None) -> None:
        self._mark = f"dts-{secrets.token_hex(12)}"
        command_line(argv)  # refuses what no shell could take
        self.line = "exec " + command_line(["sh", "-c", _SCRIPT, self._mark, *argv])
        self.stdout = KeptOutput(kept_max)
        self.stderr = KeptOutput(kept_max)
        self._receive = receive
        self._noise: bytes | None = b""
        self.group: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        """Its process group, once it runs; 0: it never said."""

    def take(self, stream: int, data: bytes) -> None:
        """A piece of output."""
        if stream == STDERR and self._noise is not None:
            data = self._look_for_mark(data)
        if not data:
            return
        (self.stderr if stream == STDERR else self.stdout).take(data)
        if self._receive is not None:
            self._receive(stream, data)

    def _look_for_mark(self, data: bytes) -> bytes:
        """Take the line with the process id out; returns what is not of it."""
        assert self._noise is not None
        self._noise += data
        before, mark, after = self._noise.partition(self._mark.encode() + b":")
        number, end, rest = after.partition(b"\n")
        if mark and end:
            self._noise = None
            self._tell(int(number) if number.isdigit() else 0)
            return before + rest
        if len(self._noise) > NOISE_MAX:
            return self.give_up()
        return b""

    def give_up(self) -> bytes:
        """No process id will come; returns what was held back for it."""
        held, self._noise = self._noise or b"", None
        self._tell(0)
        return held

    def _tell(self, group: int) -> None:
        if not self.group.done():
            self.group.set_result(group)

    def end(self) -> None:
        """Nothing more comes."""
        held = self.give_up()
        if held:
            self.take(STDERR, held)
