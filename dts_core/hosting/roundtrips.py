"""Whether this process still reaches what it works with: what the watchdog's ping and the line of status say."""

import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final

from dts_core.errors import BrokerError, StoreError

__all__ = ["RoundTrips", "Trip"]

AWAY_MAX_SECONDS: Final = 600.0
"""A partner that says nothing of itself may be away so long before this process is doubted."""


@dataclass(frozen=True)
class Trip:
    """One partner."""

    go: Callable[[], Awaitable[object]]
    """A real question, answered by the partner itself."""
    away: Callable[[], str] | None = None
    """In words, that the partner is known to be away and looked for; empty when it is there. None: nobody can say."""


class RoundTrips:
    """The Probe of a process with these partners, by name.

    A question that fails is excused as long as the partner is known to be away: a new start would not bring it back,
    and would end the jobs that run here. Where nobody can say that, it is excused for AWAY_MAX_SECONDS.
    """

    def __init__(
        self, trips: Mapping[str, Trip], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._trips = dict(trips)
        self._clock = clock
        self._failing_since: dict[str, float] = {}

    async def __call__(self) -> str:
        """Ask each of them.

        Raises:
            DtsError: One should answer and does not.
        """
        return ", ".join([f"{name} {await self._ask(name)}" for name in self._trips])

    async def _ask(self, name: str) -> str:
        trip = self._trips[name]
        if trip.away is not None and (words := trip.away()):
            return words  # a question would only wait for it
        try:
            await trip.go()
        except (BrokerError, StoreError) as error:
            since = self._failing_since.setdefault(name, self._clock())
            seconds = self._clock() - since
            if trip.away is not None:
                if words := trip.away():
                    return words
                raise
            if seconds >= AWAY_MAX_SECONDS:
                raise
            return f"away for {seconds:.0f} s: {error.message}"
        self._failing_since.pop(name, None)
        return "up"
