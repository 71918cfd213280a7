"""How far each file was sent, kept over restarts in one small file. Everything here blocks."""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from dts_worker.agent.tail import Inode

FILES_MAX: Final = 10_000
BYTES_MAX: Final = 16 << 20
VERSION: Final = 1
_FLAGS: Final = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_CLOEXEC", 0)


class Offset(msgspec.Struct, frozen=True):
    """One file: what it is, how it begins, and from where on it is to be sent."""

    path: str
    device: int
    number: int
    offset: int
    head_length: int
    head_hash: str

    @property
    def inode(self) -> Inode:
        """What the file is known by."""
        return Inode(self.device, self.number)

    def fits(self, head: bytes) -> bool:
        """Whether a file with these first bytes can be the one that was meant."""
        return (
            len(head) >= self.head_length and head_hash(head[: self.head_length]) == self.head_hash
        )


class _File(msgspec.Struct, frozen=True):
    version: int
    files: list[Offset]


def head_hash(head: bytes) -> str:
    """A fingerprint of first bytes; log content itself is not kept."""
    return hashlib.sha256(head).hexdigest()[:32]


class OffsetFile:
    """The file. A broken or foreign one counts as empty: then logs are followed as on a first start."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._written: list[Offset] = []

    def load(self) -> list[Offset]:
        """What was kept last.

        Raises:
            OSError: There is a file and it cannot be read.
        """
        try:
            with self._path.open("rb") as file:
                content = msgspec.json.decode(file.read(BYTES_MAX), type=_File)
        except (FileNotFoundError, msgspec.DecodeError, UnicodeDecodeError):
            return []
        if content.version != VERSION:
            return []
        self._written = content.files
        return list(content.files)

    def save(self, offsets: Sequence[Offset]) -> None:
        """Replace the file in one step when something changed; after a power cut it is the old or the new one.

        Raises:
            OSError: The folder cannot be written.
        """
        files = list(offsets[:FILES_MAX])
        if files == self._written:
            return
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        draft = self._path.with_suffix(".new")
        with os.fdopen(os.open(draft, _FLAGS, 0o600), "wb") as file:
            file.write(msgspec.json.encode(_File(VERSION, files)))
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self._path)
        self._written = files
