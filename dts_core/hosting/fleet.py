"""Child workers of one host: started, started again when they die, drained at the end.

Each child holds the reading end of a pipe whose writing end only this process holds: however this process ends, the
pipe ends with it, and the child stops by itself.
"""

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from dts_core.hosting.logfile import LogFile

__all__ = ["Fleet", "WorkerCommand"]

BACKOFF_FIRST_SECONDS: Final = 0.5
BACKOFF_MAX_SECONDS: Final = 30.0
HEALTHY_SECONDS: Final = 60.0
"""A child that lived so long starts again without a longer wait."""
LAST_WORDS_SECONDS: Final = 1.0
CHUNK: Final = 1 << 16

WorkerCommand = Callable[[int, int], tuple[Sequence[str], Mapping[str, str]]]
"""(number of the worker, its end of the pipe) -> argv and environment."""
_log = logging.getLogger(__name__)


class Fleet:
    """`count` workers. `run` keeps them alive until it is cancelled; `stop` ends them in good order first."""

    def __init__(self, command: WorkerCommand, *, count: int, logs: Path) -> None:
        self._command = command
        self._count = count
        self._logs = logs
        self._stopping = False
        self._alive: dict[int, asyncio.subprocess.Process] = {}
        self.restarts = 0

    @property
    def pids(self) -> list[int]:
        """Process ids of the workers that run now."""
        return [process.pid for process in self._alive.values()]

    async def run(self) -> None:
        """Keep every worker alive. Cancelled, it kills those that still run."""
        try:
            async with asyncio.TaskGroup() as group:
                for number in range(1, self._count + 1):
                    group.create_task(self._keep(number), name=f"worker-{number}")
        finally:
            self._signal(signal.SIGKILL)

    async def stop(self, grace_seconds: float) -> None:
        """Ask every worker to drain and wait for them; those that are not done in time are killed."""
        self._stopping = True
        processes = list(self._alive.values())
        self._signal(signal.SIGTERM)
        waits = [asyncio.ensure_future(process.wait()) for process in processes]
        if waits:
            _, late = await asyncio.wait(waits, timeout=grace_seconds)
            if late:
                _log.warning("%d workers did not stop in %.0f s: killed", len(late), grace_seconds)
                self._signal(signal.SIGKILL)
                await asyncio.wait(late, timeout=2)

    def _is_stopping(self) -> bool:
        return self._stopping

    def _signal(self, number: signal.Signals) -> None:
        for process in self._alive.values():
            with contextlib.suppress(ProcessLookupError):  # it has just ended
                process.send_signal(number)

    async def _keep(self, number: int) -> None:
        loop = asyncio.get_running_loop()
        wait = BACKOFF_FIRST_SECONDS
        while not self._is_stopping():
            started = loop.time()
            status = await self._run_one(number)
            if self._is_stopping():
                return
            if loop.time() - started > HEALTHY_SECONDS:
                wait = BACKOFF_FIRST_SECONDS
            self.restarts += 1
            _log.warning(
                "worker %d ended (%s), see logs/worker-%d.log; next start in %.1f s",
                number, status, number, wait,
            )  # fmt: skip
            await asyncio.sleep(wait)
            wait = min(wait * 2, BACKOFF_MAX_SECONDS)

    async def _run_one(self, number: int) -> str:
        reading, writing = os.pipe()
        try:
            argv, environment = self._command(number, reading)
            process = await asyncio.create_subprocess_exec(
                *argv,
                env=dict(environment),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.PIPE,
                pass_fds=(reading,),
                start_new_session=True,  # Ctrl-C in the terminal is this process's to hand on
            )
        except OSError as error:
            os.close(writing)
            return f"it could not be started: {error.strerror}"
        finally:
            os.close(reading)
        self._alive[number] = process
        try:
            if self._stopping:  # asked to stop while it was being started
                process.terminate()
            pump = asyncio.create_task(
                self._keep_log(process, self._logs / f"worker-{number}.log"),
                name=f"log of worker {number}",
            )
            try:
                return _told(await process.wait())
            finally:
                await _finish(pump)
        finally:
            os.close(writing)
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError, TimeoutError):
                    process.kill()
                    async with asyncio.timeout(LAST_WORDS_SECONDS):
                        await process.wait()
            del self._alive[number]

    async def _keep_log(self, process: asyncio.subprocess.Process, path: Path) -> None:
        """Write what the child says to a bounded file until it ends."""
        assert process.stderr is not None
        log = LogFile(path)
        while data := await process.stderr.read(CHUNK):
            try:
                await asyncio.to_thread(log.append, data)
            except OSError as error:  # the disk is full: the worker goes on, its words are lost
                _log.warning("%s cannot be written: %s", path.name, error.strerror)


async def _finish(pump: asyncio.Task[None]) -> None:
    """Let the last words in; a grandchild that keeps the pipe open is not waited for."""
    await asyncio.wait([pump], timeout=LAST_WORDS_SECONDS)
    if pump.cancel():
        await asyncio.wait([pump])
    elif not pump.cancelled() and (error := pump.exception()):
        _log.error("the log of a worker was lost", exc_info=error)


def _told(status: int) -> str:
    if status < 0:
        return f"signal {signal.Signals(-status).name}"
    return f"exit status {status}"
