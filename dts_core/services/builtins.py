"""Where the control side's own functions lie, the shipped ones and the plugins. Read, never imported."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Final

from dts_core.errors import FunctionRefused
from dts_core.model import Function, FunctionVersion
from dts_core.names import is_name
from dts_core.services.access import DTS
from dts_core.services.signature import SOURCE_MAX, Reading, read_source

PLUGIN: Final = "plugin."
"""`dts/plugin.NAME` is NAME.py in the plugins folder; every other `dts/NAME` ships in the package."""

LISTED_MAX: Final = 500
"""Most functions of one folder that are listed; others can still be called."""


class Builtins:
    """Finds the source of a function of namespace `dts/` by its name.

    Args:
        shipped: Folder of the shipped ones.
        plugins: Folder of the administrator's own; None when there is none.
    """

    def __init__(self, shipped: Path | None = None, plugins: Path | None = None) -> None:
        self._shipped = shipped or Path(__file__).resolve().parent.parent / "builtin"
        self._plugins = plugins

    def path(self, name: str) -> Path | None:
        """The file of a name (a checked one: dotted parts of letters, digits, _); None when it can have none."""
        if name.startswith(PLUGIN):
            folder, rest = self._plugins, name.removeprefix(PLUGIN)
        else:
            folder, rest = self._shipped, name
        if folder is None or not rest:
            return None
        return folder.joinpath(*rest.split(".")).with_suffix(".py")

    async def read(self, name: str) -> Reading | None:
        """What the source of a name says of itself, or None when there is none with a `main`."""
        path = self.path(name)
        return None if path is None else await asyncio.to_thread(_read, path)

    async def functions(self) -> list[Function]:
        """Every function of namespace `dts/`, by id, with its one version: what stands in its file now."""
        return await asyncio.to_thread(lambda: sorted(self._all(), key=lambda each: each.id))

    async def function(self, name: str) -> Function | None:
        """One of them, or None."""
        path = self.path(name)
        return None if path is None else await asyncio.to_thread(_function, name, path)

    async def source(self, name: str, digest: str) -> str | None:
        """The source of a name, when it is still of this sha256."""
        reading = await self.read(name)
        path = self.path(name)
        if path is None or reading is None or reading.hash != digest:
            return None
        data = await asyncio.to_thread(path.read_bytes)
        return data.decode("utf-8", "replace")

    def _all(self) -> Iterator[Function]:
        for folder, prefix in ((self._shipped, ""), (self._plugins, PLUGIN)):
            for name, path in _named(folder, prefix):
                if (found := _function(name, path)) is not None:
                    yield found


def _named(folder: Path | None, prefix: str) -> Iterator[tuple[str, Path]]:
    """(name, file) of what can be called by its name; a folder that is not there has none."""
    if folder is None:
        return
    for path in sorted(folder.rglob("*.py"))[:LISTED_MAX]:
        name = prefix + ".".join(path.relative_to(folder).with_suffix("").parts)
        if is_name(name):
            yield name, path


def _function(name: str, path: Path) -> Function | None:
    try:
        status = path.stat()
    except OSError:
        return None
    reading = _reading(path, status.st_mtime_ns, status.st_size)
    if reading is None:
        return None
    changed = datetime.fromtimestamp(status.st_mtime, UTC)
    version = FunctionVersion(
        hash=reading.hash,
        author=DTS,
        created_at=changed,
        size=reading.size,
        summary=reading.summary,
        doc=reading.doc,
        is_async=reading.is_async,
        parameters=reading.parameters,
    )
    return Function(
        id=f"{DTS}/{name}",
        namespace=DTS,
        name=name,
        owner=DTS,
        default=reading.hash,
        versions=[version],
        created_at=changed,
        updated_at=changed,
    )


@lru_cache(maxsize=1000)
def _reading(path: Path, changed: int, size: int) -> Reading | None:
    """What a file says of itself, parsed once for each state that it is in."""
    return _read(path)


def _read(path: Path) -> Reading | None:
    try:
        with path.open("rb") as file:
            return read_source(file.read(SOURCE_MAX + 1).decode())
    except (OSError, UnicodeDecodeError, FunctionRefused):
        return None
