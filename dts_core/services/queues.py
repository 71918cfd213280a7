"""What stands in the queues; pausing them, which lasts until they are resumed, whatever is started anew meanwhile."""

import asyncio
import logging
from collections.abc import Sequence
from typing import Final

import msgspec

from dts_core.brokers.base import JOBS, Broker
from dts_core.clock import Clock
from dts_core.errors import DtsError, Forbidden, InvalidInput, NotFound
from dts_core.model import JobQuery, Pauses, QueuePause, QueueStats
from dts_core.services.access import DTS, Caller
from dts_core.services.admin import AdminWriter
from dts_core.services.documents import Collection
from dts_core.services.messages import jobs_queue, send_order
from dts_core.services.rates import Rates
from dts_core.states import JobState
from dts_core.stores.base import Store
from dts_core.text import clean
from dts_core.views import QueueChange, QueueList, QueueView

QUEUES: Final = Collection[QueuePause](
    name="queues", one="paused queue", kind=QueuePause, fields={}
)
PAGE: Final = 500
OLDEST: Final = 50
"""Jobs that are looked at for the age of queues."""
_log = logging.getLogger(__name__)


async def find_pauses(store: Store) -> list[QueuePause]:
    """Every queue that is paused, by name."""
    found: list[QueuePause] = []
    after = ""
    while True:
        page, after = await QUEUES.page(store, after=after, limit=PAGE)
        found += page
        if not after:
            return found


async def paused_queues(store: Store) -> list[str]:
    """The queues of jobs that are paused, by name, without the prefix; what `Pauses` says."""
    return [each.id for each in await find_pauses(store)]


async def announce_pauses(store: Store, broker: Broker) -> None:
    """Tell every worker which queues are paused, all of them.

    Raises:
        DtsError: Store or broker are away.
    """
    await send_order(broker, Pauses(await paused_queues(store)))


class Queues:
    """The broker's queues.

    Args:
        store: Keeps what is paused.
        broker: Whose queues.
        clock: For the time of a pause, and for rates.
        writer: Writes pauses with their operations.
        prefix: With which the names of queues of jobs begin, as configured.
    """

    def __init__(
        self, store: Store, broker: Broker, clock: Clock, writer: AdminWriter, *, prefix: str = JOBS
    ) -> None:
        self._store = store
        self._broker = broker
        self._clock = clock
        self._writer = writer
        self._prefix = prefix
        self._rates = Rates(clock)
        self._look: asyncio.Task[list[QueueStats]] | None = None

    async def start(self) -> None:
        """Pause again what was paused; what cannot be done now is done by the next announcement."""
        try:
            for queue in await paused_queues(self._store):
                await self._broker.declare(jobs_queue(queue))
                await self._broker.pause(JOBS + queue)
            await announce_pauses(self._store, self._broker)
        except DtsError as error:
            _log.warning("paused queues are announced later: %s", error)

    async def stats(self) -> list[QueueStats]:
        """What the broker says now; whoever asks while it is being asked hears the same answer.

        Raises:
            BrokerUnavailable: It does not answer in the time of whoever asked first.
        """
        if self._look is None or self._look.done():
            self._look = asyncio.create_task(self._broker.stats(), name="queue-stats")
            self._look.add_done_callback(_heard)
        return await asyncio.shield(self._look)

    async def all(self) -> QueueList:
        """Every declared queue by name, with its rates.

        Raises:
            BrokerUnavailable: The broker does not answer.
        """
        stats, pauses = await asyncio.gather(self.stats(), find_pauses(self._store))
        rates = self._rates.take(stats)
        ages = await self._ages(stats)
        paused = {self._prefix + each.id: each for each in pauses}
        views = []
        for each in stats:
            fields = msgspec.structs.asdict(each)
            if each.name in ages and each.ready:
                fields["oldest_seconds"] = ages[each.name]
            is_reckoned = each.published_rate is None and not each.partial
            if is_reckoned and (rate := rates.get(each.name)) is not None:
                fields |= {
                    "published_rate": rate.published,
                    "delivered_rate": rate.delivered,
                    "acked_rate": rate.acked,
                }
            if (pause := paused.get(each.name)) is not None:
                fields |= {"paused": True, "paused_by": pause.by, "paused_at": pause.at}
            views.append(QueueView(**fields))
        return QueueList(items=views)

    async def _ages(self, stats: Sequence[QueueStats]) -> dict[str, float]:
        """How long the oldest job of each queue has waited, where the broker does not tell and something waits.

        By the store's record, of the jobs that wait longest; a queue whose jobs are all younger is not among them.
        """
        waiting = [each for each in stats if each.ready and not each.oldest_seconds]
        if not any(each.name.startswith(self._prefix) for each in waiting):
            return {}
        query = JobQuery(state=(JobState.QUEUED,), newest_first=False, limit=OLDEST)
        now = self._clock.now()
        ages: dict[str, float] = {}
        for job in (await self._store.find_jobs(query)).items:
            age = (now - (job.queued_at or job.created_at)).total_seconds()
            name = self._prefix + job.queue
            ages[name] = max(ages.get(name, 0.0), age)
        return ages

    async def pause(self, caller: Caller, name: str) -> QueueChange:
        """Have a queue of jobs hand nothing out until it is resumed; what runs goes on.

        Raises:
            NotFound: There is no such queue.
            InvalidInput: It is no queue of jobs.
            Forbidden: The queue of the control side's own jobs, and no administrator.
        """
        queue = await self._queue(caller, name, "pause")
        before = await QUEUES.find(self._store, queue)
        if before is None:
            made = QueuePause(id=queue, by=caller.user, at=self._clock.now())
            await self._writer.write(caller, QUEUES, None, made, op_type="pause")
        await self._apply(queue, paused=True)
        return QueueChange(name=self._prefix + queue, paused=True, changed=before is None)

    async def resume(self, caller: Caller, name: str) -> QueueChange:
        """Have it hand out again. One that is not paused stays as it is.

        Raises:
            NotFound: There is no such queue.
            InvalidInput: It is no queue of jobs.
            Forbidden: The queue of the control side's own jobs, and no administrator.
        """
        queue = await self._queue(caller, name, "resume")
        before = await QUEUES.find(self._store, queue)
        if before is not None:
            await self._writer.write(caller, QUEUES, before, None, op_type="resume")
        await self._apply(queue, paused=False)
        return QueueChange(name=self._prefix + queue, paused=False, changed=before is not None)

    async def _queue(self, caller: Caller, name: str, op_type: str) -> str:
        """The queue as jobs name it, of a name as it is listed or as jobs name it."""
        known = {each.name for each in await self.stats()}
        if name in known and not name.startswith(self._prefix):
            raise InvalidInput(
                f"{clean(name, 120)} is no queue of jobs: the control side needs it.",
                fields={"name": f"begins with {self._prefix}"},
                advice=f"Pause one whose name begins with {self._prefix}",
            )
        queue = name.removeprefix(self._prefix)
        is_known = self._prefix + queue in known
        if not is_known and await QUEUES.find(self._store, queue[:240]) is None:
            raise NotFound(
                f"there is no queue {clean(name, 120)!r}.", advice="See `dts queues list`."
            )
        if queue == DTS and not caller.is_admin:
            error = Forbidden(
                f"user {caller.user} may not {op_type} {name}: role admin is missing.",
                advice="Ask an administrator.",
            )
            await self._writer.refused(caller, QUEUES.name, queue, op_type, error)
            raise error
        return queue

    async def _apply(self, queue: str, *, paused: bool) -> None:
        """What is written counts; a broker that is away is told by the next announcement."""
        try:
            await self._broker.declare(jobs_queue(queue))
            await (self._broker.pause if paused else self._broker.resume)(JOBS + queue)
            await announce_pauses(self._store, self._broker)
        except DtsError as error:
            _log.warning("the pause of %s is announced later: %s", queue, error)


def _heard(look: asyncio.Task[list[QueueStats]]) -> None:
    """Whoever asked may have gone meanwhile: a failure is nobody's then."""
    if not look.cancelled() and (error := look.exception()) is not None:
        _log.debug("the queues could not be looked at: %s", error)
