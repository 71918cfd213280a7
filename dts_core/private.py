"""Files that only their owner may read: written as a whole, read without following links."""

import os
import stat
from pathlib import Path

_NOT_LINKS = getattr(os, "O_NOFOLLOW", 0)  # Windows has no such flag


def write_private(path: Path, content: bytes) -> None:
    """Write a file of mode 0600 as a whole: readers see the old one or the new one, also after a crash."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | _NOT_LINKS, 0o600)
    with os.fdopen(descriptor, "wb") as out:
        out.write(content)
        out.flush()
        os.fsync(out.fileno())
    draft.replace(path)


def read_private(path: Path, limit: int = 1 << 16) -> bytes | None:
    """The content of a small file of ours; None when it is not there or not a plain file of this user.

    Raises:
        OSError: It is there and cannot be read.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except (FileNotFoundError, NotADirectoryError):
        return None
    with os.fdopen(descriptor, "rb") as stream:
        status = os.fstat(stream.fileno())
        if not stat.S_ISREG(status.st_mode) or status.st_uid != os.getuid():
            return None
        return stream.read(limit)
