"""Wheels as they come: kept in a file, each proved by its hash, its files put where they belong."""

import hashlib
import shutil
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Callable, Optional

from dts_core.ssh.setup.far.base import Failed


def receive(spool: Path, sha256: str, body: "Iterator[bytes]") -> None:
    """Keep what comes in a file.

    Raises:
        Failed: It is not what was sent.
    """
    with spool.open("wb") as out:
        told = hashlib.sha256()
        for piece in body:
            told.update(piece)
            out.write(piece)
    if told.hexdigest() != sha256:
        raise Failed("the files that came are not those that were sent")


def wheels_of(spool: Path, sums: "dict[str, str]") -> "Iterator[IO[bytes]]":
    """Every wheel of it, proved, and all of them.

    Raises:
        Failed: One is not the one that was sent, or is missing.
    """
    wanted = dict(sums)
    with tarfile.open(spool) as archive:
        for entry in archive:
            file = archive.extractfile(entry)
            if file is None or wanted.pop(entry.name, None) != _sha256(file):
                raise Failed(f"{entry.name} is not the wheel that was sent")
            file.seek(0)
            yield file
    if wanted:
        raise Failed(f"wheels are missing: {', '.join(sorted(wanted))}")


def install(
    file: "IO[bytes]",
    target_of: "Callable[[str], Optional[Path]]",
    on_file: "Callable[[Any, Path], None]",
) -> None:
    """Put the files of a wheel where they belong.

    Args:
        file: The wheel.
        target_of: A name within it -> where it goes; None: it is not needed.
        on_file: Called with each entry and where it lies.
    """
    with zipfile.ZipFile(file) as wheel:
        for entry in wheel.infolist():
            target = target_of(entry.filename)
            if target is None or entry.is_dir():
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            with wheel.open(entry) as source, target.open("wb") as out:
                shutil.copyfileobj(source, out)
            on_file(entry, target)


def target(name: str, roots: "dict[str, Path]") -> "Optional[Path]":
    """Where a file of a wheel goes; None: it is not needed here.

    Args:
        name: Within the wheel.
        roots: `purelib` for all that lies outside of a .data folder, and for each kind within one.

    Raises:
        Failed: It would lie outside.
    """
    parts = name.split("/")
    if name.startswith("/") or ".." in parts:
        raise Failed(f"a wheel holds a file outside of it: {name!r}")
    if not parts[0].endswith(".data") or len(parts) < 3:
        return roots["purelib"].joinpath(*parts)
    root = roots.get(parts[1])
    return None if root is None else root.joinpath(*parts[2:])


def _sha256(file: "IO[bytes]") -> str:
    told = hashlib.sha256()
    for piece in iter(lambda: file.read(1 << 20), b""):
        told.update(piece)
    return told.hexdigest()
