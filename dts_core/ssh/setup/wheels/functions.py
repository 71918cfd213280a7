"""The packages of a function (PEP 723) as wheels for a host's Python: all that they need there, and nothing built."""

import hashlib
import os
import shutil
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from email.parser import HeaderParser
from pathlib import Path
from typing import Final, NamedTuple

from packaging.markers import UndefinedComparison, UndefinedEnvironmentName
from packaging.requirements import Requirement
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename

from dts_core.errors import ConfigError
from dts_core.ssh.setup.facts import Facts
from dts_core.ssh.setup.wheels.download import fetch
from dts_core.ssh.setup.wheels.needs import marks_of
from dts_core.ssh.setup.wheels.packing import Release, packed
from dts_core.text import clean

__all__ = ["FunctionShelf"]

KEPT: Final = 16
"""Sets of packages whose wheels are kept here; each was decided on once, and stays as it is."""
ROUNDS: Final = 3
"""pip reads markers as for our own Python: what it left out for that is asked for again, so often."""
METADATA_MAX: Final = 4 << 20


class _Wheel(NamedTuple):
    name: str
    needs: list[Requirement]


class FunctionShelf:
    """Collects and keeps them. Blocks: call it in a thread, one call at a time.

    Args:
        folder: For what is fetched; made when it is missing.
        given: A folder of wheels that are taken first; with all that is needed in it no index is asked.
    """

    def __init__(self, folder: Path, given: Path | None = None) -> None:
        self._folder = folder
        self._given = given
        self._known: dict[str, Release] = {}

    def release(self, facts: Facts, dependencies: Sequence[str]) -> Release:
        """The wheels for a host.

        Args:
            facts: Of the host.
            dependencies: Normalised, sorted.

        Raises:
            ConfigError: One of them cannot be had for it.
            OSError: The folder cannot be written.
        """
        marks = marks_of(facts)
        roots = list(_applying(map(Requirement, dependencies), marks))
        key = _key(facts, roots)
        found = self._known.get(key)
        if found is None or not found.archive.exists():
            wheels = self._collected(key, facts, roots, marks)
            found = self._known[key] = packed(self._folder, facts, wheels, keep=KEPT)
        return found

    def _collected(
        self, key: str, facts: Facts, roots: Sequence[Requirement], marks: Mapping[str, str]
    ) -> list[Path]:
        """Those of before, else new ones, moved to their place whole."""
        sets = self._folder / "sets"
        place = sets / key
        if not place.is_dir():
            sets.mkdir(mode=0o700, parents=True, exist_ok=True)
            draft = Path(tempfile.mkdtemp(dir=sets, prefix="."))
            try:
                self._fetch_all(draft, facts, roots, marks)
                if not place.is_dir():  # another process may have been quicker
                    draft.rename(place)
            finally:
                shutil.rmtree(draft, ignore_errors=True)
            _drop_old(sets)
        os.utime(place)
        return sorted(place.glob("*.whl"))

    def _fetch_all(
        self, draft: Path, facts: Facts, roots: Sequence[Requirement], marks: Mapping[str, str]
    ) -> None:
        lines = [str(each) for each in roots]
        for _ in range(ROUNDS if lines else 0):
            self._fetch(draft, facts, lines)
            lacking = _lacking(draft, roots, marks)
            if not lacking:
                return
            lines += lacking
        if lines:
            raise ConfigError(
                f"the wheels that came lack {clean(', '.join(lacking[:5]), 300)}.",
                key="setup.wheels",
                advice="Put them into that folder.",
            )

    def _fetch(self, draft: Path, facts: Facts, lines: Sequence[str]) -> None:
        if self._given is None:
            fetch(facts, lines, [], draft)
            return
        links = ["--find-links", str(self._given)]
        try:
            fetch(facts, lines, ["--no-index", *links], draft)
        except ConfigError:
            fetch(facts, lines, links, draft)


def _applying(
    needed: Iterable[Requirement], marks: Mapping[str, str], extras: Iterable[str] = ("",)
) -> Iterator[Requirement]:
    """Those that count on the host, without their markers.

    Raises:
        ConfigError: One names a URL: nobody here has looked at what lies there; or its marker cannot be judged.
    """
    for each in needed:
        if not _counts(each, marks, extras):
            continue
        if each.url:
            raise ConfigError(
                f"{clean(str(each), 200)} names a URL, which is not sent to hosts.",
                advice="Name a version.",
            )
        each.marker = None
        yield each


def _counts(needed: Requirement, marks: Mapping[str, str], extras: Iterable[str]) -> bool:
    marker = needed.marker
    try:
        return marker is None or any(marker.evaluate({**marks, "extra": extra}) for extra in extras)
    except (UndefinedComparison, UndefinedEnvironmentName):
        raise ConfigError(
            f"the marker of {clean(str(needed), 200)} says nothing of a host.",
            advice="Correct it, see PEP 508.",
        ) from None


def _lacking(folder: Path, roots: Sequence[Requirement], marks: Mapping[str, str]) -> list[str]:
    """What the wheels need on the host and is not among them."""
    wheels = {each.name: each for each in map(_read, folder.glob("*.whl"))}
    waiting, seen = list(roots), set()
    lacking: list[str] = []
    while waiting:
        needed = waiting.pop()
        name, extras = canonicalize_name(needed.name), frozenset(needed.extras)
        if (name, extras) in seen:
            continue
        seen.add((name, extras))
        if name not in wheels:
            lacking.append(str(needed))
            continue
        waiting += _applying(wheels[name].needs, marks, ["", *extras])
    return sorted(lacking)


def _read(path: Path) -> _Wheel:
    """What a wheel is, and needs.

    Raises:
        ConfigError: It is no wheel.
    """
    try:
        name, _, _, _ = parse_wheel_filename(path.name)
        with zipfile.ZipFile(path) as wheel:
            place = next(
                each
                for each in wheel.infolist()
                if each.filename.endswith(".dist-info/METADATA") and each.file_size < METADATA_MAX
            )
            told = HeaderParser().parsestr(wheel.read(place).decode("utf-8", "replace"))
        needs = [Requirement(text) for text in told.get_all("Requires-Dist") or []]
    except (InvalidWheelFilename, zipfile.BadZipFile, StopIteration, ValueError):
        raise ConfigError(f"{clean(path.name, 120)} is no wheel.", key="setup.wheels") from None
    return _Wheel(name, needs)


def _key(facts: Facts, roots: Sequence[Requirement]) -> str:
    parts = (*facts.told, *map(str, roots))
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:20]


def _drop_old(sets: Path) -> None:
    kept = sorted(sets.glob("[!.]*"), key=lambda path: path.stat().st_mtime)
    for old in kept[:-KEPT]:
        shutil.rmtree(old, ignore_errors=True)
