"""A function's source from where its author has it: a file, or a folder of modules that becomes one bundle."""

import os
from pathlib import Path
from typing import Final, NamedTuple

from dts_core.errors import ConfigError
from dts_core.runner.bundle import BadBundle, is_bundle, join, split
from dts_core.text import clean

__all__ = ["SOURCE_MAX", "Packed", "fingerprint", "modules_of", "read_source"]

SOURCE_MAX: Final = 1 << 20
"""Largest source, in bytes; of a folder all of it together."""
ENTRIES_MAX: Final = 10_000
"""Most entries of a folder that are looked at."""


class Packed(NamedTuple):
    """A source as it is sent, and what of a folder is no part of it."""

    source: str
    left_out: list[str]
    """Paths below the folder of files that are no modules."""


def read_source(path: Path) -> Packed:
    """The source of a file, or of a folder: its modules, with `main` in main.py or __init__.py at its top.

    Hidden files and `__pycache__` are not looked at; other files that are no modules are left out, and named. Ends of
    lines become those of Unix.

    Raises:
        ConfigError: It cannot be read, is too large, no UTF-8, or a name in it is refused; names the file.
    """
    if not path.is_dir():
        return Packed(_text(path), [])
    files: dict[str, bytes] = {}
    left_out: list[str] = []
    size = 0
    for found in _below(path):
        name = found.relative_to(path).as_posix()
        if not name.endswith(".py"):
            left_out.append(name)
            continue
        text = _text(found).replace("\r\n", "\n").replace("\r", "\n")
        files[name] = text.encode()
        size += len(files[name])
        if size > SOURCE_MAX:
            raise _too_large(path, size)
    try:
        bundle = join(files)
    except BadBundle as error:
        raise ConfigError(f"{error}.", file=clean(str(path))) from error
    if len(bundle) > SOURCE_MAX:
        raise _too_large(path, len(bundle))
    return Packed(bundle.decode(), left_out)


def fingerprint(path: Path) -> dict[str, tuple[int, int]]:
    """When each module of a file or folder was last changed, in nanoseconds, and its size: another one, after a change.

    Raises:
        ConfigError: It cannot be read, or a name in it is refused.
    """
    files = [each for each in _below(path) if each.suffix == ".py"] if path.is_dir() else [path]
    found = {}
    for file in files:
        try:
            status = file.stat()
        except OSError as error:
            raise ConfigError(
                f"cannot be read: {error.strerror}.", file=clean(str(file))
            ) from error
        found[str(file)] = (status.st_mtime_ns, status.st_size)
    return found


def modules_of(source: str) -> dict[str, str]:
    """Path -> text of every module; a single source has the path ''. A damaged bundle is shown as it is."""
    data = source.encode()
    if is_bundle(data):
        try:
            return {path: text.decode() for path, text in split(data)[1].items()}
        except ValueError:
            return {"": source}
    return {"": source}


def _below(folder: Path) -> list[Path]:
    """Every file below it, sorted; a link is refused, since what it leads to may lie anywhere."""
    found: list[Path] = []
    waiting = [folder]
    while waiting:
        try:
            entries = sorted(os.scandir(waiting.pop()), key=lambda each: each.name)
        except OSError as error:
            raise ConfigError(f"cannot be read: {error.strerror}.", file=str(folder)) from error
        for entry in entries:
            if entry.name.startswith(".") or entry.name == "__pycache__":
                continue
            if entry.is_symlink():
                raise ConfigError(
                    "is a symbolic link.",
                    file=clean(entry.path),
                    advice="Put the file itself there.",
                )
            if entry.is_dir():
                waiting.append(Path(entry.path))
            else:
                found.append(Path(entry.path))
            if len(found) + len(waiting) > ENTRIES_MAX:
                raise ConfigError(f"has more than {ENTRIES_MAX} entries.", file=clean(str(folder)))
    return sorted(found)


def _text(file: Path) -> str:
    shown = clean(str(file))
    try:
        with file.open("rb") as stream:
            data = stream.read(SOURCE_MAX + 1)
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}.", file=shown) from error
    if len(data) > SOURCE_MAX:
        raise _too_large(file, file.stat().st_size)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(f"is not UTF-8 at byte {error.start}.", file=shown) from error


def _too_large(path: Path, size: int) -> ConfigError:
    return ConfigError(
        f"has {size} bytes; a source has at most {SOURCE_MAX}.", file=clean(str(path))
    )
