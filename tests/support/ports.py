"""Ports of loopback for servers that a test starts, stops and starts again."""

import contextlib
import itertools
import os
import socket
from typing import Final

FIRST: Final = 16_000
"""Below what systems give to outgoing connections (Linux from 32768), which would take a stopped server's port."""
SLICES: Final = 250
SLICE: Final = 64
"""Ports of one process: several that look at the same moment find different ones."""
_turns = itertools.count()


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on, all different, and other than the last ones."""
    first = FIRST + os.getpid() * 37 % SLICES * SLICE
    with contextlib.ExitStack() as stack:
        found: list[int] = []
        for _ in range(4 * SLICE):
            port = first + next(_turns) % SLICE
            probe = stack.enter_context(socket.socket())
            with contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", port))
                found.append(port)
            if len(found) == count:
                return found
    raise OSError(f"of the ports from {first} to {first + SLICE - 1} fewer than {count} are free")


def free_port() -> int:
    """One of them."""
    return free_ports(1)[0]
