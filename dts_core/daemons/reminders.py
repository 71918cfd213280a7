"""What is said again, because it may have been lost on its way: orders to stop, and invitations that are nowhere.

An order is a fanout: it passes a worker that was not connected at that moment, or that was granted the job and had not
heard so yet. An invitation is lost with its queue: by somebody who deletes it, or a broker that forgets.
"""

from collections.abc import Sequence
from datetime import timedelta
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
LOST_SECONDS: Final = 900.0
"""Age of an invitation from which it may be lost: a worker keeps one in hand without a claim for less than that."""
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

    async def repeat_cancels(self) -> None:
        """Tell the workers again of every job that is to stop.

        Raises:
            DtsError: Store or broker are away.
        """
        stopping = JobQuery(state=(JobState.CANCELLING,), limit=CANCELS_MAX)
        for job in (await self._store.find_jobs(stopping)).items:
            await send_order(self._broker, Cancel(job=job.id, by=job.cancelled_by))

    async def lost(self) -> list[Job]:
        """Jobs that have been queued for long, in queues that are empty; of the next few in order of their age.

        Raises:
            DtsError: Store or broker are away.
        """
        before = self._clock.now() - timedelta(seconds=LOST_SECONDS)
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
        return await self._of_empty_queues(old) if old else []

    async def _of_empty_queues(self, jobs: Sequence[Job]) -> list[Job]:
        await declare_queues(self._broker, jobs)
        stats = await self._broker.stats()
        full = [f".{each.name}" for each in stats if each.ready or each.unacked]
        out = {queue for queue in {job.queue for job in jobs} if _ends_one(f".{queue}", full)}
        out |= set(await paused_queues(self._store))
        return [job for job in jobs if job.queue not in out]


def _ends_one(ending: str, names: Sequence[str]) -> bool:
    """Whether it is the queue of jobs behind one of these names, whatever their prefix is."""
    return any(name.endswith(ending) for name in names)
