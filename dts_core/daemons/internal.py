"""The internal worker: runs the jobs of namespace `dts/` on the control side.

It is a worker like any other to the broker and the store: claimed deliveries, leases, progress, log records, results by
the queue, cancel by the fanout. What ships in `dts_core.builtin` is trusted and runs in this loop; an administrator's
plugin runs in a child process.
"""

import asyncio
import logging
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final

import msgspec

from dts_core import codec
from dts_core.brokers.base import (
    CONTROL,
    JOBS,
    RESULTS,
    Broker,
    Delivery,
    Message,
    Outgoing,
)
from dts_core.brokers.consumer import Consumer, HandBack
from dts_core.children import Children, ChildrenSettings, ChildSettings, Ended, EndKind
from dts_core.clock import Clock
from dts_core.daemons.internal_calls import BuiltinCall, PluginCall, Running, failed
from dts_core.daemons.internal_reports import Reports
from dts_core.daemons.internal_results import handed_over
from dts_core.errors import (
    BrokerError,
    CodecError,
    DtsError,
    FunctionRefused,
    StoreError,
    VaultError,
)
from dts_core.model import Cancel, Control, JobMessage, JobResult, JobResults, Pauses
from dts_core.names import split_function
from dts_core.remote import Remotes
from dts_core.sealed import Opener, Secrets, refusal
from dts_core.services.builtins import PLUGIN, Builtins
from dts_core.services.container import Services
from dts_core.services.results import clean_error
from dts_core.settings import InternalSettings
from dts_core.states import JobEvent
from dts_core.stores.jobstore import JobStore

__all__ = ["HOST", "WORKER", "Internal"]

HOST: Final = "control"
WORKER: Final = "internal"
LEASE_SECONDS: Final = 10.0
RENEW_SECONDS: Final = 3.0
RETRY_SECONDS: Final = 1.0
"""Wait before a result that could not be published is tried again."""
_EVENTS: Final = {
    EndKind.RETURNED: JobEvent.FINISH,
    EndKind.FAILED: JobEvent.FAIL,
    EndKind.CANCELLED: JobEvent.CONFIRM_CANCEL,
}
_CONTROL: Final[Any] = Control
_log = logging.getLogger(__name__)


class _Held:
    """One delivery from its arrival to its end. `former` is a claim of the same job that lapsed while it ran here."""

    def __init__(self, job: JobMessage, delivery: Delivery, former: "_Held | None") -> None:
        self.job = job
        self.delivery = delivery
        self.former = former
        self.running: Running | None = None
        self.cancelled = asyncio.Event()
        self.over = asyncio.Event()

    def stop(self) -> None:
        """Ask it to stop."""
        self.cancelled.set()
        if self.running is not None:
            self.running.stop()


class Internal(Consumer[JobMessage]):
    """Consumes `jobs.dts`.

    Args:
        broker: A link of its own: claims belong to (HOST, `worker`).
        store: For leases.
        services: What the shipped functions may use.
        remotes: Their sessions with virtual hosts; entered and closed by whoever made it.
        builtins: Where the sources lie.
        settings: [consumer.internal].
        clock: For instants.
        worker: Its name; unique for each start where several may run.
        opener: Opens secret arguments; None: no key is there.
    """

    name = WORKER
    queue = f"{JOBS}dts"
    message_class = JobMessage

    def __init__(
        self,
        broker: Broker,
        store: JobStore,
        services: Services,
        remotes: Remotes,
        builtins: Builtins,
        settings: InternalSettings,
        clock: Clock,
        *,
        worker: str = WORKER,
        opener: Opener | None = None,
    ) -> None:
        super().__init__(broker, prefetch=settings.prefetch, batch=settings.batch)
        self._store = store
        self._services = services
        self._remotes = remotes
        self._builtins = builtins
        self._clock = clock
        self._slots = asyncio.Semaphore(settings.concurrency)
        self._held: dict[str, _Held] = {}
        self._is_paused = False
        self._worker = worker
        self._secrets = Secrets(opener)
        self._reports = Reports(broker, clock, host=HOST, worker=worker, secrets=self._secrets)
        child = ChildSettings(host=HOST)
        self._children = Children(ChildrenSettings(slots=settings.concurrency, child=child))

    async def run(self) -> None:
        """Work until cancelled; what still runs a grace later is told to stop and handed back uncharged."""
        heard = await self.broker.subscribe(CONTROL, self._on_control)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._reports.run(), name="internal-reports")
                group.create_task(self._renew(), name="internal-leases")
                group.create_task(super().run(), name="internal-jobs")
        finally:
            await heard.close()
            await self._children.close()

    def _on_control(self, message: Message) -> None:
        try:
            control = codec.decode(message.body, _CONTROL)
        except CodecError as error:
            _log.warning("a control message cannot be read: %s", error)
            return
        if isinstance(control, Cancel) and (held := self._held.get(control.job)) is not None:
            held.stop()
        elif isinstance(control, Pauses):
            self._pause(self.queue.removeprefix(JOBS) in control.queues)

    def _pause(self, paused: bool) -> None:
        if paused is not self._is_paused and self.consumption is not None:
            self._is_paused = paused
            self.consumption.grant(0 if paused else self.prefetch)

    def held(self) -> list[tuple[str, int]]:
        """(job, epoch) of what runs here, for a broker that was away."""
        return [(job, held.delivery.epoch) for job, held in self._held.items()]

    def on_resumed(self, claims: Sequence[tuple[str, int, bool, int | None]]) -> None:
        """After a lost connection: stop what is another one's now."""
        for job, epoch, is_ours, _ in claims:
            held = self._held.get(job)
            if not is_ours and held is not None and held.delivery.epoch == epoch:
                _log.warning("job %s is not ours any more", job)
                held.stop()

    async def operate(self, message: JobMessage, delivery: Delivery) -> None:
        """Run one job and publish how it ended.

        Raises:
            HandBack: It could not be run through no fault of its own.
        """
        held = _Held(message, delivery, self._held.get(message.id))
        self._held[message.id] = held
        try:
            await self._after_former(held)
            async with self._slots:
                ended = await self._perform(held)
            if ended.kind is EndKind.GIVEN_BACK:
                raise HandBack("it could not be run here now")
            await self._report(held, ended)
        finally:
            self._secrets.forget(message.id)
            held.over.set()
            if self._held[message.id] is held:
                del self._held[message.id]

    async def _after_former(self, held: _Held) -> None:
        if held.former is not None:
            held.former.stop()
            await held.former.over.wait()
            held.former = None

    async def _perform(self, held: _Held) -> Ended:
        """Run the call; every way it can end is an Ended."""
        if held.cancelled.is_set():
            return Ended(EndKind.CANCELLED)
        try:
            held.running = await self._call(held)
        except VaultError as error:
            return Ended(EndKind.FAILED, error=refusal(error), retry=False)
        except (DtsError, ImportError, AttributeError, OSError) as error:
            return failed("LoadFailed", str(error), retry=False)
        if held.cancelled.is_set():  # while its source was read
            return Ended(EndKind.CANCELLED)
        _log.info("job %s: %s for %s", held.job.id, held.job.function, held.job.submitter)
        ended = await held.running.end()
        self._reports.finished(held.job.id)
        _log.info("job %s %s", held.job.id, ended.kind)
        said = self._secrets.veil_error(held.job.id, ended.error)
        return msgspec.structs.replace(ended, error=said)

    async def _call(self, held: _Held) -> Running:
        args, kwargs = self._secrets.open(held.job)
        job, reports = msgspec.structs.replace(held.job, args=args, kwargs=kwargs), self._reports
        _, name = split_function(job.function)
        path = self._builtins.path(name)
        if path is None or not await asyncio.to_thread(path.is_file):
            raise FunctionRefused(f"there is no function {job.function} any more.")
        if name.startswith(PLUGIN):
            source = await asyncio.to_thread(path.read_bytes)
            epoch = held.delivery.epoch
            return PluginCall(self._children, job, source, held.delivery.attempt, reports, epoch)
        epoch = held.delivery.epoch
        return BuiltinCall(job, name, self._services, self._remotes, reports, epoch, self._clock)

    async def _report(self, held: _Held, ended: Ended) -> None:
        """Publish the result; as long as the broker refuses, it is tried again and the lease goes on."""
        result = _result(held, ended)
        while True:
            try:
                result = await handed_over(self._store, result, held.job.result_max)
                await self.broker.publish([Outgoing(RESULTS, self._message(result))])
            except (BrokerError, StoreError) as error:
                _log.warning("the result of job %s has to wait: %s", held.job.id, error)
                await asyncio.sleep(RETRY_SECONDS)
            else:
                return

    def _message(self, result: JobResult) -> Message:
        body = codec.encode(JobResults(HOST, self._worker, [result]))
        return Message(body, type="JobResults", timestamp=self._clock.now().timestamp())

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(RENEW_SECONDS)
            claims: Sequence[tuple[str, int]] = [
                (job_id, held.delivery.epoch) for job_id, held in self._held.items()
            ]
            if claims:
                until = self._clock.now() + timedelta(seconds=LEASE_SECONDS)
                try:
                    await self._store.renew(claims, until)
                except DtsError as error:
                    _log.warning("leases could not be renewed: %s", error)


def _result(held: _Held, ended: Ended) -> JobResult:
    return JobResult(
        held.job.id,
        held.delivery.epoch,
        _EVENTS[ended.kind],
        ended.result,
        None if ended.error is None else clean_error(ended.error),
        ended.started_at,
        ended.finished_at,
        ended.retry,
    )
