"""What the parts of the embedded store share: the file, the clock, and a deadline on every wait."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from dts_core.clock import Clock
from dts_core.errors import StoreUnavailable
from dts_core.sqlite import Connection, Database

T = TypeVar("T")
DEADLINE_SECONDS: Final = 10.0
"""Longest wait for the file. A write that is answered late may still have been kept."""


class Part:
    """Base of the parts; each sees the same file."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def _read(self, work: Callable[[Connection], T]) -> T:
        return await within(self._database.read(work))

    async def _write(self, work: Callable[[Connection], T], *, durable: bool = False) -> T:
        return await within(self._database.write(work, durable=durable))


async def within(waiting: Awaitable[T]) -> T:
    """Await with the deadline.

    Raises:
        StoreUnavailable: It passed; the outcome of a write is unknown.
    """
    try:
        async with asyncio.timeout(DEADLINE_SECONDS):
            return await waiting
    except TimeoutError:
        raise StoreUnavailable(
            f"the data file did not answer within {DEADLINE_SECONDS:.0f} s."
        ) from None
