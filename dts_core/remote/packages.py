"""Packages of functions on hosts reached by SSH: found there, or collected here and sent, before anything runs."""

import asyncio
from collections import OrderedDict, defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from dts_core.errors import ConfigError, InterpreterUnfit, SetupFailed
from dts_core.pep723 import Script
from dts_core.ssh.target import Target
from dts_core.text import clean, one_line

if TYPE_CHECKING:
    from dts_core.ssh.pool import Sessions
    from dts_core.ssh.setup.facts import Facts
    from dts_core.ssh.setup.farend import FarEnd
    from dts_core.ssh.setup.wheels.packing import Release

__all__ = ["Packages"]

KEPT_THERE: Final = 16
"""Sets of packages that a host keeps."""
KNOWN_MAX: Final = 20_000
"""Folders that are remembered."""
STAGE: Final = "packages"


class Packages:
    """Makes sure of them; a host is looked at once for each set of packages, until it turns out to be gone.

    Args:
        folder: Where wheels are kept here.
        given: A folder of wheels that are taken first; None: none.
    """

    def __init__(self, folder: Path, given: Path | None = None) -> None:
        from dts_core.ssh.setup.wheels.functions import FunctionShelf

        self._shelf = FunctionShelf(folder, given)
        self._collecting = asyncio.Lock()
        self._busy: defaultdict[tuple[str, ...], asyncio.Lock] = defaultdict(asyncio.Lock)
        self._known: OrderedDict[tuple[str, ...], str] = OrderedDict()

    def forget(self, target: Target, script: Script) -> None:
        """They are not there any more."""
        self._known.pop(_key(target, script), None)

    async def ready(self, sessions: "Sessions", target: Target, script: Script) -> str:
        """The folder there that holds what a function declares; empty where it declares no packages.

        Raises:
            InterpreterUnfit: The host's Python is not one that the function takes.
            SetupFailed: A package cannot be had for that host, or cannot be kept there.
            RemoteError: The session does not carry it.
        """
        key = _key(target, script)
        busy = self._busy[key]
        try:
            async with busy:
                if key not in self._known:
                    self._known[key] = await self._made(sessions, target, script)
                    while len(self._known) > KNOWN_MAX:
                        self._known.popitem(last=False)
                return self._known[key]
        finally:
            if not busy.locked():
                self._busy.pop(key, None)

    async def _made(self, sessions: "Sessions", target: Target, script: Script) -> str:
        from dts_core.ssh.setup.facts import Facts
        from dts_core.ssh.setup.farend import FarEnd

        async with sessions.session(target) as session, FarEnd.for_packages(session) as far:
            answer = await far.ask("facts")
            try:
                facts = msgspec.convert(answer["facts"], Facts).cleaned(0.0)
            except (msgspec.ValidationError, KeyError):
                raise _failed(target, "it does not say what it is") from None
            _check_python(target, facts, script)
            if not script.dependencies:
                return ""
            return await self._sent(far, target, await self._release(target, facts, script))

    async def _release(self, target: Target, facts: "Facts", script: Script) -> "Release":
        async with self._collecting:
            try:
                return await asyncio.to_thread(self._shelf.release, facts, script.dependencies)
            except ConfigError as error:
                raise _failed(target, error.message, error.advice) from error
            except OSError as error:
                why = f"wheels cannot be kept here: {error.strerror}"
                raise _failed(target, why, "See [setup] cache.") from error

    async def _sent(self, far: "FarEnd", target: Target, release: "Release") -> str:
        found = await far.ask("find", release=release.name)
        if not found.get("folder"):
            found = await far.ask(
                "put",
                release=release.name,
                sha256=release.sha256,
                wheels=release.wheels,
                keep=KEPT_THERE,
                body=release.pieces(),
                body_size=release.size,
            )
        folder = found.get("folder")
        if not isinstance(folder, str) or not folder.startswith("/"):
            raise _failed(target, "it does not say where it keeps them")
        return folder


def _check_python(target: Target, facts: "Facts", script: Script) -> None:
    if not script.fits(facts.python_version):
        needed = clean(script.requires_python, 80)
        raise InterpreterUnfit(
            f"the function requires Python {needed}, and it has {facts.python_version}",
            host=target.id,
            advice="Name another interpreter in the virtual host's `python`, or leave that host out.",
        )
    if script.dependencies and facts.implementation != "cpython":
        why = f"its Python is {facts.implementation}, and packages are sent for CPython"
        raise InterpreterUnfit(why, host=target.id)


def _failed(target: Target, why: str, advice: str = "") -> SetupFailed:
    told = f"the packages of the function are not there: {one_line(why, 600)}"
    return SetupFailed(told, host=target.id, stage=STAGE, advice=advice)


def _key(target: Target, script: Script) -> tuple[str, ...]:
    return (*target.key, target.user, script.requires_python, *script.dependencies)
