"""How many logins are under way: over all, and at each door, so that no sshd turns one away (MaxStartups)."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

__all__ = ["Gate"]


class Gate:
    """Lets so many in. Doors that nobody stands at cost nothing.

    Args:
        most: Over all doors.
        per_door: At each.
    """

    def __init__(self, most: int, per_door: int) -> None:
        self._all = asyncio.Semaphore(most)
        self._per_door = per_door
        self._doors: dict[str, tuple[asyncio.Semaphore, int]] = {}

    @asynccontextmanager
    async def passing(self, door: str) -> AsyncIterator[None]:
        """Hold a place at the door, then one over all: who waits at a crowded door keeps nobody else waiting."""
        semaphore, users = self._doors.get(door, (None, 0))
        semaphore = semaphore or asyncio.Semaphore(self._per_door)
        self._doors[door] = (semaphore, users + 1)
        try:
            async with semaphore, self._all:
                yield
        finally:
            _, users = self._doors[door]
            if users > 1:
                self._doors[door] = (semaphore, users - 1)
            else:
                del self._doors[door]
