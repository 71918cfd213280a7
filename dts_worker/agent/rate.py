"""How many records may go, and a word about those that may not."""

from collections import Counter
from typing import Final

MARKER_SECONDS: Final = 1.0
"""Shortest time between two words about dropped records."""
BURST_SECONDS: Final = 2.0
"""A burst may take what this many seconds allow."""


class Allowance:
    """A token bucket that remembers, by source, what it refused."""

    def __init__(self, per_second: float) -> None:
        self._per_second = per_second
        self._tokens = self._most = max(1.0, per_second * BURST_SECONDS)
        self._seen: float | None = None
        self._refused: Counter[str] = Counter()
        self._told = float("-inf")

    def take(self, source: str, monotonic: float) -> bool:
        """Whether one record of `source` may go now; a refused one is counted."""
        if self._seen is not None:
            gained = max(0.0, monotonic - self._seen) * self._per_second
            self._tokens = min(self._most, self._tokens + gained)
        self._seen = monotonic
        if self._tokens >= 1:
            self._tokens -= 1
            return True
        self._refused[source] += 1
        return False

    def word(self, monotonic: float) -> str:
        """What was refused since the last word; empty when nothing was, or one went out a moment ago."""
        if not self._refused or monotonic - self._told < MARKER_SECONDS:
            return ""
        self._told = monotonic
        count, files = self._refused.total(), len(self._refused)
        most, _ = self._refused.most_common(1)[0]
        self._refused.clear()
        where = most if files == 1 else f"{files} files, most of them from {most}"
        return f"dropped {count} records from {where}: more than {self._per_second:g} a second"
