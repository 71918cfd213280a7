"""Wheels for one Python in one file that is sent as it is; its name is that of what is in it."""

import hashlib
import os
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec

from dts_core.ssh.setup.facts import Facts

__all__ = ["Release", "packed"]

PIECE: Final = 1 << 18


class Release(msgspec.Struct, frozen=True):
    """Of one version for one Python."""

    name: str
    """The same for the same files and the same interpreter."""
    wheels: dict[str, str]
    """Name of the file -> its sha256."""
    archive: Path
    """A tar of them."""
    size: int
    sha256: str

    def pieces(self) -> Iterator[bytes]:
        """The archive, piece by piece."""
        with self.archive.open("rb") as file:
            while piece := file.read(PIECE):
                yield piece


def packed(folder: Path, facts: Facts, chosen: Sequence[Path], *, keep: int) -> Release:
    """Wheels as one file in a folder; made once. Blocks.

    Args:
        folder: For the file.
        facts: For which Python.
        chosen: The wheels.
        keep: Most such files there; the oldest go.
    """
    wheels = sorted(chosen, key=lambda path: path.name)
    sums = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in wheels}
    told = hashlib.sha256(f"{facts.python}\0{facts.python_version}\0{facts.soabi}\n".encode())
    for name, digest in sums.items():
        told.update(f"{name}\0{digest}\n".encode())
    name = told.hexdigest()[:20]
    archive = _archive(folder, name, wheels, keep)
    with archive.open("rb") as file:
        whole = hashlib.file_digest(file, "sha256").hexdigest()
    return Release(name, sums, archive, archive.stat().st_size, whole)


def _archive(folder: Path, name: str, chosen: Sequence[Path], keep: int) -> Path:
    path = folder / f"{name}.tar"
    if not path.exists():
        draft = path.with_name(f".{name}.{os.getpid()}")
        with tarfile.open(draft, "w") as archive:
            for wheel in chosen:
                archive.add(wheel, wheel.name, filter=_bare)
        draft.replace(path)
        _drop_old(folder, keep)
    return path


def _drop_old(folder: Path, keep: int) -> None:
    kept = sorted(folder.glob("*.tar"), key=lambda path: path.stat().st_mtime)
    for old in kept[:-keep]:
        old.unlink(missing_ok=True)


def _bare(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    """Without what tells this machine from another."""
    entry.mtime, entry.uid, entry.gid, entry.uname, entry.gname, entry.mode = 0, 0, 0, "", "", 0o600
    return entry
