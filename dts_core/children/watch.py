"""Watches the event loop that asynchronous calls share: a call that blocks it must not stop those to come."""

import asyncio
from collections.abc import Callable

from dts_core.children.process import ChildProcess

PING_SECONDS = 1.0
BLOCKED_SECONDS = 5.0
"""Silence after which the child is taken for blocked."""


class LoopWatch:
    """Pings the shared child while calls run in it.

    Args:
        shared: The child that new calls go to.
        on_blocked: Called once with a child that does not answer.
    """

    def __init__(
        self,
        shared: Callable[[], ChildProcess | None],
        on_blocked: Callable[[ChildProcess], None],
    ) -> None:
        self._shared = shared
        self._on_blocked = on_blocked
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Watch from now on. A second call does nothing."""
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(PING_SECONDS, self._look)

    def _look(self) -> None:
        self._timer = None
        child = self._shared()
        if child is not None and child.runs:
            if child.silent_seconds() >= BLOCKED_SECONDS:
                self._on_blocked(child)
            else:
                child.ping()
            self.start()

    def close(self) -> None:
        """Watch no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
