"""The whole dashboard in one answer, and whether this server can serve at all."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from dts_core import __version__
from dts_core.brokers.base import Broker
from dts_core.clock import Clock
from dts_core.errors import DtsError
from dts_core.model import JobQuery
from dts_core.services.access import Caller
from dts_core.services.hosts import seen_by
from dts_core.services.jobs import Jobs
from dts_core.states import JobState
from dts_core.stores.base import Store
from dts_core.text import clean
from dts_core.views import StatusView, job_view

FAILED_SHOWN: Final = 5
PROBE_SECONDS: Final = 2.0
"""How long the store and the broker may take to answer a probe."""
Components = Callable[[], Mapping[str, str]]


class Status:
    """Puts the figures of all parts together.

    Args:
        store: Jobs, hosts, alarms.
        broker: Queues.
        jobs: For the last failed ones.
        clock: For the times.
        engine: Name of the engine, for people.
        components: part -> its state in words; asked anew each time.
    """

    def __init__(
        self,
        store: Store,
        broker: Broker,
        jobs: Jobs,
        clock: Clock,
        *,
        engine: str,
        components: Components,
    ) -> None:
        self._store = store
        self._broker = broker
        self._jobs = jobs
        self._clock = clock
        self._engine = engine
        self._components = components
        self._started_at = clock.now()

    async def view(self, caller: Caller) -> StatusView:
        """Everything, as the caller sees it."""
        query = JobQuery(state=(JobState.FAILED, JobState.DEAD), limit=FAILED_SHOWN)
        counts, hosts, queues, alarms, failed = await asyncio.gather(
            self._jobs.counts(),
            self._store.hosts(),
            self._broker.stats(),
            self._store.alarms(open_only=True),
            self._jobs.page(caller, query),
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
            components={"server": "up", **self._components()},
        )

    async def probe(self) -> dict[str, str]:
        """Part -> "up", or what is wrong with it: a real read of the store, a real question to the broker."""
        store, broker = await asyncio.gather(
            self._probe(self._store.ping), self._probe(self._broker.stats)
        )
        return {"store": store, "broker": broker}

    async def _probe(self, ask: Callable[[], Awaitable[object]]) -> str:
        try:
            async with asyncio.timeout(PROBE_SECONDS):
                await ask()
        except TimeoutError:
            return f"no answer within {PROBE_SECONDS:g} s"
        except DtsError as error:
            return clean(str(error), 300)
        return "up"
