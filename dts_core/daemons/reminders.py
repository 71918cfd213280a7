"""What is said again, because it may have been lost on its way: orders to stop, and invitations that are nowhere.

An order is a fanout: it passes a worker that was not connected at that moment, or that was granted the job and had not
heard so yet. An invitation is lost with its queue: by somebody who deletes it, or a broker that forgets.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from dts_core.brokers.base import Broker
from dts_core.clock import Clock
from dts_core.model import Cancel, Job, JobQuery
from dts_core.services.messages import declare_queues, send_order
from dts_core.services.queues import paused_queues
from dts_core.states import JobState
from dts_core.stores.base import Store

CANCELS_MAX: Final = 500
"""Most orders to stop in one round."""
LOST_SECONDS: Final = 30.0
"""Age of an invitation from which it may be lost. A worker may have it in hand, without a claim; then one more is
harmless, for the claim is granted once."""
PATIENCE_MAX_SECONDS: Final = 900.0
"""The same job is invited to again after twice as long each time, up to this."""
PAGE: Final = 200
PAGES: Final = 5
"""Jobs that one round looks at are so many times so many; the next round goes on from there."""


class Reminders:
    """Looks for what may have been lost.

    Args:
        broker: Carries orders, and knows which queues are empty.
        store: Where the jobs stand.
        clock: For their age.
    """

    def __init__(self, broker: Broker, store: Store, clock: Clock) -> None:
        self._broker = broker
        self._store = store
        self._clock = clock
        self._cursor = ""
        self._said: dict[str, tuple[datetime, float]] = {}
        """Job -> when it was found lost for the last time, and how long it is left alone from then on."""

    async def repeat_cancels(self) -> None:
        """Tell the workers again of every job that is to stop.

        Raises:
            DtsError: Store or broker are away.
        """
        stopping = JobQuery(state=(JobState.CANCELLING,), limit=CANCELS_MAX)
        for job in (await self._store.find_jobs(stopping)).items:
            await send_order(self._broker, Cancel(job=job.id, by=job.cancelled_by))

    async def lost(self) -> list[Job]:
        """Jobs that have been queued for long, in queues where nothing waits; of the next few in order of their age.

        Raises:
            DtsError: Store or broker are away.
        """
        now = self._clock.now()
        before = now - timedelta(seconds=LOST_SECONDS)
        old: list[Job] = []
        for _ in range(PAGES):
            query = JobQuery(
                state=(JobState.QUEUED,), until=before, newest_first=False, limit=PAGE,
                cursor=self._cursor,
            )  # fmt: skip
            page = await self._store.find_jobs(query)
            old += [job for job in page.items if (job.queued_at or before) <= before]
            self._cursor = page.next
            if not page.next:
                break
        self._said = {
            job: (at, seconds) for job, (at, seconds) in self._said.items()
            if (now - at).total_seconds() < 2 * PATIENCE_MAX_SECONDS
        }  # fmt: skip
        lost = await self._of_empty_queues([job for job in old if self._is_due(job, now)])
        for job in lost:
            _, seconds = self._said.get(job.id, (now, LOST_SECONDS / 2))
            self._said[job.id] = (now, min(2 * seconds, PATIENCE_MAX_SECONDS))
        return lost

    def _is_due(self, job: Job, now: datetime) -> bool:
        at, seconds = self._said.get(job.id, (now, 0.0))
        return (now - at).total_seconds() >= seconds

    async def _of_empty_queues(self, jobs: Sequence[Job]) -> list[Job]:
        if not jobs:
            return []
        await declare_queues(self._broker, jobs)
        stats = await self._broker.stats()
        full = [f".{each.name}" for each in stats if each.ready]
        out = {queue for queue in {job.queue for job in jobs} if _ends_one(f".{queue}", full)}
        out |= set(await paused_queues(self._store))
        return [job for job in jobs if job.queue not in out]


def _ends_one(ending: str, names: Sequence[str]) -> bool:
    """Whether it is the queue of jobs behind one of these names, whatever their prefix is."""
    return any(name.endswith(ending) for name in names)
