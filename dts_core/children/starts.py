"""What happens when children cannot be started: a few tries, then the pool is broken."""

import asyncio
from collections.abc import Callable

TRIES = 3
"""Starts that may fail in a row."""
PAUSE_SECONDS = 0.2
"""Wait after the first failure; doubles."""


class StartGuard:
    """Counts failed starts.

    Args:
        again: Called when the next try is due.
        give_up: Called once, with the reason, when there are no further tries.
    """

    def __init__(self, again: Callable[[], None], give_up: Callable[[str], None]) -> None:
        self.broken = ""
        """Why no child can be started; empty while they can."""
        self.gave_up = asyncio.Event()
        """Set with `broken`."""
        self._again = again
        self._give_up = give_up
        self._failures = 0
        self._timer: asyncio.TimerHandle | None = None

    @property
    def open(self) -> bool:
        """Whether a child may be started now."""
        return self._timer is None and not self.broken

    def succeeded(self) -> None:
        """A child works."""
        self._failures = 0

    def failed(self, why: str) -> None:
        """A child could not be started, or died before it was ready."""
        self._failures += 1
        if self._failures >= TRIES and not self.broken:
            self.broken = f"the runner cannot be started: {why}"
            self.gave_up.set()
            self._give_up(self.broken)
        elif self._timer is None and not self.broken:
            pause = PAUSE_SECONDS * 2 ** (self._failures - 1)
            self._timer = asyncio.get_running_loop().call_later(pause, self._due)

    def _due(self) -> None:
        self._timer = None
        self._again()

    def close(self) -> None:
        """No further try."""
        if self._timer is not None:
            self._timer.cancel()
