"""How long the oldest of what has come waits; no I/O."""

from collections import deque
from typing import Final

MARK_SECONDS: Final = 0.25
"""What comes within so long of one another counts as come at once."""


class Arrivals:
    """Counts what comes, and when. What is done is done in the order in which it came, more or less."""

    def __init__(self) -> None:
        self._marks: deque[tuple[float, int]] = deque()

    def come(self, now: float, before: int) -> None:
        """Something comes, on a monotonic clock; `before` came ahead of it in all."""
        if not self._marks or now - self._marks[-1][0] >= MARK_SECONDS:
            self._marks.append((now, before))

    def waits(self, now: float, *, came: int, done: int) -> float:
        """Seconds that the oldest of what has come, and is not done, has waited; 0.0 when there is none."""
        marks = self._marks
        while marks and (marks[1][1] if len(marks) > 1 else came) <= done:
            marks.popleft()
        return now - marks[0][0] if marks else 0.0
