"""Set a host up, look what that would change, stop its worker, take all of it away."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

import msgspec

from dts_core.errors import RemoteError, SetupFailed
from dts_core.ssh.pool import Sessions
from dts_core.ssh.setup.facts import Facts
from dts_core.ssh.setup.farend import FarEnd, Sudo
from dts_core.ssh.setup.steps import PlanStep, Step, names_of, steps_of, words_of
from dts_core.ssh.setup.wheels.release import Release, Shelf
from dts_core.ssh.setup.wish import Place, Wish
from dts_core.ssh.target import Target
from dts_core.text import clean, one_line

__all__ = ["Plan", "Progress", "Removed", "Setup"]

REMOVE_SECONDS: Final = 180.0
Progress = Callable[[PlanStep, bool], None]
"""Told of a step before it is made (False) and when it is so (True)."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What a host is, and each step; after an application, as it was found and what was done."""

    facts: Facts
    manager: str
    """systemd, systemd-user or supervised."""
    steps: list[PlanStep]
    cut_at: str = ""
    """The step at which a former set-up was cut; empty: none."""
    warnings: list[str] = []

    @property
    def changes(self) -> list[str]:
        """Names of the steps that change something."""
        return [step.name for step in self.steps if step.changes]


class Removed(msgspec.Struct, frozen=True):
    """What became of a removal."""

    removed: bool
    """Whether there was anything."""
    left: list[str]
    """Paths and processes that are still there; empty when all went well."""


class _Visit(msgspec.Struct, frozen=True):
    plan: Plan
    steps: list[Step]
    release: Release
    releases: list[str]
    place: Place
    salt: str


class Setup:
    """Does it, over sessions that others made.

    Args:
        sessions: The pool.
        shelf: Where the program comes from.
    """

    def __init__(self, sessions: Sessions, shelf: Shelf) -> None:
        self._sessions = sessions
        self._shelf = shelf
        self._collecting = asyncio.Lock()

    async def plan(self, target: Target, wish: Wish, *, sudo: Sudo | None = None) -> Plan:
        """What an application would find and change; nothing is changed.

        Args:
            target: The host.
            wish: What it shall become.
            sudo: Has the password, should sudo ask in scope system.

        Raises:
            SetupFailed: It cannot become that; the message says what is missing.
            RemoteError: It cannot be reached, or has no Python.
            ConfigError: There is no program for it here.
        """
        async with self._far(target, wish, sudo) as far:
            return (await self._look(far, target, wish)).plan

    async def apply(
        self,
        target: Target,
        wish: Wish,
        *,
        sudo: Sudo | None = None,
        progress: Progress | None = None,
    ) -> Plan:
        """Make each step as it shall be, in order; what is so already is left alone.

        May be cut at any moment and begun again: the host knows its step, and each is looked at before and after it is
        made. When nothing is to be changed, that is one call.

        Args:
            target: The host.
            wish: What it shall become.
            sudo: Has the password, should sudo ask in scope system.
            progress: Hears of each step.

        Returns:
            How it was found, and what was changed.

        Raises:
            SetupFailed: A step could not be made, or the host cannot become that.
            RemoteError: It cannot be reached, has no Python, or the session was lost.
            ConfigError: There is no program for it here.
        """
        async with self._far(target, wish, sudo) as far:
            visit = await self._look(far, target, wish)
            for step, planned in zip(visit.steps, visit.plan.steps, strict=True):
                if not planned.changes:
                    continue
                if progress is not None:
                    progress(planned, False)
                await self._make(far, visit, step)
                if progress is not None:
                    progress(planned, True)
            return visit.plan

    async def stop(self, target: Target, wish: Wish, *, sudo: Sudo | None = None) -> bool:
        """Let the worker finish what it runs, and end it; whether it ran. The next application starts it again.

        Raises:
            RemoteError: It could not be done.
        """
        async with self._far(target, wish, sudo) as far:
            place = msgspec.structs.asdict(Place.of(wish))
            seconds = wish.drain_seconds
            told = await far.ask("stop", place=place, seconds=seconds, timeout=seconds + 60)
            return bool(told.get("stopped"))

    async def last_words(self, target: Target, wish: Wish, *, sudo: Sudo | None = None) -> str:
        """The last line that the worker printed, for a person who asks why it does not come; empty: none is known."""
        try:
            async with self._far(target, wish, sudo) as far:
                place = msgspec.structs.asdict(Place.of(wish))
                said = str((await far.ask("words", place=place)).get("words", ""))
        except RemoteError:
            return ""
        lines = [line for line in said.split("\n") if line.strip() and "supervisor:" not in line]
        return one_line(clean(lines[-1]), 500) if lines else ""

    async def remove(
        self, target: Target, wish: Wish, *, sudo: Sudo | None = None, keep_data: bool = False
    ) -> Removed:
        """Take away everything that was made there, and look whether anything is left. A second time does nothing.

        Args:
            target: The host.
            wish: Only its scope, keeper and folder count.
            sudo: Has the password, should sudo ask in scope system.
            keep_data: Leave the worker's data.

        Raises:
            RemoteError: It could not be done; what was taken away is gone, the same again goes on.
        """
        async with self._far(target, wish, sudo) as far:
            place = msgspec.structs.asdict(Place.of(wish))
            told = await far.ask("remove", place=place, keep_data=keep_data, timeout=REMOVE_SECONDS)
            left: list[str] = [one_line(clean(str(each)), 400) for each in told.get("left", [])]
            return Removed(bool(told.get("removed")), left)

    # --- within

    @asynccontextmanager
    async def _far(self, target: Target, wish: Wish, sudo: Sudo | None) -> AsyncIterator[FarEnd]:
        async with (
            self._sessions.session(target) as session,
            FarEnd.opened(session, root=wish.scope == "system", sudo=sudo) as far,
        ):
            yield far

    async def _look(self, far: FarEnd, target: Target, wish: Wish) -> _Visit:
        salt = secrets.token_hex(16)
        place = msgspec.structs.asdict(Place.of(wish))
        begun = time.time()
        told = await far.ask("look", place=place, steps=names_of(wish), salt=salt)
        facts = _facts(told, (begun + time.time()) / 2, target)
        if hindrances := facts.hindrances():
            raise SetupFailed("; ".join(hindrances), host=target.id)
        async with self._collecting:
            release = await asyncio.to_thread(self._shelf.release, facts)
        found = Place.of(wish, facts)
        steps = steps_of(wish, found, facts, release, salt)
        states = told["states"]
        plan = Plan(
            facts=facts,
            manager=found.manager,
            steps=_planned(steps, states["steps"], states["releases"]),
            cut_at=one_line(clean(str(states["cut_at"])), 40),
            warnings=facts.warnings(),
        )
        return _Visit(plan, steps, release, list(states["releases"]), found, salt)

    async def _make(self, far: FarEnd, visit: _Visit, step: Step) -> None:
        order: dict[str, Any] = {
            "place": msgspec.structs.asdict(visit.place),
            "step": step.name,
            "will": step.will,
            "given": step.given,
            "salt": visit.salt,
        }
        if step.sends and visit.release.name not in visit.releases:
            await far.ask(
                "apply", **order, body=visit.release.pieces(), body_size=visit.release.size
            )
        else:
            await far.ask("apply", **order)


def _facts(told: dict[str, Any], now: float, target: Target) -> Facts:
    try:
        found = msgspec.convert(told["facts"], Facts)
    except (KeyError, msgspec.ValidationError):
        raise SetupFailed("it told facts that are none", host=target.id) from None
    return found.cleaned(round(found.time - now, 3))


def _planned(steps: list[Step], states: dict[str, Any], releases: list[str]) -> list[PlanStep]:
    """Whatever is changed has the worker started anew."""
    planned: list[PlanStep] = []
    for step in steps:
        state = states[step.name]
        changes = state != step.will
        is_, will = words_of(step, state), step.shown
        if step.sends and changes:
            will += ", lies there" if step.will["release"] in releases else ", is sent"
        if step.name == "service" and not changes and any(each.changes for each in planned):
            changes, is_ = True, "runs, from what was before"
        planned.append(PlanStep(step.name, one_line(clean(is_), 400), will, changes))
    return planned
