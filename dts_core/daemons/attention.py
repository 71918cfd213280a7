"""Doubt yourself first: time counts as the silence of others only where we listened."""

from typing import Final

STEP_MAX_SECONDS: Final = 2.0
"""A longer gap between two looks was our own pause, and nobody else's silence."""


class Attention:
    """Seconds in which we listened. A pause of our own counts as STEP_MAX_SECONDS at most.

    A backlog counts for nothing, and neither does the time in which nobody could be heard.
    """

    def __init__(self, monotonic: float) -> None:
        self._last = monotonic
        self._behind = False
        self.seconds = 0.0

    def look(self, monotonic: float, *, behind: bool = False, deaf: bool = False) -> float:
        """Bring it up to date and return it.

        Args:
            monotonic: Now.
            behind: More is waiting to be heard than we have taken in.
            deaf: Nobody can be heard, for a while already.
        """
        if not self._behind and not deaf:
            self.seconds += min(max(0.0, monotonic - self._last), STEP_MAX_SECONDS)
        self._last = monotonic
        self._behind = behind
        return self.seconds
