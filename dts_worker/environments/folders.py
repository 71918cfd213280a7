"""Environments on the disk: who makes one, who uses one, what a crash leaves, what is removed.

    ROOT/KEY/lock          held alone by who makes or removes it, shared by the workers that use it
    ROOT/KEY/ready.json    names the folder that is complete; renamed into place as the last step
    ROOT/KEY/XXXX/         a virtual environment; one that ready.json does not name was never finished

An environment stays in the folder that it was built in, since its scripts name their interpreter by absolute path; what
is renamed is the record. All of it touches the disk and waits for nothing: call it in a thread.
"""

import contextlib
import errno
import os
import re
import shutil
import tempfile
import time
from pathlib import Path
from typing import Final

import msgspec

from dts_core.settings import EnvironmentSettings

DAY_SECONDS: Final = 86_400.0
_KEY: Final = re.compile(r"[0-9a-f]{64}")
_BUSY: Final = (errno.EAGAIN, errno.EACCES)


class Ready(msgspec.Struct, frozen=True):
    """The record of a complete environment; the file's time says when it was used last."""

    folder: str
    size: int
    """Bytes on the disk."""
    dependencies: list[str] = []


class Lock:
    """The lock of one environment, taken by this object alone; the system lets go of it when this process dies."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.fd = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def share(self) -> bool:
        """Hold it with others; False: somebody holds it alone."""
        return self._take("LOCK_SH")

    def own(self) -> bool:
        """Hold it alone; False: somebody else holds it."""
        return self._take("LOCK_EX")

    def _take(self, kind: str) -> bool:
        import fcntl  # not everywhere: where it is missing no function with packages comes this far

        try:
            fcntl.flock(self.fd, getattr(fcntl, kind) | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in _BUSY:
                return False
            raise
        return self._is_current()

    def _is_current(self) -> bool:
        """Whether the file is still the one that others find: whoever removes an environment removes it too."""
        try:
            found = (self.folder / "lock").stat()
        except FileNotFoundError:
            return False
        mine = os.fstat(self.fd)
        return (found.st_dev, found.st_ino) == (mine.st_dev, mine.st_ino)

    def close(self) -> None:
        """Let go. A second call does nothing."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


def interpreter(folder: Path) -> Path | None:
    """The interpreter of a complete environment, which counts as used now; None: there is none."""
    record = read_ready(folder)
    if record is None:
        return None
    python = folder / record.folder / "bin" / "python"
    if not os.access(python, os.X_OK):
        return None
    with contextlib.suppress(OSError):
        os.utime(folder / "ready.json")
    return python


def read_ready(folder: Path) -> Ready | None:
    """The record; None when there is none, or it cannot be read."""
    try:
        record = msgspec.json.decode((folder / "ready.json").read_bytes(), type=Ready)
    except (OSError, msgspec.MsgspecError):
        return None
    return record if record.folder and Path(record.folder).name == record.folder else None


def begin(folder: Path) -> Path:
    """A new, empty folder to build in; what was never finished goes. Only with the lock held alone."""
    (folder / "ready.json").unlink(missing_ok=True)
    for left in folder.iterdir():
        if left.name != "lock":
            _remove(left)
    return Path(tempfile.mkdtemp(prefix="e", dir=folder))


def finish(folder: Path, built: Path, size: int, dependencies: list[str]) -> None:
    """The environment is complete: from now on it is found, and not before."""
    record = Ready(built.name, size, dependencies)
    handle, name = tempfile.mkstemp(prefix=".ready-", dir=folder)
    with os.fdopen(handle, "wb") as stream:
        stream.write(msgspec.json.encode(record))
        stream.flush()
        os.fsync(stream.fileno())
    Path(name).replace(folder / "ready.json")


def give_up(built: Path) -> None:
    """Remove what was built in vain."""
    _remove(built)


def size_of(folder: Path) -> int:
    """Bytes that the files below it take on the disk; files that go meanwhile count nothing."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                total += Path(place, name).lstat().st_blocks * 512
    return total


def tidy(root: Path, settings: EnvironmentSettings, *, now: float | None = None) -> list[str]:
    """Remove what nobody used for keep_days, what was never finished, and the least recently used above max_bytes.

    Never one that a worker uses or makes. Returns the keys of those that went.

    Args:
        root: Of all environments.
        settings: The bounds.
        now: As time.time(); None: now.
    """
    last = (time.time() if now is None else now) - settings.keep_days * DAY_SECONDS
    found = sorted(_found(root))
    total = sum(size for _, size, _ in found)
    gone = []
    for used_at, size, folder in found:
        unwanted = used_at < last or total > settings.max_bytes
        if unwanted and remove_unused(folder):
            gone.append(folder.name)
            total -= size
    return gone


def _found(root: Path) -> list[tuple[float, int, Path]]:
    """(used last, size, folder) of each; one without a record was used at no time."""
    found = []
    with contextlib.suppress(FileNotFoundError):
        for folder in root.iterdir():
            if _KEY.fullmatch(folder.name) is None:
                continue
            record = read_ready(folder)
            used_at = 0.0
            with contextlib.suppress(OSError):
                used_at = (folder / "ready.json").stat().st_mtime
            found.append((used_at, record.size if record else 0, folder))
    return found


def remove_unused(folder: Path) -> bool:
    """Remove an environment, unless somebody uses or makes it. The record goes first, the lock's file last."""
    try:
        lock = Lock(folder)
    except OSError:
        return False
    try:
        if not lock.own():
            return False
        (folder / "ready.json").unlink(missing_ok=True)
        for left in folder.iterdir():
            if left.name != "lock":
                _remove(left)
        (folder / "lock").unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            folder.rmdir()
        return True
    except OSError:
        return False
    finally:
        lock.close()


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
