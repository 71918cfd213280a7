"""All followed files: finds them, reads them in turn, and keeps them apart through every rotation.

A file is known by its inode. A rename leaves it what it is; a new file under an old name is a new file. Everything here
blocks and runs in one thread at a time; what it finds waits in `outbox`, which the loop's thread empties.
"""

import glob
import os
import time
from collections import deque
from collections.abc import Iterator
from datetime import UTC
from pathlib import Path
from stat import S_ISREG
from typing import Final

from dts_core.clock import Clock
from dts_core.model import LogRecord
from dts_core.text import clean
from dts_worker.agent.joining import Entry
from dts_worker.agent.offsets import Offset, OffsetFile, head_hash
from dts_worker.agent.rate import Allowance
from dts_worker.agent.reading import WARNING
from dts_worker.agent.tail import (
    Inode,
    Moment,
    Replaced,
    Tail,
    find_inode,
    inode_of,
    read_head,
)

FILES_MAX: Final = 5_000
"""Files followed at most."""
OPEN_MAX: Final = 200
"""Descriptors held at most; the files that were quiet for longest are closed."""
SCAN_SECONDS_MAX: Final = 5.0
"""Longest look through the folders."""
FILE_BUDGET: Final = 128 << 10
"""Most bytes of one file in one step: a loud file does not starve the others."""
STEP_BUDGET: Final = 1 << 20
LINGER_SECONDS: Final = 10.0
"""A rotated file may still be written to for so long after its last growth."""
HOT_SECONDS: Final = 60.0
"""Files that grew lately are looked at in every step, the others when the folders are."""
SAVE_SECONDS: Final = 2.0
SCAN_SHARE: Final = 0.05
"""Most of the time that may go into looking through the folders, however many there are."""
GONE_MAX: Final = 1_000
"""Files without a name whose offsets are kept: a folder that was away for a while may come back."""
PACKED: Final = (".gz", ".xz", ".bz2", ".zst", ".zip", ".lz4")
"""Rotated logs that were packed: they hold what was read before."""


class Follower:
    """Follows the files that the globs find.

    Args:
        patterns: Globs; ~ and ** are understood.
        level: Lowest level that counts.
        allowance: Bounds the records.
        offsets: Where offsets are kept.
        scan_seconds: How often the globs are looked up again.
        from_start: Whether a file that is there at the first start is read from its beginning.
        host: Name of this host, for the records.
        clock: The time.
    """

    def __init__(
        self,
        patterns: list[str],
        level: int,
        *,
        allowance: Allowance,
        offsets: OffsetFile,
        scan_seconds: float,
        from_start: bool,
        host: str,
        clock: Clock,
    ) -> None:
        self.outbox: deque[LogRecord] = deque()
        self._patterns = [str(Path(pattern).expanduser()) for pattern in patterns]
        self._level = level
        self._allowance = allowance
        self._offsets = offsets
        self._scan_seconds = scan_seconds
        self._from_start = from_start
        self._host = host
        self._clock = clock
        self._tails: dict[Inode, Tail] = {}
        self._known: dict[Inode, Offset] = {}
        self._names: set[str] = set()
        self._started = False
        self._scan_due = float("-inf")
        self._save_due = float("-inf")
        self._turn = 0
        self._save_failed = False
        self._is_over = False

    def step(self) -> bool:
        """Look at the files once; returns whether more is waiting. Call it only with an empty `outbox`.

        What it put into the outbox in the step before counts as sent: its offsets may be kept now.
        """
        moment = Moment(self._clock.monotonic(), self._clock.now())
        if not self._started:
            self._load(moment)
        elif moment.monotonic >= self._save_due:
            self.save()
        if moment.monotonic >= self._scan_due:
            began = time.monotonic()
            self._scan(moment)
            pause = max(self._scan_seconds, (time.monotonic() - began) / SCAN_SHARE)
            self._scan_due = moment.monotonic + pause
        more = self._read_all(moment)
        self._bury(moment)
        self._close_quiet(moment)
        word = self._allowance.word(moment.monotonic)
        if word:
            self._put_own("agent", word, moment)
        return more

    def save(self) -> None:
        """Keep the offsets; a folder that cannot be written is said once."""
        moment = Moment(self._clock.monotonic(), self._clock.now())
        self._save_due = moment.monotonic + SAVE_SECONDS
        offsets = [_offset(tail) for tail in self._tails.values()]
        offsets += [offset for inode, offset in self._known.items() if inode not in self._tails]
        try:
            self._offsets.save(offsets)
        except OSError as error:
            if not self._save_failed:
                self._put_own("agent", f"positions in log files cannot be kept: {error}", moment)
            self._save_failed = True
        else:
            self._save_failed = False

    def close(self) -> None:
        """Give all descriptors back."""
        for tail in self._tails.values():
            tail.close()

    def _load(self, moment: Moment) -> None:
        try:
            known = self._offsets.load()
        except OSError as error:
            known = []
            self._put_own("agent", f"positions in log files cannot be read: {error}", moment)
        self._known = {offset.inode: offset for offset in known}
        self._names = {offset.path for offset in known}
        self._save_due = moment.monotonic + SAVE_SECONDS

    def _scan(self, moment: Moment) -> None:
        """Look the globs up; find new files, new names of known ones, and names that are gone."""
        found = self._find(moment)
        for inode, (path, stat) in found.items():
            tail = self._tails.get(inode)
            if tail is None:
                tail = self._tails[inode] = self._meet(path, inode, stat)
                tail.changed = stat.st_mtime_ns
                if (
                    len(self._tails) <= OPEN_MAX
                ):  # thousands of quiet files are not worth a close look each
                    tail.active = moment.monotonic
            tail.path, tail.gone = path, None
            if stat.st_size != tail.position or stat.st_mtime_ns != tail.changed:
                tail.active = moment.monotonic
        for inode, tail in self._tails.items():
            if inode not in found and tail.gone is None and _has_moved(tail):
                tail.gone = moment.monotonic
        if not self._started:
            self._started = True
            self._resume_renamed(moment)
        self._names = {tail.path for tail in self._tails.values()}

    def _find(self, moment: Moment) -> dict[Inode, tuple[str, os.stat_result]]:
        found: dict[Inode, tuple[str, os.stat_result]] = {}
        for path in self._glob():
            if path.endswith(PACKED):
                continue
            try:
                stat = Path(path).stat()
            except OSError:
                continue
            if not S_ISREG(stat.st_mode):
                continue
            if len(found) >= FILES_MAX and inode_of(stat) not in found:
                if not self._is_over:
                    text = f"more than {FILES_MAX} log files: the others are not followed"
                    self._put_own("agent", text, moment)
                self._is_over = True
                break
            found.setdefault(inode_of(stat), (path, stat))
        return found

    def _glob(self) -> Iterator[str]:
        deadline = time.monotonic() + SCAN_SECONDS_MAX
        for pattern in self._patterns:
            for path in glob.iglob(pattern, recursive=True):  # noqa: PTH207 - Path.glob takes no absolute pattern
                yield path
                if time.monotonic() > deadline:
                    return

    def _meet(self, path: str, inode: Inode, stat: os.stat_result) -> Tail:
        """Where a file that is not followed yet is read from."""
        head = read_head(path)
        known = self._known.pop(inode, None)
        if known is not None:
            same = known.fits(head) and stat.st_size >= known.offset
            return Tail(path, inode, known.offset if same else 0, head=head)
        if not self._started:
            is_rotated = path in self._names
            if self._from_start or is_rotated:
                return Tail(path, inode, 0, head=head)
            return Tail(path, inode, stat.st_size, head=head, is_inside=True)
        return Tail(path, inode, self._offset_of_copy(path, head, stat.st_size), head=head)

    def _offset_of_copy(self, path: str, head: bytes, size: int) -> int:
        """0, or for a copy that a rotation made of a file of ours: up to where we read the original.

        A copy is named after its original and begins like it.
        """
        if not head:
            return 0
        for tail in self._tails.values():
            if path == tail.born or not path.startswith(tail.born):
                continue
            if tail.truncated is not None and tail.truncated[0] == head:
                return min(size, tail.truncated[1])
            if tail.head == head:
                return size
        return 0

    def _resume_renamed(self, moment: Moment) -> None:
        """Files that were rotated while we were not running: read what is left of them, where they can be found."""
        for inode, offset in list(self._known.items()):
            path = find_inode(str(Path(offset.path).parent), inode)
            if path is None or path.endswith(PACKED):
                continue
            del self._known[inode]
            head = read_head(path)
            same = offset.fits(head)
            if same or path.startswith(offset.path):  # else its number went to a stranger
                tail = Tail(path, inode, offset.offset if same else 0, head=head)
                tail.gone = tail.active = moment.monotonic
                self._tails[inode] = tail

    def _read_all(self, moment: Moment) -> bool:
        """Read each file that may have grown, beginning with another one each time, within the step's budget."""
        tails = [tail for tail in self._tails.values() if self._is_due(tail, moment)]
        if not tails:
            return False
        self._turn = (self._turn + 1) % len(tails)
        left, is_more = STEP_BUDGET, False
        for tail in tails[self._turn :] + tails[: self._turn]:
            if left <= 0:
                return True
            before = tail.position
            is_more |= self._read(tail, min(FILE_BUDGET, left), moment)
            left -= max(0, tail.position - before)
        return is_more

    def _is_due(self, tail: Tail, moment: Moment) -> bool:
        is_hot = moment.monotonic - tail.active < HOT_SECONDS
        return is_hot or tail.gone is not None or not tail.is_settled

    def _read(self, tail: Tail, budget: int, moment: Moment) -> bool:
        try:
            entries, is_more = tail.read(budget, moment)
        except Replaced:
            self._look_for(tail, moment)
            return False
        except OSError as error:
            if not tail.is_unreadable:
                self._put_own(tail.path, f"cannot be read: {error.strerror or error}", moment)
            tail.is_unreadable = True
            tail.active = (
                moment.monotonic - HOT_SECONDS
            )  # tried again with the next look at the folders
            return False
        tail.is_unreadable = False
        for entry in entries:
            self._put(tail.path, entry, moment)
        if not is_more and tail.gone is None and _has_moved(tail):
            self._scan_due = moment.monotonic
        return is_more

    def _look_for(self, tail: Tail, moment: Moment) -> None:
        """A file that was closed is not at its path any more: it was renamed, or is gone for good."""
        path = find_inode(str(Path(tail.path).parent), tail.inode)
        if path is not None:
            tail.path = path
            return
        self._finish(tail, moment)
        self._scan_due = moment.monotonic

    def _bury(self, moment: Moment) -> None:
        """Let go of files without a name that nobody writes to any more."""
        for tail in list(self._tails.values()):
            if tail.gone is None:
                continue
            if moment.monotonic - max(tail.gone, tail.active) >= LINGER_SECONDS:
                self._finish(tail, moment)

    def _finish(self, tail: Tail, moment: Moment) -> None:
        for entry in tail.finish(moment):
            self._put(tail.path, entry, moment)
        tail.close()
        del self._tails[tail.inode]
        self._known[tail.inode] = _offset(tail)
        while len(self._known) > GONE_MAX and self._started:
            del self._known[next(iter(self._known))]

    def _close_quiet(self, moment: Moment) -> None:
        opened = [tail for tail in self._tails.values() if tail.is_open]
        if len(opened) <= OPEN_MAX:
            return
        opened.sort(key=lambda tail: tail.active)
        for tail in opened[: len(opened) - OPEN_MAX]:
            tail.close()

    def _put(self, path: str, entry: Entry, moment: Moment) -> None:
        if entry.level >= self._level and self._allowance.take(path, moment.monotonic):
            source = clean(path, 1000)
            self.outbox.append(LogRecord(entry.at, self._host, source, entry.level, entry.text))

    def _put_own(self, source: str, text: str, moment: Moment) -> None:
        at = moment.now.astimezone(UTC)
        record = LogRecord(at, self._host, clean(source, 1000), WARNING, clean(text))
        self.outbox.append(record)


def _has_moved(tail: Tail) -> bool:
    """Whether the name leads to another file, or to none; a folder that does not answer says nothing about that."""
    try:
        return inode_of(Path(tail.path).stat()) != tail.inode
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False


def _offset(tail: Tail) -> Offset:
    head = tail.head
    device, number = tail.inode
    return Offset(tail.path, device, number, tail.committed, len(head), head_hash(head))
