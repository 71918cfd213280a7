"""For tests: a clock that stands still until it is told, and waiting without fixed sleeps."""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

__all__ = ["ManualClock", "wait_until"]

START = datetime(2026, 1, 1, tzinfo=UTC)


class ManualClock:
    """A Clock whose time moves only by `advance`. Its monotonic time starts at 0."""

    def __init__(self, start: datetime = START) -> None:
        self._now = start
        self._monotonic = 0.0

    def now(self) -> datetime:
        """The instant it was set to."""
        return self._now

    def monotonic(self) -> float:
        """Seconds it was advanced by since it was made."""
        return self._monotonic

    def advance(self, seconds: float) -> datetime:
        """Move on; returns the new instant.

        Args:
            seconds: At least 0; to step the wall clock back, use `step`.
        """
        if seconds < 0:
            raise ValueError("time does not run backwards; use step()")
        self._monotonic += seconds
        return self.step(seconds)

    def step(self, seconds: float) -> datetime:
        """Step the wall clock alone, also backwards, as a time server would; returns the new instant."""
        self._now += timedelta(seconds=seconds)
        return self._now


async def wait_until(
    predicate: Callable[[], bool | Awaitable[bool]],
    timeout_seconds: float = 60.0,
    *,
    what: str = "",
) -> None:
    """Wait until `predicate` holds, looking every few milliseconds.

    Raises:
        AssertionError: It did not within `timeout_seconds`; the message names `what` or the predicate.
    """
    deadline = time.monotonic() + timeout_seconds
    while True:
        held = predicate()
        if inspect.isawaitable(held):
            held = await held
        if held:
            return
        if time.monotonic() > deadline:
            name = what or getattr(predicate, "__qualname__", repr(predicate))
            raise AssertionError(f"not within {timeout_seconds} s: {name}")
        await asyncio.sleep(0.005)
