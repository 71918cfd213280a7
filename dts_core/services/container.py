"""The services of one server, put together; `wiring` gives them their store, broker and clock."""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from dts_core.brokers.base import JOBS, Broker
from dts_core.clock import Clock
from dts_core.errors import DtsError
from dts_core.services.admin import AdminWriter
from dts_core.services.builtins import Builtins
from dts_core.services.counters import Counters
from dts_core.services.deadletters import DeadLetters
from dts_core.services.directory import Directory
from dts_core.services.drains import Drains
from dts_core.services.events import EventBus
from dts_core.services.functions import Functions
from dts_core.services.hosts import Hosts
from dts_core.services.jobcache import JobCache
from dts_core.services.jobs import JobPorts, Jobs
from dts_core.services.logs import Logs
from dts_core.services.namespaces import Namespaces
from dts_core.services.operations import Operations
from dts_core.services.parts import Components, Parts
from dts_core.services.passwords import Passwords
from dts_core.services.queues import Queues
from dts_core.services.sessions import Sessions
from dts_core.services.status import Status
from dts_core.services.stream import StreamHub
from dts_core.services.targets import Targets
from dts_core.services.users import Users
from dts_core.settings import ServerSettings
from dts_core.stores.base import Intake, Store

SWEEP_SECONDS: Final = 3600.0
LAG_SECONDS: Final = 1.0
_log = logging.getLogger(__name__)


@dataclass
class Services:
    """Every use case, by noun. `start` before the first request, `drain` before the server stops, `stop` after."""

    jobs: Jobs
    functions: Functions
    namespaces: Namespaces
    users: Users
    sessions: Sessions
    operations: Operations
    hosts: Hosts
    logs: Logs
    queues: Queues
    dead_letters: DeadLetters
    drains: Drains
    status: Status
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


def _nothing() -> Mapping[str, str]:
    return {}


def build_services(
    store: Store,
    intake: Intake,
    broker: Broker,
    clock: Clock,
    settings: ServerSettings,
    *,
    engine: str = "embedded",
    counters: Counters | None = None,
    components: Components = _nothing,
    plugins: Path | None = None,
    audit_key: bytes = b"",
    jobs_prefix: str = JOBS,
) -> Services:
    """Put the services together; nothing runs yet.

    Args:
        store: Where everything is kept.
        intake: Where jobs and their messages become durable together.
        broker: Queues and fanouts.
        clock: The time.
        settings: `[server]`.
        engine: Name of the engine, shown in the status.
        counters: Shared with the daemons of the same process, for `/metrics`.
        components: part -> its state in words, for the status; asked anew each time.
        plugins: Folder of the administrator's plugins; None: that of the settings, when there is one.
        audit_key: Key of the hashes that stand for secrets in operations; random when empty.
        jobs_prefix: With which the names of queues of jobs begin, as configured.
    """
    counters = counters or Counters()
    bus = EventBus(broker, counters)
    writer = AdminWriter(store, clock, bus, counters, audit_key)
    directory = Directory(store, clock, bus)
    passwords = Passwords()
    folder = plugins or (Path(settings.plugins).expanduser() if settings.plugins else None)
    builtins = Builtins(plugins=folder)
    targets = Targets(store, clock, bus, builtins)
    cache = JobCache(clock, counters, settings.job_cache)
    ports = JobPorts(
        store=store,
        intake=intake,
        broker=broker,
        clock=clock,
        bus=bus,
        writer=writer,
        targets=targets,
        cache=cache,
        counters=counters,
        result_max=settings.result_max,
    )
    jobs = Jobs(ports)
    queues = Queues(store, broker, clock, writer, prefix=jobs_prefix)
    parts = Parts(store, queues.stats, clock, components)
    return Services(
        jobs=jobs,
        functions=Functions(store, broker, clock, writer, directory, builtins),
        namespaces=Namespaces(store, clock, writer),
        users=Users(store, clock, writer, passwords),
        sessions=Sessions(
            store, clock, bus, writer, passwords, directory, token_hours=settings.token_hours
        ),
        operations=Operations(store),
        hosts=Hosts(store, clock),
        logs=Logs(store),
        queues=queues,
        dead_letters=DeadLetters(broker, writer),
        drains=Drains(store, broker, clock, writer),
        status=Status(store, jobs, queues, parts, clock, engine=engine),
        stream=StreamHub(store, broker, clock, bus, counters),
        writer=writer,
        bus=bus,
        counters=counters,
        store=store,
        broker=broker,
        clock=clock,
    )
