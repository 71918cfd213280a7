"""A file that another process's words go to, bounded in size."""

import os
from pathlib import Path
from typing import Final

__all__ = ["LogFile"]

SIZE_MAX: Final = 5 << 20
"""At this size the file is put aside as NAME.1, in bytes; an older NAME.1 goes."""


class LogFile:
    """Appends bytes; at most two times SIZE_MAX bytes lie on the disk. Opened for each append: none is left open."""

    def __init__(self, path: Path, *, size_max: int = SIZE_MAX) -> None:
        self._path = path
        self._size_max = size_max

    def append(self, data: bytes) -> None:
        """Write at the end, in a new file when the old one is full.

        Raises:
            OSError: The disk refuses; part of `data` may be written.
        """
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        descriptor = os.open(self._path, flags, 0o600)
        with os.fdopen(descriptor, "ab", buffering=0) as out:
            out.write(data)
            size = out.tell()
        if size >= self._size_max:
            self._path.replace(self._path.with_name(f"{self._path.name}.1"))
