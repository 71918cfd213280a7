"""Asynchronous calls, so many on their way at once."""

import asyncio
from collections.abc import Awaitable, Callable

from benchmarks.peers.apps.place import OUTSTANDING


async def many(call: Callable[[], Awaitable[object]], count: int) -> None:
    """Call it `count` times, at most OUTSTANDING at a time."""
    left = iter(range(count))

    async def caller() -> None:
        for _ in left:
            await call()

    await asyncio.gather(*(caller() for _ in range(OUTSTANDING)))
