"""The program: a folder for each version, moved to its place whole; a link names the one that runs."""

import configparser
import contextlib
import os
import shutil
import stat
import sys
import venv
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from dts_core.ssh.setup.far import unpacking
from dts_core.ssh.setup.far.base import Place

KEPT = 2
MARK = "dts-release"
SCRIPT = """#!{python}
import re
import sys
from {module} import {name}
if __name__ == "__main__":
    sys.argv[0] = re.sub(r"(-script\\.pyw|\\.exe)?$", "", sys.argv[0])
    sys.exit({name}())
"""


def state(place: Place) -> "dict[str, Any]":
    """Which version runs next; empty: none that is whole."""
    try:
        name = place.current.readlink().name
    except OSError:
        return {"release": ""}
    return {"release": name if has(place, name) else ""}


def has(place: Place, release: str) -> bool:
    """Whether a version lies here whole, so that nothing has to be sent."""
    home = place.program / "versions" / release
    try:
        return (home / MARK).read_text() == _mark(home, release)
    except OSError:
        return False


def _mark(home: Path, release: str) -> str:
    """Its name and weight: after a loss of power files may be there without what was in them."""
    weight = 0
    for folder, folders, files in os.walk(home):
        folders[:] = [name for name in folders if name != "__pycache__"]
        weight += sum(os.lstat(f"{folder}/{name}").st_size for name in files if name != MARK)
    return f"{release} {weight}\n"


def put(place: Place, given: "dict[str, Any]", body: "Iterator[bytes]") -> None:
    """Make a version of what comes, and let the link name it.

    Args:
        place: Where.
        given: `release`: its name; `sha256`: of all that comes; `wheels`: name -> sha256.
        body: A tar of the wheels; nothing, where the version lies here.

    Raises:
        Failed: What came is not what was sent.
    """
    release = given["release"]
    versions = place.program / "versions"
    versions.mkdir(mode=0o755, exist_ok=True)
    versions.chmod(0o755)
    if not has(place, release):
        _clear(versions)
        _unpack(versions, release, given, body)
    _link(place, release)
    _drop_old(versions, release)


def _clear(versions: Path) -> None:
    """What a cut left half made."""
    for left in versions.glob("*.part"):
        _remove(left)


def _unpack(versions: Path, release: str, given: "dict[str, Any]", body: "Iterator[bytes]") -> None:
    draft = versions / f"{release}.part"
    draft.mkdir(mode=0o755)
    draft.chmod(0o755)
    spool = draft / "wheels.tar"
    unpacking.receive(spool, given["sha256"], body)
    venv.EnvBuilder(symlinks=True, with_pip=False).create(draft)
    home = versions / release
    library = draft / f"lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages"
    for file in unpacking.wheels_of(spool, given["wheels"]):
        _install(file, library, draft, home)
    spool.unlink()
    _open_to_all(draft)
    (draft / MARK).write_text(_mark(draft, release))
    (draft / MARK).chmod(0o644)
    draft.rename(home)


def _install(file: "IO[bytes]", library: Path, draft: Path, home: Path) -> None:
    roots = {"purelib": library, "platlib": library, "scripts": draft / "bin", "data": draft}

    def on_file(entry: "Any", target: Path) -> None:
        is_program = (entry.external_attr >> 16) & 0o111 or target.parent == draft / "bin"
        target.chmod(0o755 if is_program else 0o644)
        if entry.filename.endswith(".dist-info/entry_points.txt"):
            _write_scripts(target.read_text("utf-8"), draft, home)

    unpacking.install(file, lambda name: unpacking.target(name, roots), on_file)


def _write_scripts(text: str, draft: Path, home: Path) -> None:
    found = configparser.ConfigParser(delimiters=("=",))
    found.optionxform = str  # type: ignore[assignment,method-assign]  # names keep their case
    found.read_string(text)
    if not found.has_section("console_scripts"):
        return
    for script, target in found.items("console_scripts"):
        module, _, name = target.partition("[")[0].strip().partition(":")
        path = draft / "bin" / script
        path.write_text(SCRIPT.format(python=home / "bin" / "python", module=module, name=name))
        path.chmod(0o755)


def _open_to_all(draft: Path) -> None:
    """The worker's account reads it, whatever the mask was; nobody but the owner writes."""
    for folder, folders, files in os.walk(draft):
        for name in folders:
            Path(folder, name).chmod(0o755)
        for name in files:
            path = Path(folder, name)
            if not path.is_symlink():
                mode = path.stat().st_mode
                path.chmod(0o755 if mode & stat.S_IXUSR else 0o644)


def _link(place: Place, release: str) -> None:
    draft = place.program / ".current.dts-new"
    with contextlib.suppress(FileNotFoundError):
        draft.unlink()
    draft.symlink_to(f"versions/{release}")
    draft.replace(place.current)


def _drop_old(versions: Path, release: str) -> None:
    """Keep this one and the one before."""
    others = [each for each in versions.iterdir() if each.name != release]
    others.sort(key=lambda each: each.stat().st_mtime, reverse=True)
    for old in others[KEPT - 1 :]:
        _remove(old)


def _remove(folder: Path) -> None:
    """Take a version away; under another name first, so that half of it is never taken for the whole."""
    if not folder.name.endswith(".part"):
        folder = folder.rename(folder.with_name(f"{folder.name}.part"))
    shutil.rmtree(folder)
