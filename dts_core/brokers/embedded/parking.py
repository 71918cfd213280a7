"""Parking: a message against whose claim a live lease stands waits aside until that may have lapsed."""

import asyncio
import heapq
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from dts_core.brokers.embedded.outlets import Outlet
from dts_core.brokers.embedded.queues import Entry

PARKED_MIN_SECONDS: Final = 0.05
PARKED_MAX_SECONDS: Final = 60.0


class Parking:
    """Sets messages aside, each queue's with one alarm for the next of them.

    Args:
        put_back: Makes messages ready again.
    """

    def __init__(self, put_back: Callable[[Outlet, Sequence[Entry]], None]) -> None:
        self._put_back = put_back
        self._is_open = True

    def park(self, outlet: Outlet, entry: Entry, seconds: float) -> None:
        """Set a message aside for so long, within bounds."""
        wait = min(max(seconds, PARKED_MIN_SECONDS), PARKED_MAX_SECONDS)
        loop = asyncio.get_running_loop()
        heapq.heappush(outlet.parked, (loop.time() + wait, entry.seq, entry))
        self._set_alarm(outlet)

    def unpark(self, jobs: set[str], outlets: Iterable[Outlet]) -> None:
        """Nothing stands against these any more: those of their messages that are parked are ready."""
        for outlet in outlets:
            self._put_back(outlet, outlet.unpark(jobs))

    def close(self, outlets: Iterable[Outlet]) -> None:
        """Nothing comes back any more."""
        self._is_open = False
        for outlet in outlets:
            if outlet.alarm is not None:
                outlet.alarm.cancel()

    def _set_alarm(self, outlet: Outlet) -> None:
        if outlet.alarm is not None:
            outlet.alarm.cancel()
            outlet.alarm = None
        if outlet.parked and self._is_open:
            loop = asyncio.get_running_loop()
            outlet.alarm = loop.call_at(outlet.parked[0][0], self._come_back, outlet)

    def _come_back(self, outlet: Outlet) -> None:
        outlet.alarm = None
        now = asyncio.get_running_loop().time() + PARKED_MIN_SECONDS
        due: list[Entry] = []
        while outlet.parked and outlet.parked[0][0] <= now:
            due.append(heapq.heappop(outlet.parked)[2])
        self._put_back(outlet, due)
        self._set_alarm(outlet)
