"""A link over standard input and output, as a worker has it that was launched over SSH.

The stream is there once: when it ends, whoever launched this process is gone, and so is its right to run.
"""

import asyncio
import os
import socket
import stat
import sys
from collections.abc import Callable

from dts_core.brokers import frames
from dts_core.brokers.wire import StreamReader, StreamWriter
from dts_core.errors import BrokerUnavailable

__all__ = ["Stdio", "streams_of"]


class Stdio:
    """Descriptors 0 and 1, kept for frames alone.

    From its making on nothing else comes near them: what is printed goes to standard error, what is read from standard
    input is at its end. Make it before anything prints.
    """

    def __init__(self) -> None:
        self.on_over: Callable[[], None] = lambda: None
        """Called when the stream is over, for good."""
        self._incoming, self._outgoing = os.dup(0), os.dup(1)
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.close(nothing)
        os.dup2(2, 1)
        sys.stdout = sys.stderr
        self._is_open = False

    async def open(self) -> tuple[StreamReader, StreamWriter]:
        """The stream; asked for once more, it is over.

        Raises:
            BrokerUnavailable: It was there.
        """
        if self._is_open:
            self.on_over()
            raise BrokerUnavailable("standard input has ended, and with it this link.")
        self._is_open = True
        return await streams_of(self._incoming, self._outgoing)


async def streams_of(incoming: int, outgoing: int) -> tuple[StreamReader, StreamWriter]:
    """Streams over two descriptors, pipes or one socket, which belong to them from now on."""
    loop = asyncio.get_running_loop()
    if _is_one_socket(incoming, outgoing):
        # A pipe's transport would take what comes in for the end of what goes out.
        os.close(outgoing)
        connection = socket.socket(fileno=incoming)
        return await asyncio.open_unix_connection(sock=connection, limit=frames.READ_SIZE)
    reader = asyncio.StreamReader(limit=frames.READ_SIZE)
    protocol = asyncio.StreamReaderProtocol(reader)
    await loop.connect_read_pipe(lambda: protocol, os.fdopen(incoming, "rb", buffering=0))
    sink = asyncio.StreamReaderProtocol(asyncio.StreamReader())
    file = os.fdopen(outgoing, "wb", buffering=0)
    transport, _ = await loop.connect_write_pipe(lambda: sink, file)
    return reader, asyncio.StreamWriter(transport, sink, None, loop)


def _is_one_socket(incoming: int, outgoing: int) -> bool:
    one, other = os.fstat(incoming), os.fstat(outgoing)
    return stat.S_ISSOCK(one.st_mode) and (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino)
