"""Sizes of a terminal on their way to a host: of many that come at once the newest alone."""

import asyncio
from collections.abc import Callable
from typing import Final

__all__ = ["Sizes"]

PAUSE_SECONDS: Final = 0.05
"""Between two that are passed on."""


class Sizes:
    """Passes the first on at once, and of those that come within a pause the last, at its end.

    Args:
        tell: Takes columns and rows.
    """

    def __init__(self, tell: Callable[[int, int], None]) -> None:
        self._tell = tell
        self._loop = asyncio.get_running_loop()
        self._pause: asyncio.TimerHandle | None = None
        self._waiting: tuple[int, int] | None = None

    def take(self, columns: int, rows: int) -> None:
        """The terminal has this size now."""
        self._waiting = columns, rows
        if self._pause is None:
            self._pass_on()

    def settle(self) -> None:
        """Pass on what waits: keys that follow a size come after it."""
        if self._waiting is not None:
            self.close()
            self._pass_on()

    def close(self) -> None:
        """Nothing more is passed on by itself."""
        if self._pause is not None:
            self._pause.cancel()
            self._pause = None

    def _pass_on(self) -> None:
        self._pause = None
        if self._waiting is not None:
            size, self._waiting = self._waiting, None
            self._pause = self._loop.call_later(PAUSE_SECONDS, self._pass_on)
            self._tell(*size)
