"""How often somebody may try something in a minute."""

from collections import OrderedDict, deque
from typing import Final

from dts_core.clock import Clock
from dts_core.errors import Throttled

WINDOW_SECONDS: Final = 60.0
KEYS_MAX: Final = 10_000
"""Most keys that are remembered; the one not seen for longest is forgotten first."""


class Throttle:
    """At most `limit` tries per key in any minute."""

    def __init__(self, clock: Clock, limit: int) -> None:
        self._clock = clock
        self._limit = limit
        self._tries: OrderedDict[str, deque[float]] = OrderedDict()

    def admit(self, key: str) -> bool:
        """Count a try, and whether it is within the limit; one that is not is not counted."""
        tries = self._recent(key)
        if len(tries) >= self._limit:
            return False
        tries.append(self._clock.monotonic())
        return True

    def check(self, key: str, what: str) -> None:
        """As `admit`.

        Raises:
            Throttled: Over the limit; says when the next try counts.
        """
        if not self.admit(key):
            wait = WINDOW_SECONDS - (self._clock.monotonic() - self._tries[key][0])
            raise Throttled(
                f"too many {what}.",
                retry_after_seconds=max(wait, 1.0),
                advice=f"Try again in {max(wait, 1.0):.0f} s.",
            )

    def forget(self, key: str) -> None:
        """Start counting anew."""
        self._tries.pop(key, None)

    def _recent(self, key: str) -> deque[float]:
        tries = self._tries.setdefault(key, deque())
        self._tries.move_to_end(key)
        if len(self._tries) > KEYS_MAX:
            self._tries.popitem(last=False)
        oldest = self._clock.monotonic() - WINDOW_SECONDS
        while tries and tries[0] <= oldest:
            tries.popleft()
        return tries
