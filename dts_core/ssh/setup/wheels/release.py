"""A release: the wheels of one version of the program for one Python, in one file that is sent as it is."""

import hashlib
from importlib.metadata import Distribution
from pathlib import Path
from typing import Final

from packaging.tags import Tag
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename

from dts_core.ssh.setup.facts import Facts
from dts_core.ssh.setup.wheels.download import download
from dts_core.ssh.setup.wheels.needs import WORKER_NEEDS, needs_of
from dts_core.ssh.setup.wheels.packing import Release, packed
from dts_core.ssh.setup.wheels.repack import own_files, own_wheel, repacked, tags_within
from dts_core.ssh.setup.wheels.tags import tags_of

__all__ = ["Release", "Shelf"]

KEPT: Final = 6
"""Releases whose files are kept."""


class Shelf:
    """Finds and keeps releases. Blocks: call it in a thread, one call at a time.

    Args:
        folder: For what is made or fetched; made when it is missing.
        given: A folder of wheels that are taken first; None: none.
        needs: Packages beside dts itself, which bring theirs.
    """

    def __init__(
        self,
        folder: Path,
        given: Path | None = None,
        needs: tuple[str, ...] = WORKER_NEEDS,
    ) -> None:
        self._needs = needs
        self._folder = folder
        self._given = given
        self._known: dict[tuple[str, ...], Release] = {}

    def release(self, facts: Facts) -> Release:
        """The release for a host.

        Raises:
            ConfigError: A wheel for it cannot be had.
            OSError: The folder cannot be written.
        """
        state = self._state()
        key = (state, facts.python, *facts.told)
        found = self._known.get(key)
        if found is None or not found.archive.exists():
            found = self._known[key] = self._made(facts, state)
        return found

    def _state(self) -> str:
        """Tells apart what our own files are."""
        told = hashlib.sha256()
        for name, path in own_files():
            status = path.stat()
            told.update(f"{name}\0{status.st_mtime_ns}\0{status.st_size}\n".encode())
        return told.hexdigest()[:16]

    def _made(self, facts: Facts, state: str) -> Release:
        wheels = self._folder / "wheels"
        wheels.mkdir(mode=0o700, parents=True, exist_ok=True)
        chosen = [own_wheel(self._folder, f"dts-{state}")]
        chosen += self._others(facts, wheels)
        return packed(self._folder, facts, chosen, keep=KEPT)

    def _others(self, facts: Facts, wheels: Path) -> list[Path]:
        tags = tags_of(facts)
        needed = needs_of(facts, self._needs)
        found = {name: self._here(name, each, tags, wheels) for name, each in needed.items()}
        missing = {name: needed[name].version for name, path in found.items() if path is None}
        if missing:
            download(facts, missing, wheels)
            for name, version in missing.items():
                found[name] = _fitting(wheels, name, version, tags)
        return [path for path in found.values() if path is not None]

    def _here(
        self, name: str, found: Distribution, tags: frozenset[Tag], wheels: Path
    ) -> Path | None:
        """A wheel without a network: given, fetched before, or made of what is installed."""
        for folder in (self._given, wheels):
            if folder is not None and (path := _fitting(folder, name, found.version, tags)):
                return path
        return repacked(found, wheels) if tags_within(found) & tags else None


def _fitting(folder: Path, name: str, version: str, tags: frozenset[Tag]) -> Path | None:
    for path in sorted(folder.glob("*.whl")):
        try:
            own, own_version, _, own_tags = parse_wheel_filename(path.name)
        except InvalidWheelFilename:
            continue
        if own == canonicalize_name(name) and str(own_version) == version and own_tags & tags:
            return path
    return None
