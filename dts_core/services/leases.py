"""When a lease is over, by a control side that doubts itself first.

A lease ends when its worker was not heard for its length. While this process stood still, was just started, or lost
its clock, it heard nobody: that is not the workers' silence, and each of them gets a whole length to be heard again.
"""

from datetime import UTC, datetime, timedelta
from typing import Final

from dts_core.clock import Clock

LOOK_SECONDS: Final = 1.0
"""How often somebody has to look, so that a pause of our own is noticed."""
GAP_SECONDS: Final = 3.0
"""A longer time between two looks was a pause of our own."""
_NEVER: Final = datetime.min.replace(tzinfo=UTC)


class Leases:
    """Judges the ends of leases for one control side. Belongs to the loop's thread.

    Args:
        clock: Counts the leases. A wall clock that jumps ahead (a host that slept, a time server) counts as a pause.
        length: Of one lease; so long is everybody given after a pause.
    """

    def __init__(self, clock: Clock, length: timedelta) -> None:
        self._clock = clock
        self._length = length
        self._last = clock.monotonic()
        self._last_wall = clock.now()
        self._before = _NEVER
        self._pauses = 0
        self._pause_doubt_until = self._last
        self._doubt_until = self._last + length.total_seconds()

    def now(self) -> datetime:
        """When a lease that is given now begins."""
        return self._clock.now()

    def horizon(self) -> datetime:
        """A lease is over when it ended strictly before this instant.

        It is now; after a pause of ours the last instant before it, until a whole length has passed.
        """
        monotonic, wall = self._clock.monotonic(), self._clock.now()
        gap = max(monotonic - self._last, (wall - self._last_wall).total_seconds())
        if gap > GAP_SECONDS:
            self._begin_doubt(monotonic)
            self._pause_doubt_until = self._doubt_until
            self._pauses += 1
        self._last, self._last_wall = monotonic, wall
        return min(self._before, wall) if monotonic < self._doubt_until else wall

    def doubt(self) -> None:
        """What was heard could not be written: nobody's lease ends by that either."""
        self.horizon()
        self._begin_doubt(self._last)

    def _begin_doubt(self, monotonic: float) -> None:
        if self._last >= self._doubt_until:
            self._before = self._last_wall
        self._doubt_until = monotonic + self._length.total_seconds()

    def doubted_pause(self) -> int:
        """The number of our last pause while it still casts doubt, else 0."""
        self.horizon()
        return self._pauses if self._last < self._pause_doubt_until else 0

    def seconds_left(self, until: datetime) -> float:
        """Seconds after which a lease that ends then may count as over; at least 0."""
        horizon = self.horizon()
        if until < horizon:
            return 0.0
        left = (until - self._last_wall).total_seconds()
        return max(left, self._doubt_until - self._last, 0.0)


class Lately:
    """Whether something has happened within the last few seconds; at first it has.

    For `Claims.doubted`: the connection to a broker was built anew. Messages that came back then may do so because the
    broker was away, and not because their holders are.
    """

    def __init__(self, clock: Clock, length: timedelta) -> None:
        self._clock = clock
        self._seconds = length.total_seconds()
        self.note()

    def note(self) -> None:
        """It happens now."""
        self._until = self._clock.monotonic() + self._seconds

    def __call__(self) -> bool:
        """Whether it was within the length."""
        return self._clock.monotonic() < self._until
