"""One followed file: known by its inode, not by its name. Everything here blocks."""

import os
from contextlib import suppress
from datetime import datetime
from stat import S_ISREG
from typing import Final, NamedTuple

from dts_worker.agent.joining import Entry, Joiner
from dts_worker.agent.lines import Line, Splitter

HEAD_BYTES: Final = 256
"""So many first bytes tell a file from another one that got its inode or its name."""
_FLAGS: Final = (
    os.O_RDONLY
    | getattr(os, "O_NONBLOCK", 0)
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_NOCTTY", 0)
    | getattr(os, "O_BINARY", 0)
)


class Inode(NamedTuple):
    """What a file is known by."""

    device: int
    number: int


class Moment(NamedTuple):
    """When a look at the files takes place."""

    monotonic: float
    now: datetime


def inode_of(stat: os.stat_result) -> Inode:
    """The file's identity."""
    return Inode(stat.st_dev, stat.st_ino)


class Replaced(Exception):
    """The path leads to another file now, or to none."""


class Tail:
    """Reads one file as it grows.

    Args:
        path: Where it is found now; may change.
        inode: What it is.
        offset: From where on.
        head: Its first bytes as known; checked before anything is read.
        is_inside: Whether `offset` may stand in the middle of a line that was begun before we looked.
    """

    def __init__(
        self,
        path: str,
        inode: Inode,
        offset: int,
        *,
        head: bytes = b"",
        is_inside: bool = False,
    ) -> None:
        self.path = path
        self.born = path
        """The path at which it was met: copies that a rotation makes are named after it."""
        self.inode = inode
        self.head = head
        self.active = float("-inf")
        """Monotonic time of its last growth."""
        self.gone: float | None = None
        """Monotonic time since which no name leads to it; None while one does."""
        self.is_unreadable = False
        self.truncated: tuple[bytes, int] | None = None
        """Its first bytes and our offset before it was last truncated: a copy of it may be met."""
        self._fd: int | None = None
        self.changed = 0
        """When it was last written to, in nanoseconds by the file system, as of the last look."""
        self._is_inside = is_inside
        self._splitter = Splitter(offset)
        self._joiner = Joiner()

    @property
    def position(self) -> int:
        """Offset up to which it was read."""
        return self._splitter.end

    @property
    def committed(self) -> int:
        """Offset up to which all entries were handed out: from here a later start goes on."""
        return self._splitter.start if self._joiner.start is None else self._joiner.start

    @property
    def is_open(self) -> bool:
        """Whether it holds a file descriptor."""
        return self._fd is not None

    @property
    def is_settled(self) -> bool:
        """Whether it holds neither an unfinished line nor an unfinished entry."""
        return self._joiner.start is None and self.position == self._splitter.start

    def open(self) -> None:
        """Open the file by its path.

        Raises:
            Replaced: Another file, or none, is there.
            OSError: It cannot be opened.
        """
        if self._fd is not None:
            return
        try:
            fd = os.open(self.path, _FLAGS)
        except FileNotFoundError as error:
            raise Replaced(self.path) from error
        stat = os.fstat(fd)
        if not S_ISREG(stat.st_mode) or inode_of(stat) != self.inode:
            os.close(fd)
            raise Replaced(self.path)
        self._fd = fd

    def close(self) -> None:
        """Give the descriptor back; what was read stays known."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def read(self, budget: int, moment: Moment) -> tuple[list[Entry], bool]:
        """Read what is new, at most `budget` bytes.

        Returns:
            The entries that became whole, and whether there is more to read at once.

        Raises:
            Replaced: Its path leads elsewhere (only when it was closed).
            OSError: It cannot be read.
        """
        self.open()
        assert self._fd is not None
        stat = os.fstat(self._fd)
        entries: list[Entry] = []
        if self._was_truncated(stat):
            entries += self.finish(moment)
            self._begin_again()
        if stat.st_size > self.position:
            self._learn_head()
            if self._is_inside:
                self._look_behind()
            data = os.pread(self._fd, min(budget, stat.st_size - self.position), self.position)
            if data:
                self.active = moment.monotonic
                entries += self._take(data, moment)
        quiet = self._joiner.flush_quiet(moment.monotonic)
        if quiet is not None:
            entries.append(quiet)
        return entries, stat.st_size > self.position

    def finish(self, moment: Moment) -> list[Entry]:
        """Everything that is left, also an unfinished line: nothing will be added to it."""
        entries = []
        line = self._splitter.rest()
        if line is not None:
            entries += self._join(line, self.position - len(line.data) - line.cut, moment)
        last = self._joiner.flush()
        return entries if last is None else [*entries, last]

    def _was_truncated(self, stat: os.stat_result) -> bool:
        if stat.st_size < self.position:
            return True
        if stat.st_mtime_ns == self.changed and stat.st_size == self.position:
            return False
        self.changed = stat.st_mtime_ns
        return bool(self.head) and not self.has_head(self.head)

    def has_head(self, head: bytes) -> bool:
        """Whether the open file begins with these bytes."""
        assert self._fd is not None
        return os.pread(self._fd, len(head), 0) == head

    def _begin_again(self) -> None:
        self.truncated = (self.head, self.position)
        self.head = b""
        self._splitter = Splitter()
        self._is_inside = False

    def _learn_head(self) -> None:
        if len(self.head) < HEAD_BYTES:
            assert self._fd is not None
            self.head = os.pread(self._fd, HEAD_BYTES, 0)

    def _look_behind(self) -> None:
        """Whether the byte before the start ends a line; else the rest of that line is left out."""
        assert self._fd is not None
        self._is_inside = False
        start = self.position
        if start and os.pread(self._fd, 1, start - 1) != b"\n":
            self._splitter = Splitter(start, is_inside=True)

    def _take(self, data: bytes, moment: Moment) -> list[Entry]:
        entries = []
        start = self._splitter.start
        for line in self._splitter.feed(data):
            entries += self._join(line, start, moment)
            start = line.end
        return entries

    def _join(self, line: Line, start: int, moment: Moment) -> list[Entry]:
        entry = self._joiner.add(
            line.text(), start, line.end, monotonic=moment.monotonic, now=moment.now
        )
        return [] if entry is None else [entry]


def read_head(path: str, length: int = HEAD_BYTES) -> bytes:
    """The first bytes of a regular file; empty when they cannot be had."""
    with suppress(OSError):
        fd = os.open(path, _FLAGS)
        try:
            if S_ISREG(os.fstat(fd).st_mode):
                return os.read(fd, length)
        finally:
            os.close(fd)
    return b""


def find_inode(folder: str, inode: Inode) -> str | None:
    """The path of a file of this identity in the folder (a renamed log stays beside the new one), or None."""
    with suppress(OSError), os.scandir(folder) as found:
        for item in found:
            if item.inode() == inode.number:
                with suppress(OSError):
                    stat = item.stat()
                    if S_ISREG(stat.st_mode) and inode_of(stat) == inode:
                        return item.path
    return None
