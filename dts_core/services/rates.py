"""How fast queues move: from one look at their counters to the next."""

from collections.abc import Sequence
from typing import Final

import msgspec

from dts_core.clock import Clock
from dts_core.model import QueueStats

GAP_SECONDS: Final = 1.5
"""Looks that are closer give the rates of before: a second console must not make them jump."""
STALE_SECONDS: Final = 15.0
"""A mean over a longer time says nothing of now."""


class Rate(msgspec.Struct, frozen=True):
    """Messages per second."""

    published: float
    delivered: float
    acked: float


class Rates:
    """Keeps one look at every queue."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._looked_at = float("-inf")
        self._before: dict[str, QueueStats] = {}
        self._rates: dict[str, Rate] = {}

    def take(self, queues: Sequence[QueueStats]) -> dict[str, Rate]:
        """The rates as of this look; a queue seen for the first time, or not for a while, has none."""
        now = self._clock.monotonic()
        gap = now - self._looked_at
        if gap >= GAP_SECONDS:
            before = self._before if gap <= STALE_SECONDS else {}
            self._rates = {
                each.name: _rate(before[each.name], each, gap)
                for each in queues
                if each.name in before
            }
            self._looked_at, self._before = now, {each.name: each for each in queues}
        return self._rates


def _rate(before: QueueStats, now: QueueStats, gap: float) -> Rate:
    """Counters that fell were started anew: they count from 0."""

    def rate(old: int, new: int) -> float:
        return round((new - old if new >= old else new) / gap, 3)

    return Rate(
        rate(before.published, now.published),
        rate(before.delivered, now.delivered),
        rate(before.acked, now.acked),
    )
