"""Whether results are recorded as they come, as far as porters say so in the store.

A porter that stands still keeps what it was sent for as long as the broker does not miss it. So it is not enough that
some porter keeps up: everybody who takes results has to say that it does.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from dts_core.clock import Clock
from dts_core.model import PartState

RECORDER: Final = "recorder"
"""Name of the part that a porter says it with."""
LAG_SECONDS: Final = 2.0
"""Results that are recorded so late are recorded before the lease of a worker that beats has ended."""
STALE_SECONDS: Final = 3.0
"""When no proof has come back to any porter for so long, what waits in the queue may be older than that."""
ALIVE_SECONDS: Final = 2.5
"""A porter that has said nothing for so long may stand still. Each says something every 1.5 s at the latest."""


class Recording:
    """What porters said, looked at every second.

    Args:
        clock: Measures how long they say nothing. The clocks of porters are not compared with it.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._seen: dict[str, PartState] | None = None
        self._alive: dict[str, float] = {}
        self._looked_at = self._proved_at = float("-inf")

    def look(self, parts: Sequence[PartState]) -> None:
        """Take in what stands in the store now."""
        now = self._clock.monotonic()
        was_away = now - self._looked_at > STALE_SECONDS
        self._looked_at = now
        seen = {part.id: part for part in parts if part.name == RECORDER}
        before, self._seen = self._seen, seen
        if was_away or before is None:
            return  # what has changed since may have changed long ago
        for part in seen.values():
            former = before.get(part.id)
            if former is None or former.seen_at != part.seen_at:
                self._alive[part.id] = now
            if part.heard_until != _heard(former):
                self._proved_at = now
        self._alive = {each: at for each, at in self._alive.items() if each in seen}

    def keeps_up(self) -> bool:
        """Whether every result that was sent is recorded, save those of the last moments."""
        now = self._clock.monotonic()
        if self._seen is None or now - self._proved_at > STALE_SECONDS:
            return False
        alive = [each for each, at in self._alive.items() if now - at <= ALIVE_SECONDS]
        return len(alive) >= max((self._seen[each].takers for each in alive), default=1)


def _heard(part: PartState | None) -> datetime | None:
    return None if part is None else part.heard_until
