"""The worker: its parts, their order of start and end, and what it says about itself."""

import asyncio
import contextlib
import os
import shutil
from collections.abc import Coroutine
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import structlog

from dts_core import __version__, codec
from dts_core.brokers.base import HEARTBEATS, LOGS, Broker, Message, Outgoing
from dts_core.children import Children, ChildrenSettings, ChildSettings
from dts_core.clock import Clock, SystemClock
from dts_core.errors import BrokerError, DtsError
from dts_core.hosting.keywatch import KeyWatch
from dts_core.model import Heartbeat, LogBatch, LogRecord, Readied
from dts_core.sealed import Opener
from dts_core.settings import WorkerFile
from dts_core.signing import Trust
from dts_core.text import clean_lines
from dts_worker.agent import LogAgent
from dts_worker.consumer import AHEAD_MAX, Consumer, Credit
from dts_worker.control import Orders
from dts_worker.environments import Environments
from dts_worker.environments.commands import Commands
from dts_worker.executor import Executor
from dts_worker.identity import working_folder
from dts_worker.loader import Loader
from dts_worker.outbox import LogOutbox
from dts_worker.prober import Prober
from dts_worker.progress import ProgressOutbox
from dts_worker.results import ResultOutbox

LAST_SECONDS = 3.0
"""Longest wait for the last results, logs and heartbeat at the end."""
log = structlog.get_logger(__name__)


class PartEnded(DtsError):
    """A part of the worker that should run for ever has ended."""

    code = "part_ended"


class Worker:
    """Runs jobs until it is told to stop. It is the WorkerFacts and the owner of all parts.

    Args:
        settings: As read from worker.toml.
        broker: Connected; closed by the caller, after `run`.
        host: Name of this host.
        worker: Name of this worker, unique for each start.
        folder: Cached sources, environments of functions, and offsets of log files.
        clock: For the heartbeats.
        adopt_orphans: End processes that jobs left behind, wherever they hide: only for a process of its own.
        trust: Whose signatures of functions count; None: nothing is verified. See `Loader`.
        opener: Opens secret arguments; None: such jobs fail here. See `Executor.secrets`.
    """

    def __init__(
        self,
        settings: WorkerFile,
        broker: Broker,
        *,
        host: str,
        worker: str,
        folder: Path,
        clock: Clock | None = None,
        adopt_orphans: bool = False,
        trust: Trust | None = None,
        opener: Opener | None = None,
    ) -> None:
        own = settings.worker
        self._settings = settings
        self._broker = broker
        self._host = host
        self._worker = worker
        self._folder = folder
        self._draining = False
        self._keys: KeyWatch | None = None
        self.ready = asyncio.Event()
        """Set once it takes jobs."""
        self._slots = own.slots or os.cpu_count() or 1
        self._queues = list(dict.fromkeys([*own.queues, f"host.{host}"]))
        clock = clock or SystemClock()
        self.logs = LogOutbox(self._publish_logs, host=host, worker=worker)
        self.progress = ProgressOutbox(broker, host=host, worker=worker)
        self.children = Children(self._children_settings(adopt_orphans))
        self.children.on_stray_line = self._on_stray_line
        self.loader = Loader(broker, folder / "sources", trust)
        self.environments = Environments(
            own.environments,
            folder / "environments",
            Commands(self.children.spared, lambda: self.children.marks),
            in_use=self.children.pythons,
        )
        self.executor = Executor(
            self.children,
            self.loader,
            self.environments,
            logs=self.logs,
            progress=self.progress,
            host=host,
            on_room=self._on_room,
        )
        self.executor.envelopes.are_wanted = settings.signing.jobs
        if opener is not None:
            self.executor.secrets.opener = opener
        self.results = ResultOutbox(
            broker, host=host, worker=worker, on_settled=self.executor.settled
        )
        self.executor.results = self.results
        ceiling = own.prefetch or own.async_slots + 2 * self._slots
        credit = Credit(self._slots, ceiling, own.prefetch or AHEAD_MAX)
        self.consumer = Consumer(broker, self._queues, self.executor, credit)
        self.prober = Prober(settings.prober, self, self._publish_beat, clock)
        self.orders = Orders(
            broker,
            self.executor,
            self.children,
            self.loader,
            logs=self.logs,
            host=host,
            worker=worker,
            on_drain=self._on_drain,
            on_pauses=self.consumer.pause_queues,
            on_readied=self.prober.beat_now,
        )
        self.agent = LogAgent(settings.agent, self.logs, host, folder, clock)

    def watch_keys(self, keys: KeyWatch) -> None:
        """Run what the keys of a file have signed, as it stands while this worker runs; before `run`."""
        self._keys = keys
        self.loader.trust = keys.trust
        self.loader.renew = keys.look_for_new

    def _children_settings(self, adopt_orphans: bool) -> ChildrenSettings:
        own = self._settings.worker
        return ChildrenSettings(
            slots=self._slots,
            async_slots=own.async_slots,
            child_jobs=own.child_jobs,
            adopt_orphans=adopt_orphans,
            child=ChildSettings(
                host=self._host,
                memory=own.child_memory,
                lines_per_second=own.log_lines_per_second,
            ),
        )

    # --- what it says about itself ----------------------------------------------------------------

    @property
    def host(self) -> str:
        """Name of this host."""
        return self._host

    @property
    def worker(self) -> str:
        """Name of this worker."""
        return self._worker

    @property
    def version(self) -> str:
        """Version of dts."""
        return __version__

    @property
    def loop(self) -> str:
        """`uvloop` or `asyncio`."""
        return type(asyncio.get_running_loop()).__module__.split(".")[0]

    @property
    def queues(self) -> list[str]:
        """Queues that it takes from."""
        return self._queues

    @property
    def slots(self) -> int:
        """Synchronous jobs that it runs at once."""
        return self._slots

    @property
    def running(self) -> int:
        """Jobs that run right now."""
        return self.executor.running

    @property
    def draining(self) -> bool:
        """Whether it takes nothing new."""
        return self._draining

    def held(self) -> list[tuple[str, int]]:
        """(job id, epoch) of every claim."""
        return self.executor.held()

    def counts(self) -> list[tuple[int, str, int]]:
        """(event, function, how many)."""
        return self.executor.events.counts()

    def functions(self) -> dict[str, str]:
        """Function -> hash of the newest version loaded here."""
        return dict(self.executor.functions)

    def readied(self) -> list[Readied]:
        """What became of versions that deploys told it to have ready."""
        return self.orders.readied.said()

    # --- its life ---------------------------------------------------------------------------------

    async def run(self, stop: asyncio.Event, *, at_once: asyncio.Event | None = None) -> None:
        """Work until `stop` is set, then drain; with `at_once` set, end without waiting for anything.

        Raises:
            PartEnded: A part ended by itself (inside an ExceptionGroup, as is what a part raised).
        """
        hurry = at_once or asyncio.Event()
        await self.loader.open()
        workplace = await asyncio.to_thread(working_folder, self._folder)
        self.children.open(folder=str(workplace))
        try:
            async with asyncio.TaskGroup() as tasks:
                parts = [
                    tasks.create_task(_for_ever(name, part), name=name)
                    for name, part in self._parts().items()
                ]
                await self.orders.open()
                await self.consumer.open()
                log.info("the worker is ready", host=self._host, queues=self._queues)
                self.ready.set()
                await _first_of(stop, hurry)
                await self._drain(hurry)
                for part in parts:
                    part.cancel()
        finally:
            await self._end()
            await asyncio.to_thread(shutil.rmtree, workplace, ignore_errors=True)

    def _parts(self) -> dict[str, Coroutine[Any, Any, None]]:
        return {
            "results": self.results.run(),
            "logs": self.logs.run(),
            "progress": self.progress.run(),
            "reloads": self.orders.run(),
            "prober": self.prober.run(),
            "log agent": self.agent.run(),
            "children": self._watch_children(),
            "environments": self.environments.run(),
            **({} if self._keys is None else {"keys": self._keys.run()}),
        }

    async def _watch_children(self) -> None:
        """A worker that cannot start children is of no use."""
        await self.children.gave_up.wait()
        raise PartEnded(self.children.broken)

    async def _drain(self, hurry: asyncio.Event) -> None:
        """Take nothing new, let what runs finish, give back the rest; heartbeats go on meanwhile."""
        self._draining = True
        self.consumer.pause()
        given_up = False
        if not hurry.is_set():
            log.info("draining", held=len(self.executor))
            idle = asyncio.ensure_future(self.executor.idle())
            hurried = asyncio.ensure_future(hurry.wait())
            await asyncio.wait(
                (idle, hurried),
                timeout=self._settings.worker.drain_seconds,
                return_when=asyncio.FIRST_COMPLETED,
            )
            given_up = not idle.done()
            idle.cancel()
            hurried.cancel()
        if given_up:
            log.warning("jobs did not finish in time and go back", held=len(self.executor))
        await self.children.close()
        if not hurry.is_set():
            await self._say_last()

    async def _say_last(self) -> None:
        with contextlib.suppress(TimeoutError, BrokerError):
            async with asyncio.timeout(LAST_SECONDS):
                await self.results.flushed()
                await self.consumer.close()
                await self.logs.flush()
                await self.prober.say_goodbye()

    async def _end(self) -> None:
        """Nothing of it is left running, whatever happened."""
        await self.children.close()
        await self.executor.close()
        await self.loader.close()
        await self.environments.close()
        with contextlib.suppress(BrokerError):
            await self.orders.close()

    def on_resumed(self, claims: list[tuple[str, int, bool, int | None]]) -> None:
        """After a lost link: end the runs whose claim is somebody else's now."""
        for job, epoch, is_ours, _tag in claims:
            if not is_ours:
                log.warning("a job is not ours any more", job=job, epoch=epoch)
                self.executor.abandon(job, epoch)

    def on_link(self, connected: bool, why: str) -> None:
        """The link comes or goes: whoever was not heard for a while says at once that it lives."""
        if connected:
            self.prober.beat_now()

    def _on_stray_line(self, level: int, text: str) -> None:
        """Output of a shared child that may be of any of its jobs is the worker's own."""
        now, safe = datetime.now(UTC), clean_lines(self.executor.secrets.veil_all(text))
        self.logs.add(LogRecord(now, self._host, "worker", level, safe))

    def _on_room(self) -> None:
        self.consumer.adjust_soon()

    def _on_drain(self, on: bool) -> None:
        self._draining = on
        log.info("told to drain" if on else "told to take jobs again")
        if on:
            self.consumer.pause()
        else:
            self.consumer.resume()

    # --- what it sends ----------------------------------------------------------------------------

    async def _publish_logs(self, batch: LogBatch) -> None:
        message = Message(body=codec.encode(batch), type="LogBatch")
        await self._broker.publish([Outgoing(LOGS, message)])

    async def _publish_beat(self, beat: Heartbeat) -> None:
        message = Message(body=codec.encode(beat), type="Heartbeat")
        await self._broker.publish([Outgoing(HEARTBEATS, message)])


async def _for_ever(name: str, part: Coroutine[Any, Any, None]) -> None:
    await part
    raise PartEnded(f"the worker's part {name!r} ended.")


async def _first_of(*events: asyncio.Event) -> None:
    waits = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
