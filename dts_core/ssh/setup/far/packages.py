"""Packages of functions, kept for the next call: a folder for each set of wheels, made whole, the oldest taken away.

No virtual environment: a folder on the path serves where the `venv` module is missing, and costs nothing to make.
"""

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dts_core.ssh.setup.far import facts, unpacking, wire
from dts_core.ssh.setup.far.base import Failed

LOCK = ".dts-used"
"""In each folder; whoever runs with it holds it shared. Written last: a folder without it is not whole."""


def main(options: "dict[str, Any]") -> None:
    """Serve until the input ends."""
    wire.serve(options["mark"], _obey)


def _obey(order: "dict[str, Any]") -> "dict[str, Any]":
    kind = order["do"]
    if kind == "facts":
        return {"facts": facts.collect()}
    if kind == "find":
        home = _base() / order["release"]
        return {"folder": str(home) if _touched(home) else ""}
    if kind == "put":
        body = wire.read_body(order["body_size"])
        try:
            return {"folder": str(_put(order, body))}
        finally:
            for _ in body:  # what was not taken must not be read as orders
                pass
    raise Failed(f"there is no order {kind!r}")


def _base() -> Path:
    """Ours alone, made when it is missing.

    Raises:
        Failed: It is somebody else's, or others may write it.
    """
    named = Path(os.environ.get("XDG_CACHE_HOME", ""))
    cache = named if named.is_absolute() else Path.home() / ".cache"
    base = cache / "dts" / "packages"
    base.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = os.lstat(base)
    if found.st_uid != os.geteuid() or found.st_mode & 0o022:
        raise Failed(f"{base} is not the user's alone: take it away, or set its mode to 700")
    return base


def _touched(home: Path) -> bool:
    """Whether it lies here whole; then it counts as used now."""
    try:
        os.utime(home / LOCK)
    except FileNotFoundError:
        return False
    return True


def _put(order: "dict[str, Any]", body: "Iterator[bytes]") -> Path:
    base = _base()
    home: Path = base / order["release"]
    draft = base / f"{order['release']}.{os.getpid()}.part"
    draft.mkdir(mode=0o700)
    try:
        spool = draft / ".wheels.tar"
        unpacking.receive(spool, order["sha256"], body)
        roots = {"purelib": draft, "platlib": draft}
        for file in unpacking.wheels_of(spool, order["wheels"]):
            unpacking.install(file, lambda name: unpacking.target(name, roots), _plain)
        spool.unlink()
        (draft / LOCK).touch(mode=0o600)
        if not _touched(home):
            shutil.rmtree(home, ignore_errors=True)  # what a cut has left
            with contextlib.suppress(OSError):  # another call was quicker
                draft.rename(home)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    if not _touched(home):
        raise Failed(f"{home} could not be made")
    _drop_old(base, order["keep"], home)
    return home


def _plain(entry: "Any", path: Path) -> None:
    del entry
    path.chmod(0o600)


def _drop_old(base: Path, keep: int, home: Path) -> None:
    """The sets that were not used for longest go, but those that something runs with."""
    found = [each for each in base.iterdir() if each != home and (each / LOCK).is_file()]
    found.sort(key=lambda each: (each / LOCK).stat().st_mtime, reverse=True)
    for old in found[keep - 1 :]:
        with contextlib.suppress(OSError), (old / LOCK).open() as held:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            gone = old.rename(base / f"{old.name}.{os.getpid()}.part")
            shutil.rmtree(gone, ignore_errors=True)
    for part in base.glob("*.part"):
        if _is_left(part):
            shutil.rmtree(part, ignore_errors=True)


def _is_left(part: Path) -> bool:
    """Whether whoever made it has ended."""
    number = part.name.split(".")[-2]
    return number.isdigit() and Path("/proc/1").is_dir() and not Path("/proc", number).exists()
