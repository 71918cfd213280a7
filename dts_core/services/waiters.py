"""Requests that wait for a job to end."""

import asyncio
from collections import Counter as Tally
from collections.abc import Sequence
from typing import Final

from dts_core.errors import Throttled
from dts_core.model import Change
from dts_core.services.counters import Counters
from dts_core.states import FINAL

WAITERS_MAX: Final = 10_000
_FINAL_NAMES: Final = frozenset(state.value for state in FINAL)


def count_ends(changes: Sequence[Change], counters: Counters) -> None:
    """Count the announced ends of jobs by their final state."""
    ends = Tally(
        change.state
        for change in changes
        if change.topic == "jobs" and change.state in _FINAL_NAMES
    )
    for state, number in ends.items():
        counters.add("dts_jobs_finished_total", number, state=state)


class Waiters:
    """Wakes who waits for a job when its end is announced."""

    def __init__(self) -> None:
        self._waiting: dict[str, set[asyncio.Event]] = {}
        self._count = 0
        self._closed = False

    def __len__(self) -> int:
        return self._count

    def hear(self, changes: Sequence[Change]) -> None:
        """Wake who waits for one of these jobs, where the change may be its end."""
        if not self._waiting:
            return
        for change in changes:
            if change.topic == "jobs" and change.state in _FINAL_NAMES:
                for event in self._waiting.get(change.id, ()):
                    event.set()

    async def wait(self, job_id: str, timeout_seconds: float) -> bool:
        """Wait until the job's end is announced, the time is up, or the server stops; False when it stops.

        Raises:
            Throttled: WAITERS_MAX requests wait already.
        """
        if self._closed:
            return False
        if self._count >= WAITERS_MAX:
            raise Throttled("too many requests wait for jobs.", retry_after_seconds=1.0)
        event = asyncio.Event()
        self._waiting.setdefault(job_id, set()).add(event)
        self._count += 1
        try:
            async with asyncio.timeout(timeout_seconds):
                await event.wait()
        except TimeoutError:
            pass
        finally:
            self._count -= 1
            waiting = self._waiting[job_id]
            waiting.discard(event)
            if not waiting:
                del self._waiting[job_id]
        return not self._closed

    def close(self) -> None:
        """Let everybody go who waits, and nobody wait from now on."""
        self._closed = True
        for events in self._waiting.values():
            for event in events:
                event.set()
