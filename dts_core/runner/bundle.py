"""A function of several modules as one text: what is stored, signed, sent and loaded in place of a single source.

The first line is `dts bundle 1 ENTRY`, which is no Python. Then for each file, sorted by path, a line `file PATH SIZE`,
its SIZE bytes of UTF-8, and a newline. The same files always make the same bytes, so that their hash is the version.
"""

import keyword
import re

from dts_core.runner.frames import BUNDLE

MAGIC = BUNDLE
FILES_MAX = 200
PATH_MAX = 200
"""Longest path, in characters."""
DEPTH_MAX = 8
"""Most folders in one another."""
DAMAGED = "it is damaged: a file is longer or shorter than it says"
ENTRIES = ("main.py", "__init__.py")
"""Where `main` may stand; the first that is there."""
_HEAD = re.compile(rb"file ([^ \n]{1,200}) ([0-9]{1,8})\n")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

Files = dict[str, bytes]


class BadBundle(ValueError):
    """Why a bundle is refused, in words that name the file."""


def is_bundle(source: bytes) -> bool:
    """Whether a source is one of several modules."""
    return source.startswith(MAGIC)


def join(files: Files) -> bytes:
    """The bundle of these files, by path with `/`.

    Raises:
        BadBundle: A name is none that can be imported, two are the same, there are too many, or none has `main`.
    """
    check_paths(list(files))
    parts = [MAGIC, _entry_of(files).encode("ascii"), b"\n"]
    for path in sorted(files):
        data = files[path]
        parts += [b"file %s %d\n" % (path.encode("ascii"), len(data)), data, b"\n"]
    return b"".join(parts)


def split(source: bytes) -> "tuple[str, Files]":
    """The entry and the files of a bundle.

    Raises:
        BadBundle: It is not just what `join` makes.
    """
    files: Files = {}
    at = source.find(b"\n") + 1
    while 0 < at < len(source) and len(files) <= FILES_MAX:
        head = _HEAD.match(source, at)
        if head is None:
            raise BadBundle(DAMAGED)
        start, size = head.end(), int(head[2])
        files[head[1].decode("ascii", "backslashreplace")] = source[start : start + size]
        at = start + size + 1
    if join(files) != source:
        raise BadBundle(DAMAGED)
    return _entry_of(files), files


def entry_source(source: bytes) -> bytes:
    """The module that `main` stands in; of a single source, itself.

    Raises:
        BadBundle: It is a damaged bundle.
    """
    if not is_bundle(source):
        return source
    entry, files = split(source)
    return files[entry]


def check_paths(paths: "list[str]") -> None:
    """Let pass paths that are modules below one folder, on every file system.

    Raises:
        BadBundle: Names the first that is not.
    """
    if len(paths) > FILES_MAX:
        raise BadBundle(f"it has {len(paths)} files, more than {FILES_MAX}")
    seen: dict[str, str] = {}
    for path in sorted(paths):
        reason = _wrong(path)
        if reason:
            raise BadBundle(f"{_shown(path)} {reason}")
        module = path[: -len(".py")].lower()
        for name in [module, *_parents(module)]:
            other = seen.setdefault(name, path)
            is_folder = name != module
            clashes = other != path and not (is_folder and _is_within(other, path, name))
            if clashes:
                raise BadBundle(f"{_shown(other)} and {_shown(path)} have the same name")


def _parents(module: str) -> "list[str]":
    parts = module.split("/")[:-1]
    return ["/".join(parts[: at + 1]) for at in range(len(parts))]


def _is_within(other: str, path: str, folder: str) -> bool:
    """Whether both lie in a folder of one spelling; a module beside a folder of its name is none."""
    return other[: len(folder) + 1] == path[: len(folder) + 1] and other[len(folder)] == "/"


def _wrong(path: str) -> str:
    parts = path.split("/")
    if path.startswith("/") or "\\" in path or ":" in path:
        return "is no path below the folder: it is absolute, or of another system"
    if ".." in parts or "." in parts or "" in parts:
        return "leads out of the folder"
    if not path.endswith(".py"):
        return "is no module: its name does not end in .py"
    if len(path) > PATH_MAX or len(parts) > DEPTH_MAX:
        return "lies too deep, or has too long a name"
    for part in [*parts[:-1], parts[-1][: -len(".py")]]:
        if not _NAME.fullmatch(part) or keyword.iskeyword(part):
            return f"cannot be imported: {_shown(part)} is no name of a module"
    return ""


def _entry_of(files: Files) -> str:
    for entry in ENTRIES:
        if entry in files:
            return entry
    raise BadBundle("it has neither main.py nor __init__.py at its top: one of them defines main")


def _shown(text: str) -> str:
    return repr(text)[:120]
