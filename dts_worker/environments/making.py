"""Makes one environment: a virtual environment of this host's Python, and pip in it."""

import asyncio
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from dts_core.settings import EnvironmentSettings
from dts_worker.environments import folders
from dts_worker.environments.commands import Commands, Ran, Tell, passed_variables
from dts_worker.environments.hashes import chosen, without_hashes
from dts_worker.environments.wanted import (
    EnvironmentFailed,
    Wanted,
    base_python,
    read_constraints,
)

REQUIREMENTS: Final = "requirements.txt"
TEMPORARY: Final = "tmp"


class Making:
    """One try to make an environment, with its lock held alone.

    Args:
        settings: Where packages come from, and what is allowed.
        commands: Runs what it takes.
        tell: Hears what is done, line by line.
    """

    def __init__(self, settings: EnvironmentSettings, commands: Commands, tell: Tell) -> None:
        self._settings = settings
        self._commands = commands
        self._tell = tell
        self._deadline = time.monotonic() + settings.timeout_seconds

    async def make(self, wanted: Wanted, lock: folders.Lock) -> None:
        """Make it, all or nothing: what was built in vain is removed.

        Raises:
            EnvironmentFailed: It cannot be made.
        """
        try:
            built = await asyncio.to_thread(folders.begin, lock.folder)
        except OSError as error:
            raise _no_disk(error) from error
        try:
            await self._build(wanted, lock, built)
        except OSError as error:
            await asyncio.to_thread(folders.give_up, built)
            raise _no_disk(error) from error
        except BaseException:
            await asyncio.to_thread(folders.give_up, built)
            raise

    async def _build(self, wanted: Wanted, lock: folders.Lock, built: Path) -> None:
        python = built / "bin" / "python"
        (built / TEMPORARY).mkdir(mode=0o700)
        self._tell(f"making an environment with {', '.join(wanted.dependencies)}")
        await self._run([str(base_python()), "-I", "-m", "venv", str(built)], lock, built)
        (built / REQUIREMENTS).write_text("\n".join(wanted.dependencies) + "\n", "utf-8")
        if self._settings.require_hashes:
            await self._pin(python, lock, built)
        await self._run([str(python), "-I", "-m", "pip", *self._arguments(built)], lock, built)
        await asyncio.to_thread(folders.give_up, built / TEMPORARY)
        size = await asyncio.to_thread(folders.size_of, built)
        if size > self._settings.max_bytes:
            raise EnvironmentFailed(
                f"the function's packages take {size} bytes, more than {self._settings.max_bytes}.",
                advice="Declare fewer, or raise max_bytes in [worker.environments] of worker.toml.",
            )
        await asyncio.to_thread(folders.finish, lock.folder, built, size, list(wanted.dependencies))
        self._tell("the environment is ready")

    async def _pin(self, python: Path, lock: folders.Lock, built: Path) -> None:
        """Let the requirements be the constraints' lines, with hashes, of all that pip would install."""
        text = (await asyncio.to_thread(read_constraints, self._settings)).decode(
            "utf-8", "replace"
        )
        bounds, report = built / TEMPORARY / "constraints.txt", built / TEMPORARY / "report.json"
        await asyncio.to_thread(bounds.write_text, without_hashes(text), "utf-8")
        arguments = [*self._common(), "--dry-run", "--quiet", "--ignore-installed"]
        arguments += ["--report", str(report), "--constraint", str(bounds)]
        arguments += ["--requirement", str(built / REQUIREMENTS)]
        await self._run([str(python), "-I", "-m", "pip", *arguments], lock, built)
        lines = chosen(await asyncio.to_thread(report.read_bytes), text)
        (built / REQUIREMENTS).write_text("\n".join(lines) + "\n", "utf-8")

    def _arguments(self, built: Path) -> list[str]:
        arguments = self._common()
        if self._settings.require_hashes:
            arguments += ["--require-hashes", "--no-deps"]
        elif self._settings.constraints:
            path = Path(self._settings.constraints).expanduser()
            arguments += ["--constraint", str(path)]
        return [*arguments, "--requirement", str(built / REQUIREMENTS)]

    def _common(self) -> list[str]:
        given = self._settings
        arguments = ["install", "--no-input", "--disable-pip-version-check", "--progress-bar=off"]
        if not given.allow_builds:
            arguments.append("--only-binary=:all:")
        if given.no_index:
            arguments.append("--no-index")
        return arguments

    def _variables(self, built: Path) -> dict[str, str]:
        """URLs go this way and not as arguments, since they may hold a password."""
        given = self._settings
        own = bool(given.index_url or given.find_links or given.no_index)
        variables = passed_variables(with_pip=not own) | {"TMPDIR": str(built / TEMPORARY)}
        variables["PYTHONUTF8"] = "1"
        if own:
            variables["PIP_CONFIG_FILE"] = os.devnull
        if given.index_url:
            variables["PIP_INDEX_URL"] = given.index_url
        if given.find_links:
            variables["PIP_FIND_LINKS"] = " ".join(map(_link, given.find_links))
        return variables

    async def _run(self, command: Sequence[str], lock: folders.Lock, built: Path) -> None:
        ran = await self._commands.run(
            command,
            folder=built,
            variables=self._variables(built),
            seconds=max(self._deadline - time.monotonic(), 0.0),
            hold=lock.fd,
            tell=self._tell,
        )
        if ran.status != 0:
            raise _failed(ran, self._settings.timeout_seconds)


def _link(given: str) -> str:
    return str(Path(given).expanduser()) if given.startswith("~") else given


def _failed(ran: Ran, seconds: float) -> EnvironmentFailed:
    said = "\n".join(ran.tail)
    if ran.timed_out:
        return EnvironmentFailed(
            f"the function's packages could not be installed within {seconds:g} s.\n{said}",
            transient=True,
            advice="\nSee timeout_seconds in [worker.environments] of worker.toml.",
        )
    return EnvironmentFailed(
        f"the function's packages could not be installed (status {ran.status}).\n{said}",
        transient=ran.lost_network,
    )


def _no_disk(error: OSError) -> EnvironmentFailed:
    return EnvironmentFailed(
        f"the function's environment could not be made: {error.strerror}.",
        advice="Look at the worker's data folder: space, rights.",
    )
