"""A child whose event loop is shared by many jobs."""

import asyncio
import functools
import os
import signal
from contextvars import Context, copy_context
from typing import Any, Optional

from dts_core.runner import frames
from dts_core.runner.channel import Channel
from dts_core.runner.jobapi import Run, Running, current
from dts_core.runner.loading import Loaded, Modules
from dts_core.runner.outcome import failure_frame, parse_arguments, result_frame
from dts_core.runner.streams import Streams
from dts_core.runner.sync_child import check, has_descendants, split_job, take_source


class AsyncChild:
    """Starts a task for each job. A job that blocks the loop blocks the others until the worker ends this process."""

    def __init__(self, channel: Channel, streams: Streams, host: str, lines: int) -> None:
        self._channel = channel
        self._streams = streams
        self._host = host
        self._lines = lines
        self._modules = Modules()
        self._ended: Optional[asyncio.Event] = None
        self._starting: Optional[Run] = None
        """The job whose code runs outside a task: its import, or all of a main that never waits."""

    async def serve(self) -> None:
        """Work until the worker closes the pipe."""
        self._loop = asyncio.get_running_loop()
        self._ended = asyncio.Event()
        os.set_blocking(self._channel.fd_in, False)
        self._loop.add_reader(self._channel.fd_in, self._on_readable)
        signal.signal(signal.SIGUSR1, self._say_who)
        await self._ended.wait()

    def _on_readable(self) -> None:
        try:
            alive = self._channel.read()
        except BlockingIOError:
            return
        if not alive:
            self._loop.remove_reader(self._channel.fd_in)
            assert self._ended is not None
            self._ended.set()
            return
        for kind, number, body in self._channel.taken():
            if kind == frames.JOB:
                self._start(number, body)
            else:
                self._obey(kind, number, body)
        self._channel.flush()

    def _obey(self, kind: int, number: int, body: bytes) -> None:
        if kind == frames.CANCEL:
            run = Running.runs.get(number)
            if run is not None and run.task is not None:
                run.task.cancel()
        elif kind == frames.SOURCE:
            take_source(self._modules, body)
        elif kind == frames.FORGET:
            self._modules.forget(body.decode("ascii"))
        elif kind == frames.CHECK:
            self._answer(check(self._modules, number, body))
        elif kind == frames.PING:
            self._answer(frames.pack(frames.PONG, number, b"\0\0\0\0"))

    def _start(self, number: int, body: bytes) -> None:
        header, args, kwargs = split_job(body)
        run = Run(number, header, self._channel, self._host, self._lines)
        Running.runs[number] = run
        context = copy_context()
        context.run(current.set, run)
        self._starting = run
        try:
            loaded = context.run(self._modules.load, header[0])
            context.run(self._launch, run, context, loaded, args, kwargs)
        except BaseException as error:  # noqa: BLE001 - SystemExit and its kind are failed attempts too
            self._end(run, failure_frame(number, error))
        finally:
            self._starting = None

    def _launch(
        self, run: Run, context: Context, loaded: Loaded, args: bytes, kwargs: bytes
    ) -> None:
        positional, named = parse_arguments(args, kwargs)
        value = loaded.main(*positional, **named)
        if asyncio.iscoroutine(value) and not loaded.suspends:
            value = _step(value)
        elif hasattr(value, "__await__"):
            run.task = self._loop.create_task(_run(value))
            run.task.add_done_callback(functools.partial(self._on_done, run))
            return
        self._end(run, result_frame(run.number, value, run.result_max))

    def _on_done(self, run: Run, task: "asyncio.Task[Any]") -> None:
        try:
            answer = result_frame(run.number, task.result(), run.result_max)
        except _Left as left:
            answer = failure_frame(run.number, left.error)
        except BaseException as error:  # noqa: BLE001 - SystemExit and its kind are failed attempts too
            answer = failure_frame(run.number, error)
        run.task = None
        self._end(run, answer)

    def _end(self, run: Run, answer: bytes) -> None:
        if os.getpid() != self._channel.pid:
            os._exit(0)  # user code forked and came back here in the copy
        run.ended = True
        words = self._channel.last_words(run)
        Running.runs.pop(run.number, None)
        self._streams.restore()
        if not Running.runs and has_descendants():
            words += frames.pack(frames.RETIRE, 0, b"a job left a process running")
        self._answer(words + answer)

    def _answer(self, frame: bytes) -> None:
        """Send with everything else of this turn of the loop."""
        if self._channel.hold(frame):
            self._loop.call_soon(self._channel.flush)

    def _say_who(self, _signal: int, _frame: Any) -> None:
        """The worker asks who keeps the loop: the code that the signal interrupts knows, even while it blocks."""
        run = self._starting
        if run is None:
            task = asyncio.current_task(self._loop)
            found = [each for each in list(Running.runs.values()) if each.task is task is not None]
            run = found[0] if found else None
        if run is not None:
            self._channel.send(frames.pack(frames.PONG, run.number, b"busy"))


def _step(coroutine: Any) -> Any:
    """Run a coroutine that cannot wait."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        return end.value
    raise RuntimeError("a coroutine without await has waited")


async def _run(value: Any) -> Any:
    """What a task runs: SystemExit inside a task would end the loop, so it leaves as another exception."""
    try:
        return await value
    except (SystemExit, KeyboardInterrupt) as error:
        raise _Left(error) from error


class _Left(Exception):
    """Carries SystemExit or KeyboardInterrupt out of a task."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.error = error
