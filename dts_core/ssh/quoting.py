"""From an argv to the one line that SSH carries: the only place where a command line is put together."""

import shlex
from collections.abc import Sequence

from dts_core.errors import InvalidInput

__all__ = ["command_line"]


def command_line(argv: Sequence[str]) -> str:
    """The line that a POSIX shell takes apart into exactly `argv`.

    Raises:
        InvalidInput: It is empty, or an argument holds a NUL, which no argument can.
    """
    if not argv or not argv[0]:
        raise InvalidInput("The command is empty.", fields={"argv": "at least one word"})
    if any("\0" in word for word in argv):
        raise InvalidInput("A word of the command holds a NUL.", fields={"argv": "no NUL"})
    return shlex.join(argv)
