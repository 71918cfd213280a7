"""Announces what other parts changed while they could not wait for the announcement."""

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Final

from dts_core.model import Change
from dts_core.services.events import EventBus

__all__ = ["Relay"]

WAITING_MAX: Final = 50_000
"""Most changes that wait; the oldest goes: who waits for one looks at the store each second anyway."""
CHUNK: Final = 1_000


class Relay:
    """Takes changes at once, publishes them in order from `run`."""

    def __init__(self, bus: EventBus) -> None:
        self._bus = bus
        self._waiting: deque[Change] = deque(maxlen=WAITING_MAX)
        self._wake = asyncio.Event()

    def tell(self, changes: Sequence[Change]) -> None:
        """Announce soon; on the loop's thread."""
        self._waiting.extend(changes)
        self._wake.set()

    async def run(self) -> None:
        """Announce until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._waiting:
                count = min(len(self._waiting), CHUNK)
                await self._bus.publish([self._waiting.popleft() for _ in range(count)])
