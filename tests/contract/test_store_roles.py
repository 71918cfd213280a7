"""Roles and parts: one leads at any time, and who is there says so."""

import asyncio
from datetime import datetime

from dts_core.model import PartState
from dts_core.stores.base import Store
from dts_core.testing import START, ManualClock, wait_until

SOON = 0.3
LONG = 600.0


def part(part_id: str, name: str = "porter", **fields: object) -> PartState:
    given: dict[str, object] = {
        "id": part_id,
        "name": name,
        "host": "h1",
        "pid": 7,
        "version": "1.0",
        "started_at": START,
        "seen_at": START,
        "broker": "up",
    }
    return PartState(**(given | fields))  # type: ignore[arg-type]


async def test_a_role_has_one_holder(store: Store) -> None:
    """Whoever holds it may hold it on; another one may not take it; roles do not know each other."""
    assert await store.hold_role("scheduler", "a", LONG)
    assert not await store.hold_role("scheduler", "b", LONG)
    assert await store.hold_role("scheduler", "a", LONG)
    assert await store.hold_role("stethoscope", "b", LONG)


async def test_of_many_at_once_one_holds_the_role(store: Store) -> None:
    """Standing by means that exactly one leads."""
    held = await asyncio.gather(*(store.hold_role("r", f"owner{at}", LONG) for at in range(8)))
    assert held.count(True) == 1
    [owner] = [at for at, holds in enumerate(held) if holds]
    assert await store.hold_role("r", f"owner{owner}", LONG)


async def test_a_role_that_is_not_held_on_goes_to_another(store: Store, clock: ManualClock) -> None:
    """A holder that is gone is followed; when it comes back it stands by."""
    assert await store.hold_role("r", "a", SOON)

    async def taken() -> bool:
        clock.advance(0.01)
        return await store.hold_role("r", "b", LONG)

    await wait_until(taken)
    assert not await store.hold_role("r", "a", LONG)


async def test_a_released_role_is_free_at_once(store: Store) -> None:
    """Letting go is quicker than waiting; only the holder can let go."""
    assert await store.hold_role("r", "a", LONG)
    await store.release_role("r", "b")
    assert not await store.hold_role("r", "b", LONG)
    await store.release_role("r", "a")
    assert await store.hold_role("r", "b", LONG)


async def test_parts_are_listed_with_what_they_said_last(store: Store) -> None:
    """One entry for each start, by name and id; the store says when it was seen."""
    await store.save_part(part("2"))
    await store.save_part(part("1"))
    await store.save_part(part("3", "internal"))
    await store.save_part(
        part("2", broker="away", seen_at=datetime.max.replace(tzinfo=START.tzinfo))
    )
    found = await store.parts()
    assert [(each.name, each.id, each.broker) for each in found] == [
        ("internal", "3", "up"),
        ("porter", "1", "up"),
        ("porter", "2", "away"),
    ]
    assert all(each.seen_at.year < 9999 for each in found)


async def test_a_part_that_fell_silent_is_not_listed(store: Store, clock: ManualClock) -> None:
    """Only those that said something lately."""
    await store.save_part(part("1"))

    async def silent() -> bool:
        clock.advance(0.01)
        return await store.parts(within_seconds=0.2) == []

    await wait_until(silent)
    await store.save_part(part("2"))
    assert "2" in [each.id for each in await store.parts()]
