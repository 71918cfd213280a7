"""The whole dashboard in one answer, and whether this server can serve at all."""

import asyncio
import logging
from typing import Final

from dts_core import __version__
from dts_core.clock import Clock
from dts_core.errors import BrokerError
from dts_core.model import JobQuery
from dts_core.services.access import Caller
from dts_core.services.hosts import seen_by
from dts_core.services.jobs import Jobs
from dts_core.services.parts import PROBE_SECONDS, Parts
from dts_core.services.queues import Queues
from dts_core.states import JobState
from dts_core.stores.base import Store
from dts_core.views import QueueView, StatusView, job_view

FAILED_SHOWN: Final = 5
_log = logging.getLogger(__name__)


class Status:
    """Puts the figures of all parts together.

    Args:
        store: Jobs, hosts, alarms.
        jobs: For the last failed ones.
        queues: With their rates and pauses.
        parts: What runs, and whether it answers.
        clock: For the times.
        engine: Name of the engine, for people.
        mail: on | off.
    """

    def __init__(
        self,
        store: Store,
        jobs: Jobs,
        queues: Queues,
        parts: Parts,
        clock: Clock,
        *,
        engine: str,
        mail: str,
    ) -> None:
        self._store = store
        self._jobs = jobs
        self._queues = queues
        self._parts = parts
        self._clock = clock
        self._engine = engine
        self._mail = mail
        self._started_at = clock.now()

    async def words_of(self, part: str) -> str:
        """How a part is, in words; empty where there is none of that name."""
        return next((each.words for each in await self._parts.all() if each.name == part), "")

    async def view(self, caller: Caller) -> StatusView:
        """Everything, as the caller sees it; without queues while the broker is away, which its part says."""
        query = JobQuery(state=(JobState.FAILED, JobState.DEAD), limit=FAILED_SHOWN)
        counts, hosts, queues, alarms, failed, parts = await asyncio.gather(
            self._jobs.counts(caller),
            self._store.hosts(),
            self._known_queues(),
            self._store.alarms(open_only=True),
            self._jobs.page(caller, query),
            self._parts.all(),
        )
        return StatusView(
            version=__version__,
            engine=self._engine,
            at=self._clock.now(),
            started_at=self._started_at,
            jobs=counts,
            hosts=[seen_by(caller, host) for host in hosts],
            queues=queues,
            alarms=alarms,
            failed=[job_view(job, with_result=False) for job in failed.items],
            components=self._parts.own(),
            parts=parts,
            mail=self._mail,
        )

    async def _known_queues(self) -> list[QueueView]:
        try:
            async with asyncio.timeout(PROBE_SECONDS):
                return (await self._queues.all()).items
        except (BrokerError, TimeoutError) as error:
            _log.debug("the queues are not known now: %s", error)
            return []

    async def probe(self) -> dict[str, str]:
        """Part -> "up", or what is wrong with it: a real read of the store, a real question to the broker."""
        return await self._parts.probe()
