"""One call of the internal worker: a shipped function in this loop, or a plugin in a child process."""

import asyncio
import hashlib
import importlib
import traceback
from typing import Any, Final, Protocol

import msgspec

from dts_core.builtin import NotAgain, calling
from dts_core.children import Call, Children, Ended, EndKind, StopKind
from dts_core.clock import Clock
from dts_core.daemons.internal_reports import Reports
from dts_core.errors import CodecError
from dts_core.model import JobError, JobMessage
from dts_core.remote import Remotes
from dts_core.services.container import Services
from dts_core.text import clean, clean_lines

__all__ = ["BuiltinCall", "PluginCall", "Running", "failed"]

TRACEBACK_MAX: Final = 16_000


class Running(Protocol):
    """A call that was loaded."""

    async def end(self) -> Ended:
        """Run it to its end. Never raises but CancelledError, after which nothing of it runs any more."""
        ...

    def stop(self) -> None:
        """Ask it to stop; `end` answers when it has."""
        ...


def failed(kind: str, message: str, *, trace: str = "", retry: bool = True) -> Ended:
    """A failure, its text made printable."""
    error = JobError(type=kind, message=clean(message), traceback=clean_lines(trace, TRACEBACK_MAX))
    return Ended(EndKind.FAILED, error=error, retry=retry)


class BuiltinCall:
    """A function that ships with dts, as a task of this loop; it is also the `Calling` that the function sees."""

    def __init__(
        self,
        job: JobMessage,
        name: str,
        services: Services,
        remotes: Remotes,
        reports: Reports,
        epoch: int,
        clock: Clock,
    ) -> None:
        self.job = job.id
        self.submitter = job.submitter
        self.epoch = epoch
        self.services = services
        self.remotes = remotes
        self._message = job
        self._reports = reports
        self._clock = clock
        self._main = importlib.import_module(f"dts_core.builtin.{name}").main
        try:
            self._args = msgspec.json.decode(job.args, type=list[Any])
            self._kwargs = msgspec.json.decode(job.kwargs, type=dict[str, Any])
        except msgspec.DecodeError as error:
            raise CodecError(f"the arguments are no JSON: {error}") from error
        self._task: asyncio.Task[Any] | None = None
        self.is_cancelled = False

    def progress(self, fraction: float, text: str = "") -> None:
        """See Calling."""
        self._reports.progress(self.job, self.epoch, fraction, text)

    def log(self, text: str, level: int = 20) -> None:
        """See Calling."""
        self._reports.log(self._message, level, text)

    def stop(self) -> None:
        """See Running."""
        self.is_cancelled = True
        if self._task is not None:
            self._task.cancel()

    async def end(self) -> Ended:
        """See Running."""
        started = self._clock.now()
        ended = await self._run()
        return msgspec.structs.replace(ended, started_at=started, finished_at=self._clock.now())

    async def _run(self) -> Ended:
        limit = self._message.timeout_seconds
        task = self._task = asyncio.create_task(self._called(), name=f"dts {self.job}")
        try:
            await asyncio.wait([task], timeout=limit or None)
        finally:
            in_time = task.done()
            task.cancel()
            await asyncio.wait([task])
        if not in_time and not self.is_cancelled:
            return failed("Timeout", f"it ran longer than {limit:g} seconds")
        return self._outcome(task)

    async def _called(self) -> Any:
        calling.set(self)
        return await self._main(*self._args, **self._kwargs)

    def _outcome(self, task: asyncio.Task[Any]) -> Ended:
        if task.cancelled():
            return Ended(EndKind.CANCELLED if self.is_cancelled else EndKind.GIVEN_BACK)
        if (error := task.exception()) is not None:
            trace = "".join(traceback.format_exception(error))
            again = not isinstance(error, NotAgain)
            return failed(type(error).__name__, str(error), trace=trace, retry=again)
        try:
            result = msgspec.json.encode(task.result())
        except (TypeError, ValueError, RecursionError) as error:
            return failed("NotJson", f"the result is not JSON: {error}", retry=False)
        if len(result) > self._message.result_max:
            text = f"the result is {len(result)} bytes, the limit {self._message.result_max}"
            return failed("ResultTooLarge", text, retry=False)
        return Ended(EndKind.RETURNED, result=result)


class PluginCall:
    """A plugin as it stands in its file now, in a child process."""

    def __init__(
        self,
        children: Children,
        job: JobMessage,
        source: bytes,
        attempt: int,
        reports: Reports,
        epoch: int,
    ) -> None:
        self._children = children
        self._message = job
        self._reports = reports
        self._epoch = epoch
        self._call = Call(
            id=job.id,
            function=job.function,
            hash=hashlib.sha256(source).hexdigest(),
            source=source,
            is_async=job.is_async,
            args=job.args,
            kwargs=job.kwargs,
            attempt=attempt,
            submitter=job.submitter,
            timeout_seconds=job.timeout_seconds,
            grace_seconds=job.grace_seconds,
            result_max=job.result_max,
        )

    def stop(self) -> None:
        """See Running."""
        self._children.stop(self._call.id, StopKind.CANCEL)

    async def end(self) -> Ended:
        """See Running."""
        return await self._children.run(
            self._call, on_log=self._on_log, on_progress=self._on_progress
        )

    def _on_log(self, call: Call, level: int, text: str) -> None:
        self._reports.log(self._message, level, text)

    def _on_progress(self, call: Call, fraction: float, text: str) -> None:
        self._reports.progress(call.id, self._epoch, fraction, text)
