"""From a claimed delivery to its result: load, run in a child, report, ack."""

import asyncio
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from typing import Any, Protocol

import structlog

from dts_core.brokers.base import Consumption
from dts_core.children import Call, Children, Ended, EndKind, StopKind
from dts_core.errors import BrokerUnavailable, DtsError, FunctionRefused, KeyMissing, VaultError
from dts_core.model import JobError, JobMessage, JobResult, LogRecord
from dts_core.runner.frames import RECORD_MAX
from dts_core.sealed import Secrets, refusal
from dts_core.signing import Unsigned
from dts_core.states import JobEvent
from dts_core.text import clean, clean_lines
from dts_worker.envelopes import Envelopes
from dts_worker.environments import EnvironmentFailed, Environments
from dts_worker.events import EventCounts, WorkerEvent
from dts_worker.held import Held, Stage
from dts_worker.loader import Loader
from dts_worker.ports import LogSink
from dts_worker.progress import ProgressOutbox

SMOOTHING = 0.2
"""Weight of the newest run in the average."""
FUNCTIONS_MAX = 1_000
"""Most functions of which the loaded version is remembered."""
log = structlog.get_logger(__name__)


class Report(Protocol):
    """Takes results."""

    def add(self, held: Held, result: JobResult) -> None:
        """Publish it, ack, then call `settled`."""
        ...


class Executor:
    """Every claim that this worker holds, and what is done with it. Belongs to the loop's thread.

    Args:
        children: Run the code.
        loader: Gives sources.
        environments: Gives the interpreters of functions that declare packages.
        logs: Takes the jobs' log records.
        progress: Takes their progress.
        host: Of this worker.
        on_room: Called when a claim is gone.
    """

    def __init__(
        self,
        children: Children,
        loader: Loader,
        environments: Environments,
        *,
        logs: LogSink,
        progress: ProgressOutbox,
        host: str,
        on_room: Callable[[], None],
    ) -> None:
        self.secrets = Secrets()
        self.envelopes = Envelopes(loader)
        self.events = EventCounts()
        self.functions: dict[str, str] = {}
        """function -> hash of the newest version that loaded here."""
        self.sync_seconds = 1.0
        """How long a synchronous job takes, on a moving average."""
        self.sync_active = 0
        """Synchronous jobs that run, or wait for their source or a slot."""
        self.async_ended = 0
        """Asynchronous jobs whose run was over, since the start."""
        self.held_bytes = 0
        """Arguments of all jobs that are held."""
        self.results: Report | None = None
        self._children = children
        self._loader = loader
        self._environments = environments
        self._logs = logs
        self._progress = progress
        self._host = host
        self._on_room = on_room
        self._held: dict[str, Held] = {}
        self._loading: set[asyncio.Task[None]] = set()
        self._active: set[Held] = set()
        """Claims whose run is not over."""
        self._idle = asyncio.Event()
        self._idle.set()

    # --- what is held -----------------------------------------------------------------------------

    def held(self) -> list[tuple[str, int]]:
        """(job, epoch) of every claim."""
        return [(held.job.id, held.epoch) for held in self._all()]

    def __len__(self) -> int:
        return len(self._held)

    def _all(self) -> list[Held]:
        found = []
        for held in self._held.values():
            found.append(held)
            if held.next is not None:
                found.append(held.next)
        return found

    async def idle(self) -> None:
        """Wait until nothing runs and nothing waits to run; results may still be on their way."""
        await self._idle.wait()

    @property
    def running(self) -> int:
        """Jobs that run right now."""
        return self._children.running

    # --- in ---------------------------------------------------------------------------------------

    def accept(
        self, job: JobMessage, epoch: int, consumption: Consumption, tag: int, *, queue: str = ""
    ) -> None:
        """Start a claimed job that came by this queue; returns at once."""
        origin = (job, queue) if self.envelopes.are_wanted else None
        job = job.on(self._host)
        held = Held(job, epoch, consumption, tag, origin)
        self.events.record(WorkerEvent.RECV, job.function)
        former = self._held.get(job.id)
        if former is None:
            self._held[job.id] = held
            self.held_bytes += len(job.args) + len(job.kwargs)
            self._begin(held)
            return
        # Its lease lapsed while this worker did not listen, and it came back to it by a message of its own: the former
        # delivery is over. Not acked, it would stand against the credit, and in the queue, as long as the link.
        if former.next is not None:
            former.next.stage = Stage.GONE
            former.next.consumption.ack([former.next.tag])
        former.next = held
        former.consumption.ack([former.tag])
        self._abandon(former)

    def _over(self, held: Held) -> None:
        if held in self._active:
            self._active.remove(held)
            if held.job.is_async:
                self.async_ended += 1
            else:
                self.sync_active -= 1
        if not self._active:
            self._idle.set()

    def _begin(self, held: Held) -> None:
        self._active.add(held)
        self.sync_active += not held.job.is_async
        self._idle.clear()
        if held.origin is None or self._is_own(held, *held.origin):
            self._go_on(held)

    def _go_on(self, held: Held) -> None:
        source = self._loader.peek(held.job.function, held.job.version)
        if source is not None and not self._environments.declares(held.job.version, source):
            self._start(held, source)
            return
        self._in_background(self._load(held))

    def _is_own(self, held: Held, job: JobMessage, queue: str) -> bool:
        """Whether it is the server's own job; if not, it has failed or the keys are looked at again."""
        refused = self.envelopes.refusal(job, queue)
        if refused is not None and self.envelopes.may_be_new(job):
            self._in_background(self._look_again(held, job, queue))
        elif refused is not None:
            self._refuse(held, refused)
        return refused is None

    async def _look_again(self, held: Held, job: JobMessage, queue: str) -> None:
        refused = await self.envelopes.look_again(job, queue)
        if refused is None:
            self._go_on(held)
        else:
            self._refuse(held, refused)

    def _refuse(self, held: Held, refused: Unsigned) -> None:
        self._tell_refused(held.job, refused)
        failure = JobError(type="EnvelopeRefused", message=str(refused))
        self._finish(held, Ended(EndKind.FAILED, error=failure, retry=False))

    def _in_background(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work, name="load")
        self._loading.add(task)
        task.add_done_callback(self._loading.discard)

    async def _load(self, held: Held) -> None:
        try:
            source = await self._loader.source(held.job.function, held.job.version)
            python = await self.interpreter(
                held.job.function, held.job.version, source, job=held.job.id
            )
        except EnvironmentFailed as error:
            failure = JobError(type="EnvironmentFailed", message=str(error))
            self._finish(held, Ended(EndKind.FAILED, error=failure, retry=error.transient))
        except FunctionRefused as error:
            self._tell_refused(held.job, error)
            failure = JobError(type="LoadFailed", message=str(error))
            self._finish(held, Ended(EndKind.FAILED, error=failure, retry=False))
        except BrokerUnavailable as error:
            log.warning(
                "a job goes back: its source cannot be had", job=held.job.id, reason=str(error)
            )
            self._finish(held, Ended(EndKind.GIVEN_BACK))
        else:
            self._start(held, source, python)

    async def interpreter(
        self, function: str, version: str, source: bytes, *, job: str = ""
    ) -> str:
        """That of a version's environment, made when it is not there; empty: the worker's own.

        Args:
            function: namespace/name, for the log.
            version: sha256 of the source in hex.
            source: Of the version.
            job: Whose log says how far it is.

        Raises:
            EnvironmentFailed: It cannot be made.
        """
        if not self._environments.declares(version, source):
            return ""

        def tell(text: str) -> None:
            now, safe = datetime.now(UTC), clean_lines(text, RECORD_MAX)
            self._logs.add(LogRecord(now, self._host, "job", 20, safe, job, function))

        return await self._environments.interpreter(source, tell)

    def _tell_refused(self, job: JobMessage, error: DtsError) -> None:
        """Whoever watches the logs hears of what was forged, or no key fits, not the submitter alone."""
        if isinstance(error, Unsigned | VaultError):
            log.error("a job is refused", job=job.id, function=job.function, reason=error.message)
            now, text = datetime.now(UTC), f"a job is refused: {error}"
            self._logs.add(
                LogRecord(now, self._host, "worker", 40, clean_lines(text), job.id, job.function)
            )

    def _start(self, held: Held, source: bytes, python: str = "") -> None:
        if held.stage is Stage.GONE:
            self._forget(held)
            return
        if held.cancelled:
            self._finish(held, Ended(EndKind.CANCELLED))
            return
        job = held.job
        try:
            args, kwargs = self.secrets.open(job)
        except VaultError as error:
            self._tell_refused(job, error)
            retry = isinstance(error, KeyMissing)  # another worker may have it
            self._finish(held, Ended(EndKind.FAILED, error=refusal(error), retry=retry))
            return
        held.stage = Stage.STARTED
        call = Call(
            id=job.id,
            function=job.function,
            hash=job.version,
            source=source,
            is_async=job.is_async,
            python=python,
            args=args,
            kwargs=kwargs,
            attempt=job.attempt,
            submitter=job.submitter,
            timeout_seconds=job.timeout_seconds,
            grace_seconds=job.grace_seconds,
            result_max=job.result_max,
        )
        self._children.start(call, self._on_end, on_log=self._on_log, on_progress=self._on_progress)

    # --- while it runs ----------------------------------------------------------------------------

    def _on_log(self, call: Call, level: int, text: str) -> None:
        now = datetime.now(UTC)
        safe = clean_lines(self.secrets.veil(call.id, text), RECORD_MAX)
        self._logs.add(LogRecord(now, self._host, "job", level, safe, call.id, call.function))

    def _on_progress(self, call: Call, fraction: float, text: str) -> None:
        held = self._held.get(call.id)
        if held is not None:
            self._progress.add(call.id, held.epoch, fraction, self.secrets.veil(call.id, text))

    def cancel(self, job: str) -> bool:
        """Stop a job; its result says when it has stopped. False: not held, or over already."""
        held = self._held.get(job)
        if held is None:
            return False
        held = held.next or held
        if held.stage is Stage.STARTED:
            return self._children.stop(job, StopKind.CANCEL)
        held.cancelled = True
        return held.stage is Stage.LOADING

    def is_cancelled(self, job: str) -> bool:
        """Whether a job that is held was told to stop before it was started."""
        held = self._held.get(job)
        return held is not None and (held.next or held).cancelled

    def abandon(self, job: str, epoch: int) -> None:
        """End a run whose claim is somebody else's now.

        A result that is already on its way stays there: it is refused and counted where claims are kept.
        """
        held = self._held.get(job)
        if held is not None and held.epoch == epoch:
            if held.stage is not Stage.REPORTING:
                self._abandon(held)
        elif held is not None and held.next is not None and held.next.epoch == epoch:
            held.next = None

    def _abandon(self, held: Held) -> None:
        stage, held.stage = held.stage, Stage.GONE
        if stage is Stage.STARTED:
            self._children.stop(held.job.id, StopKind.ABANDON)
        elif stage is Stage.REPORTING:
            self._forget(held)

    @property
    def async_waiting(self) -> int:
        """Asynchronous jobs that wait for a slot."""
        return self._children.async_waiting

    def give_back_waiting(self, keep: int, *, is_async: bool = False) -> int:
        """Return jobs of one kind that wait for a slot, all but the first `keep`; returns how many."""
        return self._children.give_back_waiting(keep, is_async=is_async)

    # --- the end ----------------------------------------------------------------------------------

    def _on_end(self, call: Call, ended: Ended) -> None:
        held = self._held.get(call.id)
        if held is None:
            return
        if held.stage is Stage.GONE:
            self._forget(held)
            return
        self._finish(held, ended)

    def _finish(self, held: Held, ended: Ended) -> None:
        if held.stage is Stage.GONE:
            self._forget(held)
        elif ended.kind is EndKind.GIVEN_BACK:
            held.stage = Stage.GONE
            held.consumption.nack([held.tag], requeue=True)
            self._forget(held)
        else:
            held.stage = Stage.REPORTING
            self._over(held)
            self._note(held.job, ended)
            assert self.results is not None
            error = self.secrets.veil_error(held.job.id, ended.error)
            self.results.add(held, _result(held, ended, error))

    def _note(self, job: JobMessage, ended: Ended) -> None:
        """Counts, the loaded version, how long synchronous jobs take."""
        done = ended.kind is EndKind.RETURNED
        if ended.kind is not EndKind.CANCELLED:
            self.events.record(WorkerEvent.DONE if done else WorkerEvent.FAIL, job.function)
        if done and job.function not in self.functions and len(self.functions) < FUNCTIONS_MAX:
            self.functions[job.function] = job.version
        if ended.started_at is not None and ended.finished_at is not None and not job.is_async:
            seconds = (ended.finished_at - ended.started_at).total_seconds()
            self.sync_seconds += SMOOTHING * (max(seconds, 0.0) - self.sync_seconds)
        self._progress.forget(job.id)

    def settled(self, held: Held) -> None:
        """Its result is confirmed (or refused) and its delivery acked."""
        if held.stage is Stage.REPORTING:
            held.stage = Stage.GONE
            self._forget(held)

    def _forget(self, held: Held) -> None:
        if self._held.get(held.job.id) is not held:
            return
        self._over(held)
        self.secrets.forget(held.job.id)
        if held.next is not None:
            self._held[held.job.id] = held.next
            self._begin(held.next)
        else:
            job = held.job
            del self._held[job.id]
            self.held_bytes -= len(job.args) + len(job.kwargs)
        self._on_room()

    async def close(self) -> None:
        """End the loading of sources; runs end with the pool."""
        for task in list(self._loading):
            task.cancel()
        await asyncio.gather(*self._loading, return_exceptions=True)


_EVENTS = {
    EndKind.RETURNED: JobEvent.FINISH,
    EndKind.FAILED: JobEvent.FAIL,
    EndKind.CANCELLED: JobEvent.CONFIRM_CANCEL,
}


def _result(held: Held, ended: Ended, error: JobError | None) -> JobResult:
    return JobResult(
        held.job.id,
        held.epoch,
        _EVENTS[ended.kind],
        ended.result,
        _safe(error) if error is not None else None,
        ended.started_at,
        ended.finished_at,
        ended.retry,
        version="" if held.job.trial is None else held.job.version,
    )


def _safe(error: JobError) -> JobError:
    return JobError(
        type=clean(error.type, 200),
        message=clean_lines(error.message, 8_000),
        traceback=clean_lines(error.traceback, 64_000),
    )
