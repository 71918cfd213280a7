"""Runs the commands that make an environment: their words are passed on as they come, and nothing of them is left."""

import asyncio
import os
import subprocess
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

from dts_core.children.orphans import kill_tree
from dts_core.settings import masked
from dts_core.text import clean

LINE_MAX: Final = 1_000
"""Longest line that is passed on, in characters; what is longer is cut."""
LINES_MAX: Final = 2_000
"""Most lines that are passed on of one command."""
TAIL: Final = 20
"""Last lines that are kept for the error."""
Tell = Callable[[str], None]
"""Told of each line, printable and without passwords, on the loop's thread."""


class Ran(msgspec.Struct, frozen=True):
    """How a command ended."""

    status: int
    tail: list[str]
    timed_out: bool = False
    lost_network: bool = False
    """Some line of it told of trouble with the network."""


class Commands:
    """Starts commands as children of this process that the pool's sweeper leaves alone.

    Args:
        spared: Where their process ids stand while they run.
        marks: Variables by which a keeper ends them when this process is killed.
    """

    def __init__(self, spared: set[int], marks: Callable[[], Mapping[str, str]]) -> None:
        self._spared = spared
        self._marks = marks

    async def run(
        self,
        command: Sequence[str],
        *,
        folder: Path,
        variables: Mapping[str, str],
        seconds: float,
        hold: int,
        tell: Tell,
    ) -> Ran:
        """Run a command to its end, at most so long; when the waiting task is cancelled it is ended too.

        Args:
            command: Program and arguments; no secret is among them.
            folder: Where it runs.
            variables: Its whole environment, save the marks.
            seconds: Until it is ended.
            hold: Descriptor of a lock that it holds as long as it lives, even when this process does not.
            tell: Hears its lines.

        Raises:
            OSError: It cannot be started.
        """
        loop = asyncio.get_running_loop()
        # Started and noted in one turn of the loop: the pool takes any other child of ours for an orphan.
        process = _start(command, folder, {**variables, **self._marks()}, hold)
        self._spared.add(process.pid)
        overdue = _Overdue(process)
        timer = loop.call_later(seconds, overdue.end)
        reader = _Reader(tell, loop)
        reading = asyncio.ensure_future(asyncio.to_thread(_follow, process, reader))
        try:
            status = await asyncio.shield(reading)
        except asyncio.CancelledError:
            overdue.end()
            await reading
            raise
        finally:
            timer.cancel()
            self._spared.discard(process.pid)
        return Ran(status, list(reader.tail), overdue.ended, reader.lost_network)


def _start(
    command: Sequence[str], folder: Path, variables: Mapping[str, str], hold: int
) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd=folder,
        env=variables,
        pass_fds=(hold,),
        start_new_session=True,
    )


class _Overdue:
    """Ends a command with everything below it."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self._process = process
        self.ended = False

    def end(self) -> None:
        if self._process.returncode is None:
            self.ended = True
            kill_tree(self._process.pid)


class _Reader:
    """Takes lines in a thread, and tells of them on the loop."""

    def __init__(self, tell: Tell, loop: asyncio.AbstractEventLoop) -> None:
        self.tail: deque[str] = deque(maxlen=TAIL)
        self.lost_network = False
        self._tell = tell
        self._loop = loop
        self._lines = 0

    def take(self, data: bytes) -> None:
        text = masked(clean(data.decode("utf-8", "replace").rstrip(), LINE_MAX))
        if not text:
            return
        self.lost_network = self.lost_network or is_network_trouble(text)
        self.tail.append(text)
        self._lines += 1
        if self._lines <= LINES_MAX:
            self._loop.call_soon_threadsafe(self._tell, text)


def _follow(process: "subprocess.Popen[bytes]", reader: _Reader) -> int:
    assert process.stdout is not None
    with process.stdout as stream:
        while line := stream.readline(LINE_MAX * 4):
            reader.take(line)
    return process.wait()


_NETWORK: Final = (
    "after connection broken by",
    "connection reset",
    "connection refused",
    "connection timed out",
    "connection aborted",
    "read timed out",
    "temporary failure in name resolution",
    "name or service not known",
    "network is unreachable",
    "max retries exceeded",
    "proxyerror",
    "incompleteread",
    "http error 5",
    "500 server error",
    "502 server error",
    "503 server error",
    "504 server error",
    "http error 429",
    "too many requests",
)


def is_network_trouble(line: str) -> bool:
    """Whether a line of pip tells of trouble that a later try may not have."""
    lower = line.lower()
    return any(each in lower for each in _NETWORK)


PASSED: Final = (
    "PATH",
    "HOME",
    "LANG",
    "USER",
    "LOGNAME",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "REQUESTS_CA_BUNDLE",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "no_proxy",
)
"""What commands see of our environment."""


def passed_variables(*, with_pip: bool) -> dict[str, str]:
    """The variables of a command; with those of pip when the host's own configuration counts."""
    return {
        name: value
        for name, value in os.environ.items()
        if name in PASSED or (with_pip and name.startswith("PIP_"))
    }
