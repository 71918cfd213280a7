"""What the console says in its last line for a few seconds, and remembers."""

import time
from collections import deque
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Final

from dts_core.text import clean

KEPT: Final = 100
SECONDS: Final = 6.0
"""How long one is seen; twice as long when something went wrong."""
TEXT_MAX: Final = 400


class Notices:
    """The last ones, oldest first, as (instant, text, kind); kind is good, warn or bad.

    Args:
        show: Shows a (text, kind), or none.
    """

    def __init__(self, show: Callable[[tuple[str, str] | None], None]) -> None:
        self._show = show
        self._kept: deque[tuple[datetime, str, str]] = deque(maxlen=KEPT)
        self._until = 0.0

    def __iter__(self) -> Iterator[tuple[datetime, str, str]]:
        return iter(self._kept)

    def __reversed__(self) -> Iterator[tuple[datetime, str, str]]:
        return reversed(self._kept)

    def __len__(self) -> int:
        return len(self._kept)

    def say(self, at: datetime, text: str, kind: str) -> None:
        """Show one line and keep it."""
        text = clean(text, TEXT_MAX)
        self._kept.append((at, text, kind))
        self._until = time.monotonic() + SECONDS * (2 if kind == "bad" else 1)
        self._show((text, kind))

    def clear(self) -> None:
        """Show none."""
        if self._until:
            self._until = 0.0
            self._show(None)

    def tick(self) -> None:
        """Show none when the last one was seen long enough."""
        if self._until and time.monotonic() > self._until:
            self.clear()
