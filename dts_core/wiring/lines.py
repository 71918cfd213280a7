"""A process's line to its broker: opened in any order of starts, and told in words."""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Protocol

from dts_core.errors import BrokerUnavailable
from dts_core.hosting.waiting import unless_stopped
from dts_core.text import one_line

__all__ = ["Line", "OnState", "Startable"]

START_SECONDS = 10.0
OnState = Callable[[bool, str], None]
_log = logging.getLogger(__name__)


class Startable(Protocol):
    """A broker that connects by itself, again and again, from `start` until it is closed."""

    on_state: OnState

    async def start(self, *, timeout_seconds: float = 10.0) -> None:
        """Begin, and wait for the first connection; it is tried for on after a failure.

        Raises:
            BrokerUnavailable: None in time.
        """
        ...


class Line:
    """Follows whether the broker is there.

    Args:
        broker: Not started yet; its `on_state` is this one's from now on.
    """

    def __init__(self, broker: Startable) -> None:
        self._broker = broker
        self._then: OnState = lambda connected, why: None
        self._there = asyncio.Event()
        self._since = time.monotonic()
        self._why = "not connected yet"
        broker.on_state = self._told

    @property
    def words(self) -> str:
        """`up`, or for how long it has been away and why."""
        if self._there.is_set():
            return "up"
        return f"away for {time.monotonic() - self._since:.0f} s: {self._why}"

    def then(self, on_state: OnState) -> None:
        """Whom to tell of each change after this."""
        self._then = on_state

    def away(self) -> str:
        """For how long it has been away and why; empty while it is there."""
        return "" if self._there.is_set() else self.words

    async def start(self, stop: asyncio.Event, tell: Callable[[str], None]) -> None:
        """Start the broker and wait until it is there, however long that takes.

        Raises:
            Stopped: `stop` was set meanwhile.
        """
        try:
            await unless_stopped(self._broker.start(timeout_seconds=START_SECONDS), stop)
        except BrokerUnavailable as error:
            self._why = one_line(error.message)
            words = f"waiting for the broker: {self._why}"
            _log.warning("%s It is tried again until it is there.", words)
            tell(words)
            await unless_stopped(self._there.wait(), stop)
            _log.info("the broker is there after %.0f s", time.monotonic() - self._since)

    def _told(self, connected: bool, why: str) -> None:
        if connected:
            self._there.set()
        else:
            self._there.clear()
            self._since, self._why = time.monotonic(), one_line(why) or "the connection was lost"
        self._then(connected, why)
