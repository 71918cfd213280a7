"""Several daemons in one process: they stand and fall together."""

import asyncio

import pytest

from dts_core.daemons.base import PartDied, running
from dts_core.errors import StoreUnavailable


async def for_ever() -> None:
    await asyncio.Event().wait()


async def at_once() -> None:
    return


async def broken() -> None:
    raise ValueError("odd\nthing")


async def refused() -> None:
    raise StoreUnavailable("the disk is gone.")


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        (at_once, "second ended by itself."),
        (broken, "second died: ValueError: odd"),
        (refused, "second died: the disk is gone."),
    ],
)
async def test_dead_part_ends_all_with_its_reason(part: object, expected: str) -> None:
    """Which part it was, and why, in one line; the block and the other parts are stopped."""
    stopped = []

    async def other() -> None:
        try:
            await for_ever()
        finally:
            stopped.append("other")

    with pytest.raises(PartDied) as caught:
        async with running({"first": other, "second": part}):  # type: ignore[dict-item]
            await for_ever()
    assert caught.value.message == expected
    assert stopped == ["other"]


async def test_end_of_the_block_stops_all() -> None:
    """A clean end cancels every part and waits for it; nothing is raised."""
    stopped = []

    async def slow() -> None:
        try:
            await for_ever()
        finally:
            await asyncio.sleep(0.01)
            stopped.append("slow")

    async with running({"one": slow, "two": slow}):
        await asyncio.sleep(0)
    assert stopped == ["slow", "slow"]


async def test_error_of_the_block_is_the_error() -> None:
    """What goes wrong in the block itself is raised as it is."""
    with pytest.raises(LookupError, match="mine"):
        async with running({"one": for_ever}):
            raise LookupError("mine")


async def test_task_added_to_the_group_falls_with_it() -> None:
    """Further tasks of the group end with the parts, and can end them."""

    async def serving() -> None:
        raise PartDied("the server ended.")

    async def with_server() -> None:
        async with running({"one": for_ever}) as group:
            group.create_task(serving())
            await for_ever()

    with pytest.raises(PartDied, match="the server ended"):
        await with_server()
