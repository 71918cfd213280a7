"""Hashes every file of a folder tree."""

import fnmatch
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from dts_core import job

_CHUNK_BYTES = 1 << 20
_MOST_LISTED = 1000
_MOST_SKIPPED = 20


def main(
    path: str, pattern: str = "*", algorithm: Literal["sha256", "blake2b"] = "sha256"
) -> dict[str, object]:
    """Hash the files of a folder tree, and the tree as one value.

    Two trees with the same file names and contents have the same digest, whatever their owners,
    times and order on disk. Symbolic links are not followed.

    Args:
        path: The folder, on the host that runs the job; `~` is the home folder.
        pattern: Only files whose name fits, for example `*.py`.
        algorithm: The hash function.

    Returns:
        `digest` of the tree, `files` and `bytes` hashed, `entries` (the first 1000 as path and
        digest), `skipped` (the first 20 that could not be read) and `complete`, which is false
        when the job was cancelled on the way or a file was skipped.
    """
    root = Path(path).expanduser()
    if not root.is_dir():
        raise NotADirectoryError(f"{root} is not a folder")
    names = sorted(_files(root, pattern))
    tree = hashlib.new(algorithm)
    entries: list[dict[str, str]] = []
    skipped: list[str] = []
    count = size = unread = 0
    for number, name in enumerate(names, 1):
        if job.cancelled:
            break
        try:
            digest, length = _hash(root / name, algorithm)
        except OSError as error:
            unread += 1
            job.logger.warning("%s: %s", _shown(name), error.strerror)
            if len(skipped) < _MOST_SKIPPED:
                skipped.append(_shown(name))
            continue
        tree.update(f"{digest}  ".encode() + os.fsencode(name) + b"\0")
        count += 1
        size += length
        if len(entries) < _MOST_LISTED:
            entries.append({"path": _shown(name), "digest": digest})
        job.progress(number / len(names), f"{number:,} of {len(names):,} files")
    job.logger.info("%s: %d files, %d bytes", root, count, size)
    return {
        "path": str(root),
        "algorithm": algorithm,
        "digest": tree.hexdigest(),
        "files": count,
        "bytes": size,
        "entries": entries,
        "skipped": skipped,
        "complete": count == len(names) and not unread,
    }


def _files(root: Path, pattern: str) -> Iterator[str]:
    """Yield the regular files below the folder, as paths relative to it with `/` between."""
    for folder, _, names in os.walk(root):
        for name in fnmatch.filter(names, pattern):
            file = Path(folder, name)
            if file.is_file() and not file.is_symlink():
                yield file.relative_to(root).as_posix()


def _hash(file: Path, algorithm: str) -> tuple[str, int]:
    digest = hashlib.new(algorithm)
    size = 0
    with file.open("rb") as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            digest.update(chunk)
            size += len(chunk)
    return digest.hexdigest(), size


def _shown(name: str) -> str:
    r"""Return a file name that JSON can carry; bytes outside UTF-8 become `\xNN`."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")
