"""The services of one server, with their common life; `building` puts them together."""

import asyncio
import logging
from dataclasses import dataclass, field
from typing import Final

from dts_core.brokers.base import Broker
from dts_core.clock import Clock
from dts_core.errors import DtsError
from dts_core.services.admin import AdminWriter
from dts_core.services.cancelling import Cancelling
from dts_core.services.counters import Counters
from dts_core.services.deadletters import DeadLetters
from dts_core.services.deploys import Deploys
from dts_core.services.drains import Drains
from dts_core.services.events import EventBus
from dts_core.services.functions import Functions
from dts_core.services.hostruns import HostRuns
from dts_core.services.hosts import Hosts
from dts_core.services.hosttrust import HostTrust
from dts_core.services.jobs import Jobs
from dts_core.services.logs import Logs
from dts_core.services.mail import Mail
from dts_core.services.namespaces import Namespaces
from dts_core.services.operations import Operations
from dts_core.services.questions import Questions
from dts_core.services.queues import Queues
from dts_core.services.remotecalls import RemoteCalls
from dts_core.services.sessions import Sessions
from dts_core.services.setups import Setups
from dts_core.services.shells import Shells
from dts_core.services.signing import Signing
from dts_core.services.status import Status
from dts_core.services.stream import StreamHub
from dts_core.services.tokens import Tokens
from dts_core.services.users import Users
from dts_core.services.vaultkeys import VaultKeys
from dts_core.services.vhosts import Vhosts
from dts_core.stores.base import Store

SWEEP_SECONDS: Final = 3600.0
LAG_SECONDS: Final = 1.0
_log = logging.getLogger(__name__)


@dataclass
class Services:
    """Every use case, by noun. `start` before the first request, `drain` before the server stops, `stop` after."""

    jobs: Jobs
    cancelling: Cancelling
    functions: Functions
    deploys: Deploys
    signing: Signing
    namespaces: Namespaces
    users: Users
    vhosts: Vhosts
    host_trust: HostTrust
    remote_calls: RemoteCalls
    host_runs: HostRuns
    questions: Questions
    setups: Setups
    shells: Shells
    vault: VaultKeys
    sessions: Sessions
    tokens: Tokens
    operations: Operations
    hosts: Hosts
    logs: Logs
    queues: Queues
    dead_letters: DeadLetters
    drains: Drains
    status: Status
    mail: Mail
    stream: StreamHub
    writer: AdminWriter
    bus: EventBus
    counters: Counters
    store: Store
    broker: Broker
    clock: Clock
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)

    async def start(self) -> None:
        """Begin to hear what other parts announce, and to tell followers."""
        await self.bus.start()
        await self.stream.start()
        await self.queues.start()
        for name, work in (
            ("stream", self.stream.run()),
            ("tokens", self._sweep()),
            ("drains", self.drains.keep()),
            ("lag", self._measure_lag()),
        ):
            task = asyncio.create_task(work, name=f"services-{name}")
            task.add_done_callback(_report)
            self._tasks.append(task)

    async def watch(self) -> None:
        """Wait until background work ends, which it should not: for whoever then ends the process.

        Raises:
            Exception: What ended it.
        """
        ended, _ = await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in ended:
            task.result()

    def drain(self) -> None:
        """Let everybody go who waits: long polls are answered, streams end. Call it before the server closes."""
        self.jobs.waiters.close()
        self.stream.close()
        self.shells.close()

    async def stop(self) -> None:
        """End background work. Store and broker stay open. A second call does nothing."""
        self.drain()
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.stream.stop()
        await self.bus.stop()

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            try:
                await self.sessions.sweep()
                await self.questions.sweep()
            except DtsError as error:
                _log.info("expired tokens stay until the next sweep: %s", error)

    async def _measure_lag(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            asleep = loop.time()
            await asyncio.sleep(LAG_SECONDS)
            lag = max(0.0, loop.time() - asleep - LAG_SECONDS)
            self.counters.put("dts_loop_lag_seconds", round(lag, 6))


def _report(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        _log.critical("%s ended: %r", task.get_name(), error, exc_info=error)
