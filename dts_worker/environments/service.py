"""Gives functions the interpreter of their environment; makes it where there is none."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import structlog

from dts_core.pep723 import MARK, read_script
from dts_core.runner.bundle import entry_source
from dts_core.settings import EnvironmentSettings
from dts_worker.environments import folders
from dts_worker.environments.commands import Commands, Tell
from dts_worker.environments.making import Making
from dts_worker.environments.wanted import EnvironmentFailed, Wanted, check_fits, wanted

TRIES: Final = 3
"""How often one is tried while the network is the trouble."""
PAUSE_SECONDS: Final = 2.0
"""Wait before the second try; doubles."""
FAILED_SECONDS: Final = 60.0
"""How long a failure stands, so that a storm of jobs does not ask for it each time."""
TRANSIENT_SECONDS: Final = 10.0
"""The same while the network is the trouble."""
UNUSED_SECONDS: Final = 120.0
"""How long one is held that no job uses; longer than a child of its stays idle."""
LOOK_SECONDS: Final = 30.0
TIDY_SECONDS: Final = 3_600.0
POLL_SECONDS: Final = 0.2
"""How often is looked whether another process is done with it."""
KNOWN_MAX: Final = 10_000
"""Versions of which is remembered whether they declare anything."""
_MARK: Final = MARK.encode()
log = structlog.get_logger(__name__)


class _Kept:
    """An environment that this worker holds its share of."""

    def __init__(self, lock: folders.Lock, python: str) -> None:
        self.lock = lock
        self.python = python
        self.used_at = time.monotonic()


class _Failure:
    """One that stands for a while."""

    def __init__(self, error: EnvironmentFailed) -> None:
        seconds = TRANSIENT_SECONDS if error.transient else FAILED_SECONDS
        self.error = error
        self.until = time.monotonic() + seconds


class Environments:
    """Belongs to the loop's thread; folders are looked at in threads. What is asked for twice at once is made once.

    Args:
        settings: `[worker.environments]`.
        root: Folder of all environments.
        commands: Runs pip.
        in_use: The interpreters that children run with now.
    """

    def __init__(
        self,
        settings: EnvironmentSettings,
        root: Path,
        commands: Commands,
        *,
        in_use: Callable[[], set[str]],
    ) -> None:
        self._settings = settings
        self._root = root
        self._commands = commands
        self._in_use = in_use
        self._declares: dict[str, bool] = {}
        self._kept: dict[str, _Kept] = {}
        self._failed: dict[str, _Failure] = {}
        self._making: dict[str, asyncio.Task[str]] = {}
        self._listeners: dict[str, list[Tell]] = {}

    def declares(self, version: str, source: bytes) -> bool:
        """Whether a source may declare anything; looked at once for each version."""
        known = self._declares.get(version)
        if known is None:
            if len(self._declares) >= KNOWN_MAX:
                self._declares.clear()
            known = self._declares[version] = _MARK in source
        return known

    async def interpreter(self, source: bytes, tell: Tell) -> str:
        """The interpreter for a function; empty: it declares no packages, any will do.

        Args:
            source: Of the function.
            tell: Hears what is done meanwhile, line by line.

        Raises:
            EnvironmentFailed: There is none.
            FunctionRefused: Its block is wrong.
        """
        script = read_script(entry_source(source).decode("utf-8", "replace"))
        if script is None:
            return ""
        check_fits(script)
        if not script.dependencies:
            return ""
        asked = await asyncio.to_thread(wanted, script, self._settings)
        kept = self._kept.get(asked.key)
        if kept is not None and await asyncio.to_thread(_is_there, kept):
            kept.used_at = time.monotonic()
            return kept.python
        return await self._shared(asked, tell)

    async def _shared(self, asked: Wanted, tell: Tell) -> str:
        failure = self._failed.get(asked.key)
        if failure is not None and time.monotonic() < failure.until:
            raise failure.error
        task = self._making.get(asked.key)
        if task is None:
            self._failed.pop(asked.key, None)
            task = asyncio.get_running_loop().create_task(
                self._obtain(asked), name=f"environment-{asked.key[:8]}"
            )
            self._making[asked.key] = task
            task.add_done_callback(lambda done: self._obtained(asked.key, done))
        self._listeners.setdefault(asked.key, []).append(tell)
        return await asyncio.shield(task)

    def _obtained(self, key: str, task: "asyncio.Task[str]") -> None:
        self._making.pop(key, None)
        self._listeners.pop(key, None)
        if not task.cancelled() and isinstance(task.exception(), EnvironmentFailed):
            error = task.exception()
            assert isinstance(error, EnvironmentFailed)
            self._failed[key] = _Failure(error)

    def _tell(self, key: str, text: str) -> None:
        for tell in self._listeners.get(key, ()):
            tell(text)

    async def _obtain(self, asked: Wanted) -> str:
        """Take the one that lies there, else make it; try again while the network is the trouble."""
        self._let_go(asked.key)
        for attempt in range(1, TRIES + 1):
            try:
                return await self._find_or_make(asked)
            except EnvironmentFailed as error:
                log.warning("an environment failed", key=asked.key[:12], reason=error.message)
                if not error.transient or attempt == TRIES:
                    raise
            self._tell(asked.key, "the network was the trouble; trying again")
            await asyncio.sleep(PAUSE_SECONDS * 2 ** (attempt - 1))
        raise AssertionError

    async def _find_or_make(self, asked: Wanted) -> str:
        deadline = time.monotonic() + self._settings.timeout_seconds
        told = False
        while True:
            try:
                lock = await asyncio.to_thread(folders.Lock, self._root / asked.key)
            except FileNotFoundError:
                continue  # it is being removed at this moment
            except OSError as error:
                raise EnvironmentFailed(
                    f"the folder of environments cannot be written: {error.strerror}.",
                    advice="Look at the worker's data folder: space, rights.",
                ) from error
            python = await self._try(asked, lock)
            if python:
                return python
            if not told:
                told = True
                self._tell(asked.key, "another worker of this host makes the environment")
            if time.monotonic() > deadline:
                raise EnvironmentFailed(
                    "another worker of this host did not finish the environment.", transient=True
                )
            await asyncio.sleep(POLL_SECONDS)

    async def _try(self, asked: Wanted, lock: folders.Lock) -> str:
        """With this lock: the interpreter, made if need be; empty: somebody else is at it."""
        kept = False
        try:
            python = await asyncio.to_thread(_shared_interpreter, lock)
            if python is None and await asyncio.to_thread(lock.own):
                await self._make(asked, lock)
                python = await asyncio.to_thread(_shared_interpreter, lock)
            if python is None:
                return ""
            self._kept[asked.key] = _Kept(lock, str(python))
            kept = True
            return str(python)
        finally:
            if not kept:
                lock.close()

    async def _make(self, asked: Wanted, lock: folders.Lock) -> None:
        """Unless somebody did in between."""
        if await asyncio.to_thread(folders.interpreter, lock.folder) is not None:
            return
        await self._tidy()
        making = Making(self._settings, self._commands, lambda text: self._tell(asked.key, text))
        await making.make(asked, lock)

    async def _tidy(self) -> None:
        gone = await asyncio.to_thread(folders.tidy, self._root, self._settings)
        if gone:
            log.info("environments removed", keys=[key[:12] for key in gone])

    async def run(self) -> None:
        """Let go of what no job uses, and remove what nobody uses; for ever."""
        next_tidy = 0.0
        while True:
            self._let_go_of_unused()
            if time.monotonic() >= next_tidy:
                await self._tidy()
                next_tidy = time.monotonic() + TIDY_SECONDS
            await asyncio.sleep(LOOK_SECONDS)

    def _let_go_of_unused(self) -> None:
        used, now = self._in_use(), time.monotonic()
        for key, kept in list(self._kept.items()):
            if kept.python in used:
                kept.used_at = now
            elif now - kept.used_at > UNUSED_SECONDS:
                self._let_go(key)
        for key, failure in list(self._failed.items()):
            if now >= failure.until:
                del self._failed[key]

    def _let_go(self, key: str) -> None:
        kept = self._kept.pop(key, None)
        if kept is not None:
            kept.lock.close()

    async def close(self) -> None:
        """End what is being made, and let go of everything. Only after the children have ended."""
        for task in self._making.values():
            task.cancel()
        await asyncio.gather(*self._making.values(), return_exceptions=True)
        for key in list(self._kept):
            self._let_go(key)


def _shared_interpreter(lock: folders.Lock) -> Path | None:
    """The interpreter with the lock held with others; None: there is none, or somebody is at it."""
    if folders.interpreter(lock.folder) is None or not lock.share():
        return None
    return folders.interpreter(lock.folder)


def _is_there(kept: _Kept) -> bool:
    return folders.interpreter(kept.lock.folder) is not None
