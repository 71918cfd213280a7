"""One of several processes leads; the others stand by."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import pytest

from dts_core.clock import SystemClock
from dts_core.daemons.leading import Leader, leading
from dts_core.errors import StoreUnavailable
from dts_core.stores.base import RoleStore, Store
from dts_core.testing import wait_until
from tests.contract.store_backends import embedded

HOLD = 1.0
RENEW = 0.05


class Reach:
    """One process's way to the store, which can be cut."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.is_cut = False

    def __getattr__(self, name: str) -> Any:
        if self.is_cut:
            raise StoreUnavailable("the store is away.")
        return getattr(self._store, name)


class Process:
    """A part that leads or stands by, and who works at the moment."""

    working: set[str]

    def __init__(self, store: Store, name: str, working: set[str]) -> None:
        self.name = name
        self.reach = Reach(store)
        self.working = working
        self.terms = 0
        self.fails = False
        self.leader = Leader(
            cast(RoleStore, self.reach), "part", name, hold_seconds=HOLD, renew_seconds=RENEW
        )
        self.task = asyncio.create_task(leading(self.work, self.leader)())

    async def work(self) -> None:
        assert not self.working, f"{self.working} while {self.name}"
        self.working.add(self.name)
        self.terms += 1
        try:
            while not self.fails:
                await asyncio.sleep(0.01)
            raise ValueError("a mistake")
        finally:
            self.working.discard(self.name)

    async def stop(self) -> None:
        self.task.cancel()
        with contextlib.suppress(asyncio.CancelledError, ValueError):
            await self.task


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[tuple[Process, Process]]:
    async with embedded(tmp_path, SystemClock()) as engine:
        working: set[str] = set()
        one = Process(engine.store, "one", working)
        await wait_until(lambda: one.terms == 1)
        two = Process(engine.store, "two", working)
        yield one, two
        await two.stop()
        await one.stop()
        assert not working


async def test_the_second_stands_by_until_the_first_has_stopped(
    pair: tuple[Process, Process],
) -> None:
    """A leader that stops lets go at once."""
    one, two = pair
    assert (one.leader.leads, two.leader.leads) == (True, False)
    await one.stop()
    await wait_until(lambda: two.terms == 1)
    assert (one.leader.leads, two.leader.leads) == (False, True)


async def test_a_leader_without_its_store_steps_down_before_another_leads(
    pair: tuple[Process, Process],
) -> None:
    """Never two at once; the first stands by when its store is back."""
    one, two = pair
    one.reach.is_cut = True
    await wait_until(lambda: two.terms == 1)
    assert one.working == {"two"}
    one.reach.is_cut = False
    await two.stop()
    await wait_until(lambda: one.terms == 2)


async def test_a_part_that_fails_is_not_hidden(pair: tuple[Process, Process]) -> None:
    """Its process ends with it, and another one leads."""
    one, two = pair
    one.fails = True
    with pytest.raises(ValueError, match="a mistake"):
        await one.task
    await wait_until(lambda: two.terms == 1)


async def test_a_part_that_ends_by_itself_is_an_error(tmp_path: Path) -> None:
    """It should work until it is told to stop."""

    async def part() -> None:
        return None

    async with embedded(tmp_path, SystemClock()) as engine:
        leader = Leader(engine.store, "part", "one", renew_seconds=RENEW)
        with pytest.raises(RuntimeError, match="ended by itself"):
            await leading(part, leader)()
        assert await engine.store.hold_role("part", "two", 1.0)
