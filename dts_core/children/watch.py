"""Watches the event loops that asynchronous calls share: a call that blocks it must not stop those to come."""

import asyncio
from collections.abc import Callable, Iterable

from dts_core.children.process import ChildProcess

PING_SECONDS = 1.0
BLOCKED_SECONDS = 5.0
"""Silence after which the child is taken for blocked."""


class LoopWatch:
    """Pings the shared child while calls run in it.

    Args:
        shared: The children that are watched.
        on_blocked: Called with a child that does not answer, each PING_SECONDS until it does: who is asked what holds
            it may not know at once.
    """

    def __init__(
        self,
        shared: Callable[[], Iterable[ChildProcess]],
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
        for child in [each for each in self._shared() if each.runs]:
            if not child.ready:
                pass  # it is starting, and would not survive the question
            elif child.silent_seconds() >= BLOCKED_SECONDS:
                self._on_blocked(child)
            else:
                child.ping()
            self.start()

    def close(self) -> None:
        """Watch no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
