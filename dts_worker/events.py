"""What happened to jobs here, counted per event and function for the heartbeats."""

import time
from collections import deque

from dts_core.states import WorkerEvent

RECORDS_MAX = 10_000
"""Most records that wait to be counted."""
FUNCTIONS_MAX = 1_000
"""Most functions that are counted by name; further ones count as OTHERS."""
OTHERS = "*"

__all__ = ["EventCounts", "WorkerEvent"]


class EventCounts:
    """Takes (timestamp, event, function) records; adds them up when somebody asks, or when the queue is full."""

    def __init__(self) -> None:
        self._records: deque[tuple[float, int, str]] = deque()
        self._counts: dict[tuple[int, str], int] = {}

    def record(self, event: int, function: str) -> None:
        """One more `event` (a number of WorkerEvent) of `function`, now."""
        self._records.append((time.time(), event, function))
        if len(self._records) >= RECORDS_MAX:
            self._fold()

    def recent(self) -> list[tuple[float, int, str]]:
        """The records that have not been added up yet, oldest first."""
        return list(self._records)

    def counts(self) -> list[tuple[int, str, int]]:
        """(event, function, how many since the start), sorted."""
        self._fold()
        return [
            (event, function, count) for (event, function), count in sorted(self._counts.items())
        ]

    def _fold(self) -> None:
        counts = self._counts
        for _, event, function in self._records:
            key = (event, function)
            if key not in counts and len(counts) >= 3 * FUNCTIONS_MAX:
                key = (event, OTHERS)
            counts[key] = counts.get(key, 0) + 1
        self._records.clear()
