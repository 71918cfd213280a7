"""The tests' own tools keep what they promise."""

import asyncio
from datetime import timedelta

import pytest

from dts_core.testing import START, ManualClock, wait_until


def test_a_manual_clock_moves_only_when_told() -> None:
    """Both its times move by `advance`; `step` moves the wall clock alone, also back; nothing else does."""
    clock = ManualClock()
    assert (clock.now(), clock.monotonic()) == (START, 0.0)
    assert clock.advance(1.5) == START + timedelta(seconds=1.5)
    assert clock.step(-10) == START - timedelta(seconds=8.5)
    assert clock.monotonic() == 1.5
    with pytest.raises(ValueError, match="backwards"):
        clock.advance(-1)


async def test_waiting_ends_when_the_condition_holds() -> None:
    """A plain or an awaitable condition; one that never holds is named."""
    reached = asyncio.Event()
    asyncio.get_running_loop().call_later(0.02, reached.set)
    await wait_until(reached.is_set)

    async def holds() -> bool:
        return True

    await wait_until(holds)
    with pytest.raises(AssertionError, match="the moon"):
        await wait_until(lambda: False, 0.01, what="the moon")
