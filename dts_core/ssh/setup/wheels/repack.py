"""Wheels made of what is installed here: the same bytes each time, checked against what was installed."""

import base64
import hashlib
import os
import zipfile
from collections.abc import Iterable, Iterator
from importlib.metadata import Distribution
from pathlib import Path
from typing import Final

from packaging.tags import Tag, parse_tag

import dts_core
from dts_core.errors import ConfigError
from dts_core.resources import etc_folder

__all__ = ["own_files", "own_wheel", "repacked", "tags_within"]

_THEN: Final = (1980, 1, 1, 0, 0, 0)
_LEFT_OUT: Final = ("RECORD", "INSTALLER", "REQUESTED", "direct_url.json", "RECORD.jws")
_SKIPPED: Final = ("__pycache__", ".mypy_cache", ".ruff_cache")
_WORKER: Final = "[console_scripts]\ndts-worker = dts_worker.cli:main\n"


def tags_within(found: Distribution) -> frozenset[Tag]:
    """The tags of the wheel that it was installed from; none where it tells none."""
    text = found.read_text("WHEEL") or ""
    lines = (line.partition(":") for line in text.splitlines())
    tags = [parse_tag(value.strip()) for name, _, value in lines if name == "Tag"]
    return frozenset(tag for each in tags for tag in each)


def repacked(found: Distribution, folder: Path) -> Path:
    """A wheel of an installed package; made once.

    Raises:
        ConfigError: A file of it is not as it was installed.
    """
    tags = sorted(str(tag) for tag in tags_within(found))
    stem = f"{_escaped(found.name)}-{found.version}"
    path = folder / f"{stem}-{_pressed(tags)}.whl"
    if not path.exists():
        _write(path, stem, _installed(found))
    return path


def _pressed(tags: list[str]) -> str:
    parts = [tag.split("-") for tag in tags]
    return "-".join(".".join(sorted({part[at] for part in parts})) for at in range(3))


def _escaped(name: str) -> str:
    return name.replace("-", "_")


def _installed(found: Distribution) -> Iterator[tuple[str, bytes]]:
    for file in found.files or []:
        if "__pycache__" in file.parts or file.name in _LEFT_OUT or file.parts[0] == "..":
            continue  # scripts lie outside, and are made anew where they are needed
        data = Path(str(found.locate_file(file))).read_bytes()
        if file.hash is not None and file.hash.value != _digest(data, file.hash.mode):
            raise ConfigError(
                f"{file} of the installed package {found.name} has been changed.",
                advice="Install it again, or give a folder of wheels.",
            )
        yield str(file), data


def own_files() -> list[tuple[str, Path]]:
    """The files of dts that a worker needs, by their names in a wheel."""
    root = Path(dts_core.__file__).parent.parent
    found = []
    for package in ("dts_core", "dts_worker"):
        found += [(str(path.relative_to(root)), path) for path in _walked(root / package)]
    etc = etc_folder()
    if etc.name != "_etc":
        found += [(f"dts_core/_etc/{path.relative_to(etc)}", path) for path in _walked(etc)]
    return sorted(found)


def _walked(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not any(part in _SKIPPED for part in path.parts):
            yield path


def own_wheel(folder: Path, name: str) -> Path:
    """A wheel of this very dts, without the console; made once for each `name`, which tells its states apart."""
    path = folder / name / f"dts-{dts_core.__version__}-py3-none-any.whl"
    if not path.exists():
        path.parent.mkdir(exist_ok=True)
        stem = f"dts-{dts_core.__version__}"
        told = f"Metadata-Version: 2.1\nName: dts\nVersion: {dts_core.__version__}\n"
        wheel = "Wheel-Version: 1.0\nGenerator: dts\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        files = [(each, path.read_bytes()) for each, path in own_files()]
        files.append((f"{stem}.dist-info/METADATA", told.encode()))
        files.append((f"{stem}.dist-info/WHEEL", wheel.encode()))
        files.append((f"{stem}.dist-info/entry_points.txt", _WORKER.encode()))
        _write(path, stem, files)
    return path


def _write(path: Path, stem: str, files: Iterable[tuple[str, bytes]]) -> None:
    draft = path.with_name(f".{path.name}.{os.getpid()}")  # others may be making the same
    record = ""
    with zipfile.ZipFile(draft, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
        for name, data in sorted(files):
            archive.writestr(zipfile.ZipInfo(name, _THEN), data, zipfile.ZIP_DEFLATED)
            record += f"{name},sha256={_digest(data, 'sha256')},{len(data)}\n"
        place = f"{stem}.dist-info/RECORD"
        archive.writestr(zipfile.ZipInfo(place, _THEN), f"{record}{place},,\n")
    draft.replace(path)


def _digest(data: bytes, mode: str) -> str:
    digest = hashlib.new(mode, data).digest()
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")
